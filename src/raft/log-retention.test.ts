import { describe, expect, it } from 'vitest';

import { LoneCore, voting } from './core/lone-core.test-kit.ts';
import type { Entry } from './core/types.ts';
import { followersOf, retention } from './log-retention.ts';

/** Ten bytes each. */
function entries(from: number, to: number): readonly Entry[] {
  return Array.from({ length: to - from + 1 }, (_, at) => ({
    term: 1,
    index: from + at,
    type: 'normal',
    data: Buffer.alloc(10),
  }));
}

describe('what is kept of the log for followers', () => {
  it('is nothing where all have what is cut', () => {
    const followers = [
      { id: 2, index: 20 },
      { id: 3, index: 35 },
    ];
    expect(retention(entries(11, 20), followers, 1000)).toEqual({ through: 20, givenUp: [] });
    expect(retention(entries(11, 20), [], 1000)).toEqual({ through: 20, givenUp: [] });
    expect(retention([], followers, 1000)).toEqual({ through: 0, givenUp: [] });
  });

  it('is what the one furthest behind needs', () => {
    const followers = [
      { id: 2, index: 15 },
      { id: 3, index: 12 },
    ];
    expect(retention(entries(11, 20), followers, 1000)).toEqual({ through: 12, givenUp: [] });
    expect(retention(entries(11, 20), [{ id: 2, index: 10 }], 1000)).toEqual({ through: 10, givenUp: [] });
  });

  it('is bounded in bytes; whoever needs more is given up, and holds up nothing', () => {
    const followers = [
      { id: 2, index: 15 },
      { id: 3, index: 14 },
    ];
    expect(retention(entries(11, 20), followers, 50)).toEqual({ through: 15, givenUp: [3] });
    expect(retention(entries(11, 20), followers, 49)).toEqual({ through: 20, givenUp: [2, 3] });
  });

  it('is nothing for one that needs what was cut before', () => {
    expect(retention(entries(11, 20), [{ id: 2, index: 9 }], 1000)).toEqual({ through: 20, givenUp: [] });
  });
});

describe('a follower of a leader whose snapshots follow each other faster than one is sent', () => {
  it('catches up after the first', () => {
    const lone = new LoneCore({ maxUncommittedBytes: 1e9 });
    lone.lead();
    const { core } = lone;
    let older = 0;
    /** As the applier does: the log is cut to the older of two snapshots. */
    const interval = (): void => {
      for (let count = 0; count < 20; count += 1) {
        lone.propose('x');
        lone.settle();
        lone.acknowledge(2);
        lone.settle();
      }
      const { applied, progress, firstIndex, term } = core.status();
      if (older > 0) {
        const known = { self: 1, isActive: (id: number) => id === 2 || wasHeard };
        const log = core.entriesFrom(firstIndex).filter(({ index }) => index <= older);
        const { through } = retention(log, followersOf(progress, known), 1000);
        core.compact({ index: older, term, confState: voting(1, 2, 3) }, through);
      }
      older = applied;
    };
    let wasHeard = false;
    for (let count = 0; count < 3; count += 1) interval();
    wasHeard = true;
    const ofThree = () => core.status().progress.find(({ id }) => id === 3);
    lone.receive('appResp', 3, { index: core.status().lastIndex, reject: true, rejectHint: 0 });
    lone.receive('heartbeatResp', 3);
    lone.receive('appResp', 3, { index: (ofThree()?.next ?? 0) - 1, reject: true, rejectHint: 0 });
    lone.settle();
    expect(ofThree()?.state).toBe('snapshot');
    const sent = ofThree()?.pendingSnapshot ?? 0;
    // Under way for longer than two intervals, and as long again until it is installed.
    for (let count = 0; count < 3; count += 1) interval();
    core.reportSnapshot(3, true);
    for (let count = 0; count < 3; count += 1) interval();
    expect(core.status().firstIndex).toBe(sent + 1);
    lone.receive('appResp', 3, { index: sent });
    expect(ofThree()?.state).toBe('replicate');
    lone.settle();
    lone.acknowledge(3);
    interval();
    expect(core.status().firstIndex).toBeGreaterThan(sent + 1);
  });
});
