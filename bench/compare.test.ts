import { describe, expect, it } from 'vitest';

import { compare, resultOf, type Measure } from './compare.ts';
import { Scope } from './scope.ts';

const calm = { settle: () => Promise.resolve() };

function context(signal = new AbortController().signal) {
  const said: string[] = [];
  return { said, scope: new Scope(signal), say: (message: string) => void said.push(message) };
}

/** Gives the figures one after the other and writes down whose turn it was. */
function side(turns: string[], label: string, ...figures: readonly number[]): Measure {
  let next = 0;
  return () => {
    turns.push(label);
    next += 1;
    return Promise.resolve(figures[next - 1] ?? Number.NaN);
  };
}

describe('a comparison', () => {
  it('measures in turn, and forgets the round that warms up', async () => {
    const turns: string[] = [];
    const { scope, say, said } = context();
    const results = await compare(
      { scope, say },
      {
        ...calm,
        name: 'rate',
        unit: 'tasks/s',
        better: 'higher',
        rounds: 3,
        goal: 0.6,
        ours: side(turns, 'A', 1, 50, 70, 60),
        ceiling: { label: 'bare', measure: side(turns, 'B', 1, 100, 100, 200) },
      },
    );
    expect(turns.join('')).toBe('ABABABAB');
    expect(results).toEqual([
      // The ratios of the rounds are 0.5, 0.7 and 0.3: not that of the medians.
      { name: 'rate', unit: 'tasks/s', median: 60, spread: 20, ceiling: 100, ratio: 0.5, goal: 0.6 },
    ]);
    expect(said).toEqual([
      'rate: warming up: ours 1, bare 1 tasks/s',
      'rate: round 1/3: ours 50, bare 100 tasks/s',
      'rate: round 2/3: ours 70, bare 100 tasks/s',
      'rate: round 3/3: ours 60, bare 200 tasks/s',
    ]);
  });

  it('has a row of its own for a peer', async () => {
    const turns: string[] = [];
    const [, row] = await compare(context(), {
      ...calm,
      name: 'latency',
      unit: 'ms',
      better: 'lower',
      rounds: 1,
      goal: 0.9,
      ours: side(turns, 'A', 1, 20),
      ceiling: { label: 'bare', measure: side(turns, 'B', 1, 10) },
      peer: { label: 'swarm', measure: side(turns, 'C', 1, 50) },
    });
    expect(turns.join('')).toBe('ABCABC');
    expect(row).toEqual({
      name: 'latency vs swarm',
      unit: 'ms',
      median: 20,
      spread: 0,
      ceiling: 50,
      ratio: 2.5,
      goal: 1,
    });
  });

  it('makes more of a ratio the better also of times, and of the goal', () => {
    const row = { name: 'latency', unit: 'ms', better: 'lower', goal: 1 / 1.15 } as const;
    expect(resultOf(row, [120, 110], [100, 100])).toMatchObject({ median: 115, goal: 0.8696 });
    expect(resultOf(row, [115], [100]).ratio).toBe(0.8696);
    expect(resultOf(row, [200], [100]).ratio).toBeLessThan(resultOf(row, [150], [100]).ratio);
  });

  it('is over at once when it is interrupted, though a measurement goes on', async () => {
    const controller = new AbortController();
    const running = compare(context(controller.signal), {
      ...calm,
      name: 'rate',
      unit: 'tasks/s',
      better: 'higher',
      rounds: 1,
      goal: 1,
      ours: () => new Promise(() => undefined),
      ceiling: { label: 'bare', measure: () => Promise.resolve(1) },
    });
    controller.abort('SIGINT');
    await expect(running).rejects.toBe('SIGINT');
  });
});
