import { describe, expect, it } from 'vitest';

import { FAULT_KINDS, NODES, planFaults, type Fault } from './faults.ts';

const NETWORK = ['cut', 'one-way'];

function kindsOf(lane: readonly Fault[] | undefined): readonly string[] {
  return [...new Set((lane ?? []).map(({ kind }) => kind))].sort();
}

describe('the plan of faults', () => {
  it('follows from the seed and the kinds alone', () => {
    const plan = planFaults(60, 7, FAULT_KINDS);
    expect(plan).toEqual(planFaults(60, 7, FAULT_KINDS));
    expect(plan).not.toEqual(planFaults(60, 8, FAULT_KINDS));
  });

  it('has one lane of processes and one of the network, each with all of its kinds, the leader first', () => {
    const [processes, network] = planFaults(120, 7, FAULT_KINDS);
    expect(kindsOf(processes)).toEqual(FAULT_KINDS.filter((kind) => !NETWORK.includes(kind)).toSorted());
    expect(kindsOf(network)).toEqual(NETWORK);
    for (const lane of [processes, network]) expect(lane?.[0]?.target.leader).toBe(true);
  });

  it('has only the chosen kinds, and none without any', () => {
    expect(planFaults(60, 7, ['pause-daemon']).map(kindsOf)).toEqual([['pause-daemon'], []]);
    expect(planFaults(60, 7, [])).toEqual([[], []]);
  });

  it('never keeps a majority away for long, and one fault of a lane ends before the next begins', () => {
    for (let seed = 0; seed < 100; seed += 1) {
      for (const lane of planFaults(60, seed, FAULT_KINDS)) {
        for (const [at, { atMs, kind, count, durationMs }] of lane.entries()) {
          expect(count === 1 || (kind === 'kill' && count <= NODES && durationMs <= 2000)).toBe(true);
          expect(lane[at + 1]?.atMs ?? Infinity).toBeGreaterThan(atMs + durationMs);
        }
      }
    }
  });

  it('outlasts leases of three seconds about half the time', () => {
    const pauses = Array.from({ length: 50 }, (_, seed) => planFaults(60, seed, ['pause-daemon'])).flat(2);
    const long = pauses.filter(({ durationMs }) => durationMs > 3000).length;
    expect(long / pauses.length).toBeGreaterThan(0.4);
  });
});
