/** The log against a model of it that has no disk. */
import { deepStrictEqual as deepEqual, strictEqual as equal } from 'node:assert';

import {
  array,
  assert,
  asyncProperty,
  constant,
  integer,
  nat,
  oneof,
  record,
  type Arbitrary,
} from 'fast-check';
import { expect, it } from 'vitest';

import { seededRandom } from '../../lib/random.ts';
import { unreachable } from '../../lib/assert.ts';
import type { Entry } from '../core/types.ts';
import { SimulatedLogFiles } from './simulated-log-files.test-kit.ts';
import { Wal } from './wal.ts';
import { runs } from '../../lib/testing/property-runs.ts';

const IDENTITY = {
  clusterId: '6f1c2d3e-0000-4000-8000-000000000001',
  incarnation: '6f1c2d3e-0000-4000-8000-00000000000a',
};
const CONF_STATE = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

function entry(index: number, term: number, bytes: number): Entry {
  return { index, term, type: 'normal', data: Buffer.alloc(bytes, index % 251) };
}

/** What the log must hold: a model of it, without any disk. */
interface Model {
  base: number;
  terms: number[];
  commit: number;
}

type Step =
  | { readonly type: 'append'; readonly back: number; readonly count: number; readonly bytes: number }
  | { readonly type: 'compact'; readonly part: number }
  | { readonly type: 'install'; readonly ahead: number }
  | { readonly type: 'reopen' }
  | { readonly type: 'powerCut'; readonly back: number; readonly operations: number; readonly seed: number };

const step: Arbitrary<Step> = oneof(
  {
    weight: 6,
    arbitrary: record({
      type: constant('append' as const),
      back: nat(5),
      count: integer({ min: 1, max: 8 }),
      bytes: nat(900),
    }),
  },
  { weight: 2, arbitrary: record({ type: constant('compact' as const), part: nat(10) }) },
  {
    weight: 1,
    arbitrary: record({ type: constant('install' as const), ahead: integer({ min: 1, max: 5 }) }),
  },
  { weight: 1, arbitrary: record({ type: constant('reopen' as const) }) },
  {
    weight: 2,
    arbitrary: record({ type: constant('powerCut' as const), back: nat(5), operations: nat(8), seed: nat() }),
  },
);

class Machine {
  readonly files = new SimulatedLogFiles();

  constructor() {
    this.files.makeDirectory('/log');
    this.files.syncDirectory('/');
  }

  model: Model = { base: 0, terms: [], commit: 0 };
  wal: Wal | null = null;
  term = 1;

  get last(): number {
    return this.model.base + this.model.terms.length;
  }

  async reopen(): Promise<readonly Entry[]> {
    const { wal, recovery } = await Wal.open('/log', IDENTITY, {
      create: true,
      segmentBytes: 8192,
      files: this.files,
    });
    this.wal = wal;
    equal(recovery.snapshot?.index ?? 0, this.model.base);
    return recovery.entries;
  }

  batch(back: number, count: number, bytes: number): Entry[] {
    const from = Math.max(this.model.commit, this.last - back, this.model.base) + 1;
    if (from <= this.last) this.term += 1;
    return Array.from({ length: count }, (_, position) => entry(from + position, this.term, bytes));
  }

  write(entries: readonly Entry[]): Promise<void> {
    const wal = this.wal as Wal;
    return wal.append({
      hardState: { term: this.term, vote: 1, commit: this.model.commit },
      entries,
      snapshot: null,
    });
  }

  apply(entries: readonly Entry[]): void {
    const from = (entries[0]?.index ?? 0) - this.model.base - 1;
    this.model.terms = [...this.model.terms.slice(0, from), ...entries.map(({ term }) => term)];
  }

  async run(action: Step): Promise<void> {
    switch (action.type) {
      case 'append': {
        const entries = this.batch(action.back, action.count, action.bytes);
        await this.write(entries);
        this.apply(entries);
        break;
      }
      case 'compact': {
        const index = this.model.base + Math.floor((this.model.terms.length * action.part) / 10);
        if (index === this.model.base) break;
        const term = this.model.terms[index - this.model.base - 1] ?? 0;
        await this.wal?.compact({ index, term, confState: CONF_STATE });
        this.model = { base: index, terms: this.model.terms.slice(index - this.model.base), commit: index };
        break;
      }
      case 'install': {
        const index = this.last + action.ahead;
        this.term += 1;
        const snapshot = { index, term: this.term, confState: CONF_STATE };
        await this.wal?.append({
          hardState: { term: this.term, vote: 0, commit: index },
          entries: [],
          snapshot,
        });
        this.model = { base: index, terms: [], commit: index };
        break;
      }
      case 'reopen':
        await this.wal?.close();
        this.check(await this.reopen());
        break;
      case 'powerCut':
        await this.#powerCut(action.back, action.operations, seededRandom(action.seed));
        break;
      default:
        unreachable(action);
    }
  }

  /** The power fails at some operation: what was not acknowledged is there afterwards wholly, or not at all. */
  async #powerCut(back: number, operations: number, random: () => number): Promise<void> {
    const entries = this.batch(back, 3, 500);
    let remaining = operations;
    this.files.onOperation = () => {
      remaining -= 1;
      if (remaining < 0) throw Object.assign(new Error('no power'), { code: 'EIO' });
    };
    const [written] = await Promise.allSettled([this.write(entries)]);
    this.files.onOperation = () => {};
    this.files.powerCut(random);
    const recovered = await this.reopen();
    const survived =
      recovered.at(-1)?.term === this.term && recovered.at(-1)?.index === entries.at(-1)?.index;
    if (written.status === 'fulfilled' || survived) this.apply(entries);
    this.check(recovered);
  }

  check(recovered: readonly Entry[]): void {
    deepEqual(
      recovered.map(({ index, term }) => [index, term]),
      this.model.terms.map((term, position) => [this.model.base + 1 + position, term]),
    );
  }
}

it('equals a model after any appends, truncations, compactions, installs, power cuts and openings', async () => {
  // On a failure fast-check prints the seed and the shortest steps that fail.
  const run = assert(
    asyncProperty(array(step, { maxLength: 40 }), async (steps) => {
      const machine = new Machine();
      await machine.reopen();
      for (const action of steps) await machine.run(action);
      await machine.run({ type: 'reopen' });
    }),
    { numRuns: runs(150) },
  );
  await expect(run).resolves.toBeUndefined();
});
