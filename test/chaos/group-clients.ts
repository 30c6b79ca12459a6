/** A client that submits small batches and DAGs, whole or not at all, however often each has to be sent with its key. */
import { setTimeout as delay } from 'node:timers/promises';

import { seededRandom, type Random } from '../../src/lib/random.ts';
import { UnexpectedAnswer } from '../support/api.ts';
import { isTransient } from '../support/workload.ts';
import { CALL_TIMEOUT_MS, RETRY_MS, RETRY_POLICY, SUITE_LABEL, type Caller } from './caller.ts';
import { between } from './faults.ts';
import { memberKey, type GroupKind } from './groups.ts';
import type { Recorder } from './recorder.ts';

const PATIENCE_MS = 12_000;
const PAUSE_MS: readonly [number, number] = [800, 2500];
const SIZES: readonly [number, number] = [2, 5];

interface Submitted {
  readonly tasks: readonly { readonly id: string; readonly name: string }[];
}

export class GroupClient {
  readonly #caller: Caller;
  readonly #recorder: Recorder;
  readonly #random: Random;
  readonly #process = 'groups';

  constructor({ caller, recorder, seed }: { caller: Caller; recorder: Recorder; seed: number }) {
    this.#caller = caller;
    this.#recorder = recorder;
    this.#random = seededRandom(seed + 2000);
  }

  /** Until the signal; then it ends what it is at. */
  async run(signal: AbortSignal): Promise<void> {
    for (let at = 0; !signal.aborted; at += 1) {
      const kind = this.#random() < 0.5 ? 'batch' : 'dag';
      const size = Math.floor(between(SIZES, this.#random()));
      await this.#submit({ kind, at, size }, signal);
      await delay(between(PAUSE_MS, this.#random()));
    }
  }

  async #submit(
    group: { readonly kind: GroupKind; readonly at: number; readonly size: number },
    signal: AbortSignal,
  ): Promise<void> {
    const keys = Array.from({ length: group.size }, (_, position) => memberKey(group, position));
    const body = this.#bodyOf(group.kind, keys);
    const deadlineMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const made = await this.#submitOnce(group.kind, keys, body);
      if (!(made instanceof Error) || !isTransient(made)) return;
      if (performance.now() > deadlineMs || signal.aborted) return;
      await delay(RETRY_MS);
    }
  }

  /** Each of its tasks is an operation of its own. */
  async #submitOnce(kind: GroupKind, keys: readonly string[], body: string): Promise<Submitted | Error> {
    const [key = ''] = keys;
    const api = this.#caller.anyApi(this.#random);
    const operation = { process: this.#process, f: 'submit', in: { node: api.name } } as const;
    const url = `/tasks/${kind}`;
    const made = await this.#caller.record({ ...operation, key }, async () => {
      const answer = await api.call('POST', url, body, { key, timeoutMs: CALL_TIMEOUT_MS });
      if (answer.status !== 201) throw new UnexpectedAnswer(`POST ${url} on ${api.name}`, answer);
      const result = JSON.parse(answer.text) as Submitted;
      return { result, out: { id: result.tasks[0]?.id } };
    });
    if (made instanceof Error) return made;
    for (const { id, name } of made.tasks.slice(1))
      await this.#caller.record({ ...operation, key: name }, async () => ({ result: null, out: { id } }));
    return made;
  }

  /** A DAG is a chain: each of its tasks depends on the one before it. */
  #bodyOf(kind: GroupKind, keys: readonly string[]): string {
    const tasks = keys.map((key, position) => {
      const [length, flaky] = [this.#random(), this.#random()];
      const recording = { key, seconds: length * 1.5, isFlaky: flaky < 0.2, leavesStray: false };
      const spec = {
        name: key,
        command: this.#recorder.command(recording),
        labels: SUITE_LABEL,
        stop_grace: '1s',
        retry_policy: RETRY_POLICY,
      };
      if (kind === 'batch') return spec;
      const dependencies = position === 0 ? [] : [`t${position - 1}`];
      return { ...spec, id: `t${position}`, dependencies };
    });
    const maxParallel = this.#random() < 0.3 ? { max_parallel: 2 } : {};
    return JSON.stringify({ name: 'chaos', tasks, ...maxParallel });
  }
}
