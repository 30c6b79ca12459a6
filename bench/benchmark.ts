/** What a benchmark is. Each is a file of `benchmarks/`, listed in `catalogue.ts`. */
import type { Scope } from './scope.ts';

/** A row of the table, and an object of the file of `--json`. */
export interface Result {
  readonly name: string;
  readonly unit: string;
  /** Of ours, over the rounds. */
  readonly median: number;
  /** Of ours: the largest less the smallest of the rounds. */
  readonly spread: number;
  /** The median of what ours is held against. */
  readonly ceiling: number;
  /** The median of the rounds' own ratios; more is better, also where the figure is a time. */
  readonly ratio: number;
  /** What the ratio should reach. */
  readonly goal: number;
}

export interface BenchmarkContext {
  /** Fewer and smaller rounds: enough to see that it runs, and roughly how fast. */
  readonly isQuick: boolean;
  /** The one of `peers` that was asked for. */
  readonly peer: string | null;
  /** Owns whatever the benchmark starts. */
  readonly scope: Scope;
  /** Says how far it is, on one line. */
  readonly say: (message: string) => void;
}

export interface Benchmark {
  readonly name: string;
  /** On one line. */
  readonly description: string;
  /** Other programs that it can be run beside. */
  readonly peers: readonly string[];
  /** @returns why it cannot run on this machine; null where it can */
  obstacle(peer: string | null): string | null;
  run(context: BenchmarkContext): Promise<readonly Result[]>;
}
