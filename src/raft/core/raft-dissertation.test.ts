/** Ongaro's dissertation where it goes beyond the paper, and what a real disk and network add to it. */
import { describe, expect, it } from 'vitest';

import type { ConfChange } from './confchange.ts';
import { ELECTION_TICKS, LoneCore, names, normal, voting } from './lone-core.test-kit.ts';
import { SimulatedNetwork } from './network.test-kit.ts';

function change(transition: ConfChange['transition'], ...changes: ConfChange['changes']): ConfChange {
  return { transition, changes, context: new Uint8Array() };
}

function leader(options = {}): LoneCore {
  const node = new LoneCore(options);
  node.lead();
  node.acknowledge(2, 3);
  node.settle();
  return node;
}

describe('3.10 leadership transfer', () => {
  it('orders the target to campaign at once where its log is complete, and later where it is not', () => {
    const node = leader();
    node.core.transferLeadership(2);
    expect(names(node.settle())).toEqual(['timeoutNow>2']);

    const other = leader();
    other.propose('x');
    other.settle();
    other.core.transferLeadership(2);
    expect(names(other.settle())).not.toContain('timeoutNow>2');
    other.acknowledge(2);
    expect(names(other.settle())).toContain('timeoutNow>2');
  });

  it('takes no proposals meanwhile, and gives up after an election timeout', () => {
    const node = leader();
    node.core.transferLeadership(2);
    expect(node.propose('x')).toMatchObject({ type: 'refused', reason: 'transferring', leader: 1 });
    for (let tick = 0; tick < ELECTION_TICKS; tick += 1) node.core.tick();
    expect(node.propose('x')).toMatchObject({ type: 'accepted', index: 2 });
  });

  it('goes to no learner and to no stranger', () => {
    const confState = { ...voting(1, 2), learners: [3] };
    const node = new LoneCore({}, { snapshot: { index: 0, term: 0, confState } });
    node.lead();
    node.core.transferLeadership(3);
    node.core.transferLeadership(9);
    expect(node.core.status().transferTarget).toBe(0);
    expect(node.settle()).toEqual([]);
  });

  it('is no matter of leases: the target needs no pre-vote and is not ignored', () => {
    const node = new LoneCore({ preVote: true, checkQuorum: true });
    node.receive('heartbeat', 2, { term: 1 });
    node.receive('timeoutNow', 2);
    expect(node.settle().slice(-2)).toMatchObject([
      { type: 'vote', to: 2, term: 2, context: 'transfer' },
      { type: 'vote', to: 3, term: 2, context: 'transfer' },
    ]);
    const voter = new LoneCore({ preVote: true, checkQuorum: true });
    voter.receive('heartbeat', 2, { term: 1 });
    voter.settle();
    voter.receive('vote', 3, { term: 2, context: 'transfer' });
    expect(voter.settle()).toMatchObject([{ type: 'voteResp', reject: false }]);
  });
});

describe('4 membership changes', () => {
  it('one at a time: the next is refused until the one before is applied', () => {
    const node = leader();
    const add = change('auto', { type: 'addLearner', id: 4 });
    expect(node.core.proposeConfChange(add)).toMatchObject({ type: 'accepted', index: 2 });
    expect(node.core.proposeConfChange(add)).toMatchObject({ reason: 'pendingConfChange' });
    node.settle();
    node.acknowledge(2);
    node.settle();
    expect(node.core.confState.learners).toEqual([4]);
    expect(node.core.proposeConfChange(add).type).toBe('accepted');
  });

  it('a new leader waits for what its predecessor may have left', () => {
    const node = new LoneCore({}, { entries: [normal(1, 1)], hardState: { term: 1, vote: 0, commit: 0 } });
    node.lead();
    const add = change('auto', { type: 'addLearner', id: 4 });
    expect(node.core.proposeConfChange(add)).toMatchObject({ reason: 'pendingConfChange' });
    node.acknowledge(2);
    node.settle();
    expect(node.core.proposeConfChange(add).type).toBe('accepted');
  });

  it('4.2.1 a learner gets the log and does not count', () => {
    const node = leader();
    node.core.proposeConfChange(change('auto', { type: 'addLearner', id: 4 }));
    node.settle();
    node.acknowledge(2);
    expect(names(node.settle())).toContain('app>4');
    node.propose('x');
    node.settle();
    node.acknowledge(4);
    node.settle();
    expect(node.core.status().commit).toBe(2);
  });

  it('4.3 joint: both majorities decide, and it is left by itself', () => {
    const node = leader();
    const replace = change('auto', { type: 'remove', id: 3 }, { type: 'addVoter', id: 4 });
    node.core.proposeConfChange(replace);
    node.settle();
    node.acknowledge(2);
    node.settle();
    expect(node.core.confState).toMatchObject({ voters: [1, 2, 4], votersOutgoing: [1, 2, 3] });
    // The change that leaves is in the log already: 1 and 3 are no majority of the new voters.
    expect(node.core.status().lastIndex).toBe(3);
    node.acknowledge(3);
    node.settle();
    expect(node.core.status().commit).toBe(2);
    node.acknowledge(4);
    node.settle();
    expect(node.core.confState).toEqual(voting(1, 2, 4));
  });

  it('4.3 joint: the new majority alone does not decide either', () => {
    const node = leader();
    const replace = change('explicit', { type: 'remove', id: 3 }, { type: 'addVoter', id: 4 });
    node.core.proposeConfChange(replace);
    node.settle();
    node.acknowledge(2);
    node.settle();
    node.propose('x');
    node.settle();
    node.acknowledge(4);
    node.settle();
    expect(node.core.status().commit).toBe(2);
    node.acknowledge(3);
    node.settle();
    expect(node.core.status().commit).toBe(3);
  });

  it('nobody campaigns with a committed change that is not applied', () => {
    const data = new Uint8Array([1, 0, 1, 0, 4]);
    const entries = [{ term: 1, index: 1, type: 'confChange', data } as const];
    const node = new LoneCore({}, { entries, hardState: { term: 1, vote: 0, commit: 1 } });
    node.core.campaign();
    expect(node.core.status().role).toBe('follower');
    node.settle();
    node.core.campaign();
    expect(node.core.status().role).toBe('candidate');
  });

  it('4.2.2 a leader that is removed steps down where it is told to', () => {
    const node = leader({ stepDownOnRemoval: true });
    node.core.proposeConfChange(change('auto', { type: 'remove', id: 1 }));
    node.settle();
    node.acknowledge(2, 3);
    node.settle();
    expect(node.core.status()).toMatchObject({ role: 'follower', leader: 0 });
    expect(node.propose('x')).toMatchObject({ type: 'refused', reason: 'notLeader' });
    node.core.campaign();
    expect(node.core.status().role).toBe('follower');
  });

  it('a removed leader with a longer log tells its only successor what it needs in order to lead', () => {
    const removed = leader({ stepDownOnRemoval: true });
    removed.core.proposeConfChange(change('auto', { type: 'remove', id: 1 }));
    removed.settle();
    removed.acknowledge(2, 3);
    removed.propose('beyond');
    removed.settle();
    removed.receive('vote', 2, { term: 2, index: 2, logTerm: 1 });
    expect(removed.settle()).toMatchObject([{ reject: true, commit: 2, logTerm: 1 }]);

    const entries = removed.core.entriesFrom(1).slice(0, 2);
    const successor = new LoneCore(
      { id: 2 },
      {
        entries,
        hardState: { term: 1, vote: 0, commit: 1 },
        snapshot: { index: 0, term: 0, confState: voting(1, 2) },
      },
    );
    successor.settle();
    successor.core.campaign();
    successor.settle();
    successor.receive('voteResp', 1, { reject: true, commit: 2, logTerm: 1 });
    successor.settle();
    expect(successor.core.confState).toEqual(voting(2));
    successor.core.campaign();
    successor.settle();
    expect(successor.core.status().role).toBe('leader');
  });

  it('what is invalid changes nothing', () => {
    const node = leader();
    node.core.proposeConfChange(
      change('auto', { type: 'remove', id: 1 }, { type: 'remove', id: 2 }, { type: 'remove', id: 3 }),
    );
    node.settle();
    node.acknowledge(2, 3);
    node.settle();
    expect(node.core.status()).toMatchObject({ applied: 2, confState: voting(1, 2, 3) });
    const unknown = { term: 1, index: 3, type: 'confChange', data: new Uint8Array([99]) } as const;
    expect(node.core.applyConfChange(unknown)).toEqual(voting(1, 2, 3));
  });

  it('an entry that is still being applied when a snapshot arrives leaves the newer configuration alone', () => {
    const add = new Uint8Array([1, 0, 1, 1, 4]);
    const entry = { term: 1, index: 1, type: 'confChange', data: add } as const;
    const hardState = { term: 1, vote: 0, commit: 0 };
    const node = new LoneCore({}, { entries: [entry], hardState });
    const confState = voting(2, 3, 5);
    node.receive('snap', 2, { snapshot: { index: 9, term: 1, confState } });
    expect(node.core.applyConfChange(entry)).toEqual({ ...voting(1, 2, 3), learners: [4] });
    expect(node.core.confState).toEqual(confState);
    node.settle();
    expect(node.core.confState).toEqual(confState);
  });

  it('changes that were applied before a restart are in force after it', () => {
    const add = new Uint8Array([1, 0, 1, 1, 4]);
    const entries = [1, 2].map((index) => ({ term: 1, index, type: 'confChange', data: add }) as const);
    const node = new LoneCore({}, { entries, hardState: { term: 1, vote: 0, commit: 1 }, applied: 1 });
    expect(node.core.confState).toEqual({ ...voting(1, 2, 3), learners: [4] });
  });
});

describe('6.2 check-quorum', () => {
  it('a leader that hears of no majority for an election timeout steps down', () => {
    const node = leader({ checkQuorum: true });
    for (let tick = 0; tick < 2 * ELECTION_TICKS; tick += 1) node.core.tick();
    expect(node.core.status()).toMatchObject({ role: 'follower', term: 1, leader: 0 });
  });

  it('who heard of a leader lately heeds no candidate, and keeps its term', () => {
    const node = new LoneCore({ checkQuorum: true });
    node.receive('heartbeat', 2, { term: 1 });
    node.settle();
    node.receive('vote', 3, { term: 7 });
    node.receive('preVote', 3, { term: 7 });
    expect(node.settle()).toEqual([]);
    expect(node.core.status()).toMatchObject({ term: 1, leader: 2 });
    for (let tick = 0; tick < ELECTION_TICKS; tick += 1) node.core.tick();
    node.receive('vote', 3, { term: 7 });
    expect(names(node.settle())).toContain('voteResp>3');
  });
});

describe('6.4 reads', () => {
  it('wait for a majority that still follows, asked after the read began', () => {
    const node = leader();
    expect(node.core.readIndex('a')).toEqual({ type: 'accepted' });
    const [heartbeat] = node.settle();
    expect(heartbeat).toMatchObject({ type: 'heartbeat', context: 'a' });
    node.receive('heartbeatResp', 2);
    node.settle();
    expect(node.reads).toEqual([]);
    node.receive('heartbeatResp', 2, { context: 'a' });
    node.settle();
    expect(node.reads).toEqual(['a@1']);
  });

  it('are confirmed by a majority, not by fewer', () => {
    const confState = voting(1, 2, 3, 4, 5);
    const node = new LoneCore({}, { snapshot: { index: 0, term: 0, confState } });
    node.core.campaign();
    node.settle();
    for (const id of [2, 3]) node.receive('voteResp', id);
    node.settle();
    node.acknowledge(2, 3);
    node.settle();
    node.core.readIndex('a');
    node.receive('heartbeatResp', 2, { context: 'a' });
    node.receive('heartbeatResp', 2, { context: 'a' });
    node.settle();
    expect(node.reads).toEqual([]);
    node.receive('heartbeatResp', 5, { context: 'a' });
    node.settle();
    expect(node.reads).toEqual(['a@1']);
  });

  it('a later round confirms the earlier ones', () => {
    const node = leader();
    node.core.readIndex('a');
    node.core.readIndex('b');
    node.settle();
    node.receive('heartbeatResp', 3, { context: 'b' });
    node.settle();
    expect(node.reads).toEqual(['a@1', 'b@1']);
  });

  it('are refused before an entry of the own term is committed, and by followers', () => {
    const node = new LoneCore();
    expect(node.core.readIndex('a')).toEqual({ type: 'refused', reason: 'notLeader', leader: 0 });
    node.lead();
    expect(node.core.readIndex('a')).toEqual({ type: 'refused', reason: 'noOwnTermCommit', leader: 1 });
  });

  it('are answered at once with a lease', () => {
    const node = leader({ readOnly: 'lease', checkQuorum: true });
    node.core.readIndex('a');
    node.settle();
    expect(node.reads).toEqual(['a@1']);
  });

  it('by lease rest on followers that heed no candidate, also after a restart that made them forget the leader', () => {
    const follower = new LoneCore({ keepsLeases: true, checkQuorum: true });
    const ask = (): readonly string[] => {
      follower.receive('preVote', 2, { term: 2, index: 5, logTerm: 1 });
      return follower.settle().map(({ type }) => type);
    };
    for (let ticks = 0; ticks < ELECTION_TICKS; ticks += 1) {
      expect(ask()).toEqual([]);
      follower.core.tick();
    }
    expect(ask()).toEqual(['preVoteResp']);
    follower.receive('heartbeat', 3, { term: 1 });
    follower.settle();
    follower.core.leaderStreamReset(3);
    follower.core.forgetLeader();
    expect(ask()).toEqual([]);
  });

  it('of a follower go to the leader and back, where forwarding is on', () => {
    const follower = new LoneCore({ forwardProposals: true });
    follower.receive('heartbeat', 2, { term: 1 });
    follower.settle();
    expect(follower.core.readIndex('a').type).toBe('accepted');
    expect(follower.settle()).toMatchObject([{ type: 'readIndex', to: 2, context: 'a' }]);
    follower.receive('readIndexResp', 2, { context: 'a', index: 7 });
    follower.settle();
    expect(follower.reads).toEqual(['a@7']);

    const asked = leader();
    asked.receive('readIndex', 3, { term: 0, context: 'a' });
    asked.settle();
    asked.receive('heartbeatResp', 2, { context: 'a' });
    expect(asked.settle()).toMatchObject([{ type: 'readIndexResp', to: 3, context: 'a', index: 1 }]);
  });
});

describe('9.6 pre-vote', () => {
  it('changes neither term nor vote, and is won before the term is entered', () => {
    const node = new LoneCore({ preVote: true });
    node.core.campaign();
    expect(node.settle()).toMatchObject([
      { type: 'preVote', to: 2, term: 1 },
      { type: 'preVote', to: 3, term: 1 },
    ]);
    expect(node.core.status()).toMatchObject({ role: 'preCandidate', term: 0, vote: 0 });
    node.receive('preVoteResp', 2, { term: 1 });
    expect(node.core.status()).toMatchObject({ role: 'candidate', term: 1, vote: 1 });
  });

  it('a follower whose leader died asks soon, and at once forgets the lease', () => {
    const node = new LoneCore({ preVote: true, checkQuorum: true });
    node.receive('heartbeat', 2, { term: 1 });
    node.settle();
    node.core.leaderStreamReset(3);
    expect(node.core.status().leader).toBe(2);
    node.core.leaderStreamReset(2);
    expect(node.core.status().leader).toBe(0);
    for (let tick = 0; tick < ELECTION_TICKS - 1; tick += 1) node.core.tick();
    expect(names(node.settle())).toContain('preVote>3');
  });

  it('but not where the leader turns out to live', () => {
    const node = new LoneCore({ preVote: true, checkQuorum: true });
    node.receive('heartbeat', 2, { term: 1 });
    node.core.leaderStreamReset(2);
    node.receive('heartbeat', 2);
    node.settle();
    for (let tick = 0; tick < ELECTION_TICKS - 1; tick += 1) node.core.tick();
    expect(node.settle()).toEqual([]);
  });
});

describe('10.2.1 writing to disk while replicating', () => {
  it('an old completion does not acknowledge a tail that was rewritten, in the next term or in the same', () => {
    const node = new LoneCore();
    node.receive('app', 2, { term: 1, entries: [normal(1, 1), normal(1, 2)] });
    node.drain();
    node.receive('app', 3, { term: 2, entries: [normal(2, 1)] });
    node.drain();
    node.writeOne();
    expect(node.core.status()).toMatchObject({ durableIndex: 0, lastIndex: 1 });
    node.settle();
    expect(node.core.status().durableIndex).toBe(1);
  });

  it('also where the term was written before the tail was replaced', () => {
    const node = new LoneCore();
    node.receive('app', 2, { term: 1, entries: [normal(1, 1)] });
    node.drain();
    node.receive('heartbeat', 3, { term: 2 });
    node.drain();
    expect(node.writing[1]).toMatchObject({ term: 2, index: 1, entries: [] });
    node.receive('app', 3, { term: 2, entries: [normal(2, 1)] });
    node.drain();
    node.writeOne();
    node.writeOne();
    expect(node.core.status().durableIndex).toBe(0);
    node.writeOne();
    expect(node.core.status().durableIndex).toBe(1);
  });

  it('also where the tail was replaced, and then replaced back', () => {
    const node = new LoneCore();
    for (const [from, term, entryTerm] of [
      [2, 1, 1],
      [3, 2, 2],
      [2, 3, 1],
    ] as const) {
      node.receive('app', from, { term, entries: [normal(entryTerm, 1)] });
      node.drain();
    }
    // The first write holds the same entry as the log, but the second will replace it on the disk.
    node.writeOne();
    node.writeOne();
    expect(node.core.status().durableIndex).toBe(0);
    node.writeOne();
    expect(node.core.status().durableIndex).toBe(1);
  });

  it('several writes may be under way, and are confirmed in order', () => {
    const node = leader();
    node.propose('x');
    node.drain();
    node.propose('y');
    node.drain();
    expect(node.writing.map(({ index }) => index)).toEqual([2, 3]);
    node.writeOne();
    expect(node.core.status().durableIndex).toBe(2);
  });
});

describe('limits', () => {
  it('proposals are refused beyond what may be uncommitted, and taken again when it is applied', () => {
    const node = leader({ maxUncommittedBytes: 10 });
    expect(node.propose('12345678').type).toBe('accepted');
    expect(node.propose('123')).toMatchObject({ type: 'refused', reason: 'overloaded' });
    expect(node.propose('')).toMatchObject({ type: 'accepted' });
    node.settle();
    node.acknowledge(2);
    node.settle();
    expect(node.core.status().uncommittedBytes).toBe(0);
    // One alone always fits.
    expect(node.propose('12345678901234567890').type).toBe('accepted');
  });

  it('a batch is one append of consecutive entries', () => {
    const node = leader();
    expect(node.propose('a', 'b', 'c')).toEqual({ type: 'accepted', term: 1, index: 2 });
    node.drain();
    expect(node.writing.at(-1)?.entries.map(({ index }) => index)).toEqual([2, 3, 4]);
  });

  it('a follower is sent no more than its window, in messages of bounded size', () => {
    const node = leader({ maxInflightMessages: 2, maxMessageBytes: 40 });
    for (let count = 0; count < 5; count += 1) node.propose('x'.repeat(10));
    const sent = node.settle().filter(({ type, to }) => type === 'app' && to === 2);
    expect(sent.map(({ entries }) => entries.map(({ index }) => index))).toEqual([[2], [3]]);
    node.receive('appResp', 2, { index: 3 });
    const next = node
      .settle()
      .filter(({ type, to, entries }) => type === 'app' && to === 2 && entries.length > 0);
    expect(next.map(({ entries }) => entries.map(({ index }) => index))).toEqual([[4], [5]]);
  });

  it('configurations that cannot be are refused at once', () => {
    expect(() => new LoneCore({ electionTicks: 1 })).toThrow(/elections wait/);
    expect(() => new LoneCore({ id: 0 })).toThrow(/Raft id/);
    expect(() => new LoneCore({ readOnly: 'lease' })).toThrow(/check-quorum/);
  });
});

describe('a peer that lost its log', () => {
  it('is noticed when it rejects what it acknowledged, and sent everything again', () => {
    const network = new SimulatedNetwork(3, 3);
    network.heal(60);
    for (let count = 0; count < 5; count += 1) network.propose();
    network.heal(5);
    const leading = network.leader();
    const loser = leading?.core.status().id === 3 ? 2 : 3;
    network.loseLogAfter(loser, 2);
    network.propose();
    network.heal(10);
    expect(network.leader()).toBe(leading);
    expect(leading?.core.takeNotices().join()).toMatch(/lost part of its log/);
    expect(network.nodes.get(loser)?.applied).toHaveLength(network.committed.size);
  });

  it('is noticed by a heartbeat, too, while nothing is proposed', () => {
    const network = new SimulatedNetwork(4, 3);
    network.heal(60);
    for (let count = 0; count < 5; count += 1) network.propose();
    network.heal(5);
    const leading = network.leader();
    const loser = leading?.core.status().id === 3 ? 2 : 3;
    network.loseLogAfter(loser, 0);
    network.heal(10);
    expect(network.nodes.get(loser)?.core.takeNotices().join()).toMatch(/the log ends at 0/);
    expect(leading?.core.takeNotices().join()).toMatch(/lost part of its log/);
    expect(network.nodes.get(loser)?.applied).toHaveLength(network.committed.size);
  });

  it('cannot make a leader panic, whatever it says', () => {
    const node = leader();
    node.receive('appResp', 2, { index: 99 });
    node.receive('appResp', 2, { index: 1, reject: true, rejectHint: 0 });
    node.receive('appResp', 2, { index: 1, reject: true, rejectHint: 0 });
    node.receive('heartbeatResp', 3, { reject: true, rejectHint: 0 });
    node.receive('app', 2, { entries: [normal(1, 1)] });
    node.receive('heartbeat', 1);
    node.settle();
    expect(node.core.status()).toMatchObject({ role: 'leader', commit: 1 });
    expect(node.core.takeNotices()).toHaveLength(5);
    node.acknowledge(2, 3);
    node.settle();
    expect(node.core.status().progress).toMatchObject([{}, { match: 1 }, { match: 1 }]);
  });
});
