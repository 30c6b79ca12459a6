/** What was asked, by whom, when, and what came back; and what was done to the nodes. For judges and for people. */
import { appendFileSync, closeSync, openSync } from 'node:fs';

export interface Operation {
  /** Who asked; one process asks one thing after the other. */
  readonly process: string;
  readonly f: 'submit' | 'cancel' | 'read' | 'list';
  /** Of the task, or empty. */
  readonly key: string;
  readonly in: Readonly<Record<string, unknown>>;
  readonly out: unknown;
  /** Milliseconds from the start of the run. */
  readonly call: number;
  readonly return: number;
  /** Done; refused, and nothing has changed; null where nobody can know. */
  readonly ok: boolean | null;
}

/** One task as somebody saw it between `call` and `return`. */
export interface Sighting {
  readonly id: string;
  readonly status: string;
  readonly attempt: number;
  readonly process: string;
  readonly call: number;
  readonly return: number;
}

/** One line per thing. */
export class JsonLines {
  readonly #file: number;
  #isClosed = false;

  constructor(path: string) {
    this.#file = openSync(path, 'w');
  }

  /** What is still under way when a run is broken off is of no interest any more. */
  add(line: object): void {
    if (!this.#isClosed) appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  close(): void {
    this.#isClosed = true;
    closeSync(this.#file);
  }
}

/** Time since the begin of the run. */
export class Stopwatch {
  #startNs = process.hrtime.bigint();

  /** From now on the run counts. */
  begin(): void {
    this.#startNs = process.hrtime.bigint();
  }

  nowNs(): number {
    return Number(process.hrtime.bigint() - this.#startNs);
  }

  nowMs(): number {
    return Math.round(this.nowNs() / 1000) / 1000;
  }
}

export class Calls {
  readonly operations: Operation[] = [];
  readonly sightings: Sighting[] = [];
  readonly #lines: JsonLines;

  constructor(lines: JsonLines) {
    this.#lines = lines;
  }

  add(operation: Operation): void {
    this.operations.push(operation);
    this.#lines.add(operation);
  }

  saw(
    { process, call, return: returned }: Pick<Operation, 'process' | 'call' | 'return'>,
    task: { readonly id: string; readonly status: string; readonly attempt: number },
  ): void {
    const { id, status, attempt } = task;
    this.sightings.push({ id, status, attempt, process, call, return: returned });
  }
}
