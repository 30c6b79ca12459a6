import { describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { PendingProposals } from './proposals.ts';

function setUp() {
  const clock = new VirtualClock();
  const proposals = new PendingProposals(clock);
  const add = (index: number, term: number): Promise<unknown> => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    proposals.add({ term, index }, resolve, reject);
    promise.catch(() => {});
    return promise;
  };
  return { clock, proposals, add };
}

describe('pending proposals', () => {
  it('are answered with the outcome of the entry at their position', async () => {
    const { proposals, add } = setUp();
    const [first, second] = [add(5, 2), add(6, 2)];
    proposals.applied(5, 2, 'five');
    proposals.applied(6, 2, 'six');
    expect(await first).toBe('five');
    expect(await second).toBe('six');
    expect(proposals.size).toBe(0);
  });

  it('have not happened where an entry of another term is applied at their position', async () => {
    const { proposals, add } = setUp();
    const lost = add(5, 2);
    proposals.applied(5, 3, 'of another');
    await expect(lost).rejects.toMatchObject({ code: 'no_leader' });
    expect(proposals.size).toBe(0);
  });

  it('say nothing before the log has decided which of two entries at one index is committed', async () => {
    const { proposals, add } = setUp();
    // Led in term 2, lost it and the tail of its log, leads again in term 5: the entry of term 2 may live elsewhere.
    const [older, newer] = [add(5, 2), add(5, 5)];
    expect(proposals.size).toBe(2);
    proposals.applied(5, 2, 'the older after all');
    expect(await older).toBe('the older after all');
    await expect(newer).rejects.toMatchObject({ code: 'no_leader' });
  });

  it('end as unknown when nothing is applied in time, each on its own', async () => {
    const { clock, proposals, add } = setUp();
    const first = add(5, 2);
    await clock.advance(limits.proposalTimeoutMs - 1);
    const second = add(5, 3);
    await clock.advance(1);
    await expect(first).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(proposals.size).toBe(1);
    proposals.applied(5, 3, 'done');
    expect(await second).toBe('done');
    await clock.advance(2 * limits.proposalTimeoutMs);
    expect(proposals.size).toBe(0);
  });

  it('are forgotten up to an index and no further', async () => {
    const { proposals, add } = setUp();
    const [covered, later] = [add(5, 2), add(6, 2)];
    proposals.forget(5, 'a snapshot');
    await expect(covered).rejects.toMatchObject({ code: 'outcome_unknown' });
    proposals.applied(5, 2, 'too late');
    proposals.applied(6, 2, 'six');
    expect(await later).toBe('six');
  });
});
