/** What was asked, by whom, when, and what came back: one line per operation, for judges and for people. */
import { appendFileSync, closeSync, openSync } from 'node:fs';

export interface Operation {
  /** Who asked; one process asks one thing after the other. */
  readonly process: string;
  readonly f: 'submit' | 'cancel' | 'read' | 'list' | 'kill' | 'start' | 'pause' | 'resume' | 'stop';
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

export class History {
  readonly operations: Operation[] = [];
  readonly sightings: Sighting[] = [];
  #startMs = performance.now();
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'w');
  }

  /** From now on the run counts. */
  begin(): void {
    this.#startMs = performance.now();
  }

  nowMs(): number {
    return Math.round((performance.now() - this.#startMs) * 1000) / 1000;
  }

  add(operation: Operation): void {
    this.operations.push(operation);
    appendFileSync(this.#file, `${JSON.stringify(operation)}\n`);
  }

  saw(
    { process, call, return: returned }: Pick<Operation, 'process' | 'call' | 'return'>,
    task: { readonly id: string; readonly status: string; readonly attempt: number },
  ): void {
    const { id, status, attempt } = task;
    this.sightings.push({ id, status, attempt, process, call, return: returned });
  }

  close(): void {
    closeSync(this.#file);
  }
}
