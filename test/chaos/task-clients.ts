/** Clients that submit tasks, cancel them and look at them, through whichever node, as the seed says. */
import { setTimeout as delay } from 'node:timers/promises';

import { seededRandom, type Random } from '../../src/lib/random.ts';
import type { TaskJson } from '../support/api.ts';
import { isTransient } from '../support/workload.ts';
import { between } from './faults.ts';
import type { HistoryClient, Outcome } from './history.ts';
import type { Recorder } from './recorder.ts';
import { CALL_TIMEOUT_MS, RETRY_MS, RETRY_POLICY, SUITE_LABEL, type Caller } from './caller.ts';

/** How long one submit is tried again with its key. */
const PATIENCE_MS = 12_000;
const PAUSE_MS: readonly [number, number] = [60, 400];
/** Reads are about one of the last so many, cancels about those that may not be over yet. */
const RECENT = { read: 12, cancel: 3 };

const UNKNOWN: Outcome = { ok: 'unknown', out: null };

/** A task that was begun to be submitted; the id is there once that was acknowledged. */
interface Known {
  readonly key: string;
  id: string | null;
}

export interface TaskClientParts {
  readonly caller: Caller;
  readonly client: HistoryClient;
  readonly recorder: Recorder;
  /** An image with a shell, and how many of the tasks are containers of it; null: there is no engine. */
  readonly container: { readonly image: string; readonly share: number } | null;
  readonly at: number;
  readonly seed: number;
  /** What all such clients have begun. */
  readonly recent: Known[];
}

export class TaskClient {
  readonly #parts: TaskClientParts;
  readonly #random: Random;
  readonly #process: string;

  constructor(parts: TaskClientParts) {
    this.#parts = parts;
    this.#random = seededRandom(parts.seed + 1 + parts.at);
    this.#process = `client-${parts.at}`;
  }

  /** Until the signal; then it ends what it is at. */
  async run(signal: AbortSignal): Promise<void> {
    const { at, recent } = this.#parts;
    for (let count = 0; !signal.aborted; count += 1) {
      const drawn = this.#random();
      const span = drawn < 0.7 ? RECENT.cancel : RECENT.read;
      const known = recent.at(-1 - Math.floor(this.#random() * Math.min(span, recent.length)));
      if (drawn < 0.58 || known === undefined) await this.#submit(`c${at}-${count}`, signal);
      else if (drawn < 0.7) await this.#cancel(known);
      else if (drawn < 0.85) await this.#read(known);
      else await this.#find(known);
      await delay(between(PAUSE_MS, this.#random()));
    }
  }

  /** However often it is sent: with one key it is one operation. */
  async #submit(key: string, signal: AbortSignal): Promise<void> {
    const known: Known = { key, id: null };
    const spec = this.#spec(key);
    this.#parts.recent.push(known);
    await this.#parts.client.record({ f: 'create', key: `task/${key}`, in: key }, async () => {
      const deadlineMs = performance.now() + PATIENCE_MS;
      for (;;) {
        const task = await this.#submitOnce(key, spec);
        if (!(task instanceof Error)) {
          known.id = task.id;
          return { ok: true, out: null };
        }
        if (!isTransient(task) || performance.now() > deadlineMs || signal.aborted) return UNKNOWN;
        await delay(RETRY_MS);
      }
    });
  }

  async #submitOnce(key: string, spec: object): Promise<TaskJson | Error> {
    const { caller } = this.#parts;
    const api = caller.anyApi(this.#random);
    const operation = { process: this.#process, f: 'submit', key, in: { node: api.name } } as const;
    const task = await caller.record(operation, async () => {
      const made = await api.submit(spec, { key, timeoutMs: CALL_TIMEOUT_MS });
      return { result: made, out: { id: made.id, status: made.status } };
    });
    if (!(task instanceof Error)) caller.saw(this.#process, [task]);
    return task;
  }

  async #cancel({ key, id }: Known): Promise<void> {
    if (id === null) return;
    const { caller } = this.#parts;
    const api = caller.anyApi(this.#random);
    const operation = { process: this.#process, f: 'cancel', key, in: { node: api.name, id } } as const;
    const task = await caller.record(operation, async () => {
      const cancelled = await api.cancel(id, { key: `cancel-${key}`, timeoutMs: CALL_TIMEOUT_MS });
      return { result: cancelled, out: { status: cancelled.status } };
    });
    if (!(task instanceof Error)) caller.saw(this.#process, [task]);
  }

  async #read({ key, id }: Known): Promise<void> {
    if (id === null) return;
    const { caller } = this.#parts;
    const api = caller.anyApi(this.#random);
    const operation = { process: this.#process, f: 'read', key, in: { node: api.name, id } } as const;
    const task = await caller.record(operation, async () => {
      const found = await api.task(id, { timeoutMs: CALL_TIMEOUT_MS });
      return { result: found, out: { status: found.status, attempt: found.attempt } };
    });
    if (!(task instanceof Error)) caller.saw(this.#process, [task]);
  }

  /** By its name: whether it is there, and only once. */
  async #find({ key }: Known): Promise<void> {
    const { caller, client } = this.#parts;
    const api = caller.anyApi(this.#random);
    await client.record({ f: 'read', key: `task/${key}`, in: null }, async () => {
      const operation = { process: this.#process, f: 'list', key, in: { node: api.name } } as const;
      const tasks = await caller.record(operation, async () => {
        const found = await api.tasks(`&name=${key}`, { timeoutMs: CALL_TIMEOUT_MS });
        return { result: found, out: { ids: found.map(({ id }) => id) } };
      });
      if (tasks instanceof Error) return UNKNOWN;
      caller.saw(this.#process, tasks);
      return { ok: true, out: tasks.length === 0 ? null : tasks.map(({ name }) => name).join(' and ') };
    });
  }

  /** Quick ones, slow ones, some that fail at first, and some that leave something running. */
  #spec(key: string): object {
    const { recorder, container } = this.#parts;
    const [kind, length, stray, where] = [this.#random(), this.#random(), this.#random(), this.#random()];
    const seconds = kind < 0.65 ? length * 0.5 : 1 + length * 7;
    const recording = { key, seconds, isFlaky: kind < 0.15, leavesStray: stray < 0.15 };
    const isContainer = container !== null && where < container.share;
    return {
      name: key,
      ...(isContainer
        ? {
            image: container.image,
            network: 'none',
            mounts: [recorder.mount],
            command: recorder.command(recording, recorder.mount.target),
          }
        : { command: recorder.command(recording) }),
      labels: SUITE_LABEL,
      stop_grace: '1s',
      retry_policy: RETRY_POLICY,
    };
  }
}
