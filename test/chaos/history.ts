/**
 * `history.jsonl`: operations on keys of one value each, in the form in which they are checked for linearizability. A
 * client whose operation has an unknown outcome goes on under a new process number: that operation never returns.
 */
import type { JsonLines, Stopwatch } from './calls.ts';

/** Of a key; null: there is nothing. */
export type Value = string | null;

export type Request = { readonly key: string } & (
  | { readonly f: 'read' | 'delete'; readonly in: null }
  | { readonly f: 'write' | 'create' | 'append'; readonly in: string }
  | { readonly f: 'cas'; readonly in: readonly [from: Value, to: string] }
);

export type HistoryOperation = Request & {
  readonly process: number;
  /** What a read has read. */
  readonly out: Value;
  /** Nanoseconds from the start of the run. */
  readonly call: number;
  /** Null where the outcome is unknown: it may take effect at any time, or never. */
  readonly return: number | null;
  /** False: refused by what the value was. */
  readonly ok: boolean | 'unknown';
};

/** What an operation came to, as far as its client knows. */
export interface Outcome {
  readonly ok: boolean | 'unknown';
  readonly out: Value;
}

export class History {
  readonly operations: HistoryOperation[] = [];
  readonly #lines: JsonLines;
  readonly #watch: Stopwatch;
  #clients = 0;
  readonly #step: number;

  /** @param clients how many there are at most: process numbers go on from there */
  constructor(options: { lines: JsonLines; watch: Stopwatch; clients: number }) {
    this.#lines = options.lines;
    this.#watch = options.watch;
    this.#step = options.clients;
  }

  client(): HistoryClient {
    const client = new HistoryClient({
      first: this.#clients,
      step: this.#step,
      watch: this.#watch,
      add: (operation) => {
        this.operations.push(operation);
        this.#lines.add(operation);
      },
    });
    this.#clients += 1;
    return client;
  }
}

export class HistoryClient {
  #process: number;
  readonly #step: number;
  readonly #watch: Stopwatch;
  readonly #add: (operation: HistoryOperation) => void;

  constructor(options: {
    first: number;
    step: number;
    watch: Stopwatch;
    add: (operation: HistoryOperation) => void;
  }) {
    this.#process = options.first;
    this.#step = options.step;
    this.#watch = options.watch;
    this.#add = options.add;
  }

  /** Carries it out and takes note; a read without an answer says nothing and is left out. */
  async record(request: Request, carryOut: () => Promise<Outcome>): Promise<Outcome> {
    const call = this.#watch.nowNs();
    const outcome = await carryOut();
    const { ok, out } = outcome;
    if (request.f === 'read' && ok !== true) return outcome;
    const returned = ok === 'unknown' ? null : this.#watch.nowNs();
    this.#add({ process: this.#process, ...request, out, call, return: returned, ok });
    if (ok === 'unknown') this.#process += this.#step;
    return outcome;
  }
}
