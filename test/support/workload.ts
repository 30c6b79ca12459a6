/** Submits tasks as a careful client does: with a key, through whichever node answers, until it is acknowledged. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../src/lib/errors.ts';
import { UnexpectedAnswer, type TaskJson } from './api.ts';
import type { TestCluster } from './cluster.ts';
import { waitFor } from './wait.ts';

/** What a client may try again: nobody there, no leader, outcome unknown, too much at once. */
const TRANSIENT: ReadonlySet<number> = new Set([429, 503, 504]);
const PAUSE_MS = 100;

export function isTransient(error: unknown): boolean {
  return !(error instanceof UnexpectedAnswer) || TRANSIENT.has(error.status);
}

/** @throws Error where nobody has acknowledged it in time, UnexpectedAnswer where it is refused */
export async function submitUntilAcknowledged(
  cluster: TestCluster,
  spec: object,
  options: { readonly key: string; readonly firstNode: number; readonly timeoutMs?: number },
): Promise<TaskJson> {
  const deadlineMs = performance.now() + (options.timeoutMs ?? 60_000);
  for (let round = options.firstNode; ; round += 1) {
    const node = cluster.nodes[round % cluster.nodes.length];
    try {
      if (node?.isRunning === true)
        return await node.api.submit(spec, { key: options.key, timeoutMs: 15_000 });
    } catch (error) {
      if (!isTransient(error)) throw error;
      if (performance.now() > deadlineMs)
        throw new Error(`${options.key} was never acknowledged: ${messageOf(error)}`, { cause: error });
    }
    if (performance.now() > deadlineMs) throw new Error(`${options.key} was never acknowledged`);
    await delay(PAUSE_MS);
  }
}

export interface Batch {
  /** Task ids by key, as they were acknowledged. */
  readonly acknowledged: ReadonlyMap<string, string>;
  /** Resolves once so many are. */
  atLeast(count: number): Promise<void>;
  /** Resolves once all are. @throws the first failure */
  readonly done: Promise<void>;
}

/** Submits one after the other in several lines at once. */
export function submitBatch(
  cluster: TestCluster,
  options: {
    readonly count: number;
    readonly lines: number;
    readonly spec: (key: string) => object;
    readonly pauseMs?: number;
  },
): Batch {
  const acknowledged = new Map<string, string>();
  let next = 0;
  let failure: unknown = null;
  const line = async (): Promise<void> => {
    for (let at = next; at < options.count; at = next) {
      next += 1;
      const key = `key-${at}`;
      const task = await submitUntilAcknowledged(cluster, options.spec(key), { key, firstNode: at });
      acknowledged.set(key, task.id);
      if (options.pauseMs !== undefined) await delay(options.pauseMs);
    }
  };
  const done = Promise.all(Array.from({ length: options.lines }, line)).then(() => undefined);
  done.catch((error: unknown) => {
    failure = error;
  });
  return {
    acknowledged,
    done,
    async atLeast(count) {
      await waitFor(`${count} acknowledged tasks`, () => failure !== null || acknowledged.size >= count, {
        intervalMs: 5,
      });
      if (failure !== null) throw failure;
    },
  };
}

/** Whole lines of a file that tasks append to. */
export function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(0, -1);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
