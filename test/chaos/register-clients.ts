/**
 * A small register, built of nothing but what the API promises: its version n + 1 is a task that is submitted with an
 * idempotency key for that version. Whoever submits it first has set the value; everybody else is refused, for the key
 * was used for another request. So a submit is a compare-and-set, and the newest task of the register is its value.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { seededRandom, type Random } from '../../src/lib/random.ts';
import { UnexpectedAnswer, type Api } from '../support/api.ts';
import { CALL_TIMEOUT_MS, isRefused, RETRY_MS, RETRY_POLICY, SUITE_LABEL, type Caller } from './caller.ts';
import { between } from './faults.ts';
import type { HistoryClient, Outcome, Request, Value } from './history.ts';
import type { Recorder } from './recorder.ts';

const REGISTERS = ['r0', 'r1'];
const PAUSE_MS: readonly [number, number] = [60, 300];
/** Little: the operation stays open afterwards, and that is what the checker is there for. */
const PATIENCE_MS = 4000;
const CONFLICT = 409;

export interface RegisterClientParts {
  readonly caller: Caller;
  readonly client: HistoryClient;
  readonly recorder: Recorder;
  readonly at: number;
  readonly seed: number;
  /** It only reads, and so never waits for a node that cannot write. */
  readonly isReader: boolean;
}

export class RegisterClient {
  readonly #parts: RegisterClientParts;
  readonly #random: Random;
  readonly #process: string;
  /** As this client has seen them last. */
  readonly #known = new Map<string, Value>();

  constructor(parts: RegisterClientParts) {
    this.#parts = parts;
    this.#random = seededRandom(parts.seed + 100 + parts.at);
    this.#process = `register-client-${parts.at}`;
  }

  /** Until the signal; then it ends what it is at. */
  async run(signal: AbortSignal): Promise<void> {
    const readShare = this.#parts.isReader ? 1 : 0.4;
    for (let count = 0; !signal.aborted; count += 1) {
      const register = REGISTERS[Math.floor(this.#random() * REGISTERS.length)] ?? '';
      if (this.#random() < readShare) await this.#read(register);
      else await this.#set(register, `${this.#parts.at}-${count}`, signal);
      await delay(between(PAUSE_MS, this.#random()));
    }
  }

  async #read(register: string): Promise<void> {
    const { caller, client } = this.#parts;
    const { ok, out } = await client.record({ f: 'read', key: register, in: null }, async () => {
      const api = caller.anyApi(this.#random);
      const operation = { process: this.#process, f: 'list', key: register, in: { node: api.name } } as const;
      const found = await caller.record(operation, async () => {
        const value = await newestOf(api, register);
        return { result: { value }, out: { value } };
      });
      return found instanceof Error ? { ok: 'unknown', out: null } : { ok: true, out: found.value };
    });
    if (ok === true) this.#known.set(register, out);
  }

  /** From the value that this client has seen last, which may be an old one. */
  async #set(register: string, mark: string, signal: AbortSignal): Promise<void> {
    const from = this.#known.get(register) ?? null;
    const version = versionAfter(from);
    const to = `${version}:${mark}`;
    const request: Request =
      from === null
        ? { f: 'create', key: register, in: to }
        : { f: 'cas', key: register, in: [from, to] as const };
    const { ok } = await this.#parts.client.record(request, () =>
      this.#submit({ register, version, mark, signal }),
    );
    if (ok === true) this.#known.set(register, to);
  }

  async #submit(options: {
    readonly register: string;
    readonly version: number;
    readonly mark: string;
    readonly signal: AbortSignal;
  }): Promise<Outcome> {
    const { caller, recorder } = this.#parts;
    const { register, version, mark, signal } = options;
    const key = `${register}.${version}`;
    // The client's own name for the task: under that its outcome is judged.
    const name = `${key}.${mark}`;
    const command = recorder.command({ key: name, seconds: 0, isFlaky: false, leavesStray: false });
    const labels = { ...SUITE_LABEL, register, version: String(version), mark };
    const spec = { name, command, labels, retry_policy: RETRY_POLICY };
    const deadlineMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const api = caller.anyApi(this.#random);
      const operation = { process: this.#process, f: 'submit', key: name, in: { node: api.name } } as const;
      const made = await caller.record(operation, async () => {
        const task = await api.submit(spec, { key, timeoutMs: CALL_TIMEOUT_MS });
        return { result: task, out: { id: task.id, status: task.status } };
      });
      if (!(made instanceof Error)) return { ok: true, out: null };
      if (made instanceof UnexpectedAnswer && made.status === CONFLICT) return { ok: false, out: null };
      if (isRefused(made) || performance.now() > deadlineMs || signal.aborted)
        return { ok: 'unknown', out: null };
      await delay(RETRY_MS);
    }
  }
}

async function newestOf(api: Api, register: string): Promise<Value> {
  const path = `/tasks?label=register%3D${register}&limit=1`;
  const { items } = await api.get<{ items: readonly { labels: Record<string, string> }[] }>(path, {
    timeoutMs: CALL_TIMEOUT_MS,
  });
  const [newest] = items;
  return newest === undefined ? null : `${newest.labels['version']}:${newest.labels['mark']}`;
}

function versionAfter(value: Value): number {
  return value === null ? 0 : Number(value.split(':')[0]) + 1;
}
