/** The clients of a run, all at the same time; and one that looks at all tasks again and again. */
import { setTimeout as delay } from 'node:timers/promises';

import { seededRandom } from '../../src/lib/random.ts';
import type { Caller } from './caller.ts';
import type { History } from './history.ts';
import { GroupClient } from './group-clients.ts';
import type { Recorder } from './recorder.ts';
import { RegisterClient } from './register-clients.ts';
import { TaskClient } from './task-clients.ts';

export const WORKLOADS = ['tasks', 'containers', 'registers'] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

const TASK_CLIENTS = 3;
const REGISTER_CLIENTS = 5;
/** Of them. */
const REGISTER_READERS = 2;
export const CLIENTS = TASK_CLIENTS + REGISTER_CLIENTS;
const LOOK_MS = 400;
/** Of tasks, where there are both. */
const CONTAINER_SHARE = 0.3;

export interface WorkloadParts {
  readonly caller: Caller;
  readonly history: History;
  readonly recorder: Recorder;
  readonly seed: number;
  readonly names: readonly WorkloadName[];
  /** Of a shell; null where there is no engine. */
  readonly image: string | null;
}

/** Until the signal; then each ends what it is at. */
export async function runWorkload(parts: WorkloadParts, signal: AbortSignal): Promise<void> {
  const { caller, history, recorder, seed, names } = parts;
  const containerShare = !names.includes('containers') ? 0 : names.includes('tasks') ? CONTAINER_SHARE : 1;
  const container = parts.image === null ? null : { image: parts.image, share: containerShare };
  const recent: ConstructorParameters<typeof TaskClient>[0]['recent'] = [];
  const clients: { run(signal: AbortSignal): Promise<void> }[] = [];
  if (names.includes('tasks') || names.includes('containers')) {
    for (let at = 0; at < TASK_CLIENTS; at += 1)
      clients.push(
        new TaskClient({ caller, client: history.client(), recorder, container, at, seed, recent }),
      );
  }
  if (names.includes('tasks')) clients.push(new GroupClient({ caller, recorder, seed }));
  if (names.includes('registers')) {
    for (let at = 0; at < REGISTER_CLIENTS; at += 1) {
      const isReader = at < REGISTER_READERS;
      clients.push(new RegisterClient({ caller, client: history.client(), recorder, at, seed, isReader }));
    }
  }
  await Promise.all([...clients.map((client) => client.run(signal)), observe(caller, seed, signal)]);
}

async function observe(caller: Caller, seed: number, signal: AbortSignal): Promise<void> {
  const random = seededRandom(seed + 1000);
  while (!signal.aborted) {
    try {
      await caller.look(caller.anyApi(random), 'observer');
    } catch {
      // It is written down; nodes are down all the time.
    }
    await delay(LOOK_MS);
  }
}
