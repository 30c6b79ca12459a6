/**
 * Clients that submit, cancel and read through whichever node, as the seed says; and one that looks at all tasks again
 * and again. Tasks leave a trace outside of the cluster, line by line: attempt, fencing token, and `start` or `end`.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../src/lib/errors.ts';
import { seededRandom, type Random } from '../../src/lib/random.ts';
import { UnexpectedAnswer, type Api, type TaskJson } from '../support/api.ts';
import type { TestCluster } from '../support/cluster.ts';
import { isTransient } from '../support/workload.ts';
import type { History, Operation } from './history.ts';
import { between } from './schedule.ts';

export interface RunLine {
  readonly key: string;
  readonly id: string;
  readonly attempt: number;
  readonly token: string;
  readonly what: string;
}

const CLIENTS = 4;
const CALL_TIMEOUT_MS = 5000;
/** How long one submit is tried again with its key. */
const PATIENCE_MS = 12_000;
const RETRY_MS = 150;
const PAUSE_MS: readonly [number, number] = [40, 300];
const LOOK_MS = 400;
/** Cancels and reads are about one of the last so many. */
const RECENT = 12;
/** More than a run can lose attempts of one task: none fails for good. */
const MAX_ATTEMPTS = 20;

export class Workload {
  readonly #cluster: TestCluster;
  readonly #history: History;
  readonly #seed: number;
  readonly #runs: string;

  constructor(options: { cluster: TestCluster; history: History; seed: number }) {
    this.#cluster = options.cluster;
    this.#history = options.history;
    this.#seed = options.seed;
    this.#runs = path.join(options.cluster.directory, 'runs');
    mkdirSync(this.#runs);
  }

  /** Until the signal; then each ends what it is at. */
  async run(signal: AbortSignal): Promise<void> {
    const clients = Array.from({ length: CLIENTS }, (_, at) => this.#client(at, signal));
    await Promise.all([...clients, this.#observe(signal)]);
  }

  /** What tasks themselves have written. */
  runLines(): readonly RunLine[] {
    return readdirSync(this.#runs).flatMap((key) =>
      readFileSync(path.join(this.#runs, key), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => {
          const [id = '', attempt = '', token = '', what = ''] = line.split(' ');
          return { key, id, attempt: Number(attempt), token, what };
        }),
    );
  }

  /** All tasks of the run as the node shows them; what is seen goes into the history. */
  async look(api: Api, process: string, timeoutMs = CALL_TIMEOUT_MS): Promise<readonly TaskJson[]> {
    const input = { node: api.name };
    const tasks = await this.#record({ process, f: 'list', key: '', in: input }, async () => {
      const found = await api.tasks('&label=suite%3Dchaos', { timeoutMs });
      return { result: found, out: { count: found.length } };
    });
    if (tasks instanceof Error) throw tasks;
    const last = this.#history.operations.at(-1);
    for (const task of tasks) if (last !== undefined) this.#history.saw(last, task);
    return tasks;
  }

  async #client(at: number, signal: AbortSignal): Promise<void> {
    const process = `client-${at}`;
    const random = seededRandom(this.#seed + 1 + at);
    const acknowledged: { key: string; id: string }[] = [];
    for (let count = 0; !signal.aborted; count += 1) {
      const drawn = random();
      const known = acknowledged.at(-1 - Math.floor(random() * Math.min(RECENT, acknowledged.length)));
      if (drawn < 0.7 || known === undefined) {
        const key = `c${at}-${count}`;
        const id = await this.#submit({ process, key, random, signal });
        if (id !== null) acknowledged.push({ key, id });
      } else if (drawn < 0.8) {
        await this.#cancel({ process, random, ...known });
      } else {
        await this.#read({ process, random, ...known });
      }
      await delay(between(PAUSE_MS, random()));
    }
  }

  /** @returns the id where it was acknowledged */
  async #submit(options: {
    process: string;
    key: string;
    random: Random;
    signal: AbortSignal;
  }): Promise<string | null> {
    const { process, key, random } = options;
    const spec = this.#spec(key, random);
    const deadlineMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const api = this.#anyApi(random);
      const operation = { process, f: 'submit', key, in: { node: api.name } } as const;
      const task = await this.#record(operation, async () => {
        const made = await api.submit(spec, { key, timeoutMs: CALL_TIMEOUT_MS });
        return { result: made, out: { id: made.id, status: made.status } };
      });
      if (!(task instanceof Error)) return task.id;
      if (!isTransient(task) || performance.now() > deadlineMs || options.signal.aborted) return null;
      await delay(RETRY_MS);
    }
  }

  async #cancel(known: { process: string; random: Random; key: string; id: string }): Promise<void> {
    const { process, key, id } = known;
    const api = this.#anyApi(known.random);
    await this.#record({ process, f: 'cancel', key, in: { node: api.name, id } }, async () => {
      const { status } = await api.cancel(id, { key: `cancel-${key}`, timeoutMs: CALL_TIMEOUT_MS });
      return { result: null, out: { status } };
    });
  }

  async #read(known: { process: string; random: Random; key: string; id: string }): Promise<void> {
    const { process, key, id } = known;
    const api = this.#anyApi(known.random);
    const task = await this.#record({ process, f: 'read', key, in: { node: api.name, id } }, async () => {
      const found = await api.task(id, { timeoutMs: CALL_TIMEOUT_MS });
      return { result: found, out: { status: found.status, attempt: found.attempt } };
    });
    const last = this.#history.operations.findLast((operation) => operation.process === process);
    if (!(task instanceof Error) && last !== undefined) this.#history.saw(last, task);
  }

  async #observe(signal: AbortSignal): Promise<void> {
    const random = seededRandom(this.#seed + 1000);
    while (!signal.aborted) {
      try {
        await this.look(this.#anyApi(random), 'observer');
      } catch {
        // It is in the history; nodes are down all the time.
      }
      await delay(LOOK_MS);
    }
  }

  /** Quick ones, slow ones, and some that fail at first. */
  #spec(key: string, random: Random): object {
    const kind = random();
    const seconds = (kind < 0.75 ? random() * 0.5 : 1 + random() * 3).toFixed(2);
    const file = path.join(this.#runs, key);
    const line = (what: string): string =>
      `echo "$JARVIS_TASK_ID $JARVIS_ATTEMPT $JARVIS_FENCING_TOKEN ${what}" >> ${file}`;
    const flaky = kind < 0.2 ? '[ "$JARVIS_ATTEMPT" -ge 2 ] || exit 75; ' : '';
    return {
      name: key,
      command: ['sh', '-c', `${line('start')}; sleep ${seconds}; ${flaky}${line('end')}`],
      labels: { suite: 'chaos' },
      retry_policy: { max_attempts: MAX_ATTEMPTS, backoff_strategy: 'fixed', backoff_base: 1 },
    };
  }

  #anyApi(random: Random): Api {
    const { nodes } = this.#cluster;
    const node = nodes[Math.floor(random() * nodes.length)] ?? nodes[0];
    if (node === undefined) throw new Error('a cluster has nodes');
    return node.api;
  }

  /** @returns the error, where it failed */
  async #record<T>(
    operation: Pick<Operation, 'process' | 'f' | 'key' | 'in'>,
    act: () => Promise<{ result: T; out: unknown }>,
  ): Promise<T | Error> {
    const call = this.#history.nowMs();
    try {
      const { result, out } = await act();
      this.#history.add({ ...operation, out, call, return: this.#history.nowMs(), ok: true });
      return result;
    } catch (error) {
      const answered = error instanceof UnexpectedAnswer;
      const out = { error: messageOf(error), status: answered ? error.status : null };
      // What was refused has changed nothing; of what broke off, or found no leader in time, nobody knows.
      const ok = answered && error.status < 500 ? false : null;
      this.#history.add({ ...operation, out, call, return: this.#history.nowMs(), ok });
      return error instanceof Error ? error : new Error(messageOf(error));
    }
  }
}
