/** The Raft paper ("In Search of an Understandable Consensus Algorithm", extended version), section by section. */
import { describe, expect, it } from 'vitest';

import { LoneCore, names, normal, voting } from './lone-core.test-kit.ts';
import type { MessageType } from './types.ts';

describe('5.1 terms', () => {
  it.each(['app', 'appResp', 'vote', 'voteResp', 'heartbeat'] as const)(
    'a leader that meets a higher term in %s becomes a follower of that term',
    (type: MessageType) => {
      const node = new LoneCore();
      node.lead();
      node.receive(type, 3, { term: 5 });
      expect(node.core.status()).toMatchObject({ role: 'follower', term: 5 });
    },
  );

  it('what comes from a lower term is refused', () => {
    const node = new LoneCore({}, { hardState: { term: 3, vote: 0, commit: 0 } });
    node.receive('app', 2, { term: 2, entries: [normal(2, 1)] });
    node.receive('vote', 2, { term: 2 });
    expect(node.core.status()).toMatchObject({ term: 3, leader: 0, lastIndex: 0, vote: 0 });
    expect(node.settle()).toEqual([]);
  });
});

describe('5.2 leader election', () => {
  it('a follower that hears nothing campaigns within one to two election timeouts, and not always at the same time', () => {
    const waits = new Set<number>();
    const node = new LoneCore();
    for (let election = 0; election < 200; election += 1) {
      const { term } = node.core.status();
      let ticks = 0;
      while (node.core.status().term === term) {
        node.core.tick();
        ticks += 1;
      }
      waits.add(ticks);
      node.settle();
    }
    expect([...waits].sort((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  });

  it('a candidate enters a new term, votes for itself and asks all others', () => {
    const node = new LoneCore();
    node.core.campaign();
    expect(names(node.settle())).toEqual(['vote>2', 'vote>3']);
    expect(node.core.status()).toMatchObject({ role: 'candidate', term: 1, vote: 1 });
  });

  it('a majority of votes makes a leader, a majority of refusals a follower', () => {
    const winner = new LoneCore({}, { snapshot: { index: 0, term: 0, confState: voting(1, 2, 3, 4, 5) } });
    winner.core.campaign();
    winner.settle();
    winner.receive('voteResp', 2);
    winner.receive('voteResp', 3, { reject: true });
    expect(winner.core.status().role).toBe('candidate');
    winner.receive('voteResp', 4);
    expect(winner.core.status().role).toBe('leader');

    const loser = new LoneCore();
    loser.core.campaign();
    loser.settle();
    loser.receive('voteResp', 2, { reject: true });
    loser.receive('voteResp', 3, { reject: true });
    expect(loser.core.status().role).toBe('follower');
  });

  it('a vote is given once in a term, to the first that asks', () => {
    const node = new LoneCore();
    node.receive('vote', 2, { term: 1 });
    node.receive('vote', 3, { term: 1 });
    node.receive('vote', 2, { term: 1 });
    expect(node.settle().map(({ to, reject }) => [to, reject])).toEqual([
      [2, false],
      [3, true],
      [2, false],
    ]);
  });

  it('a vote leaves when it is durable, and the own vote counts only then', () => {
    const node = new LoneCore();
    node.receive('vote', 2, { term: 1 });
    node.drain();
    expect(node.takeSent()).toEqual([]);
    node.writeOne();
    expect(names(node.takeSent())).toEqual(['voteResp>2']);

    const alone = new LoneCore({}, { snapshot: { index: 0, term: 0, confState: voting(1) } });
    alone.core.campaign();
    alone.drain();
    expect(alone.core.status().role).toBe('candidate');
    alone.writeOne();
    expect(alone.core.status().role).toBe('leader');
  });

  it('a candidate asks for votes when its term and its own vote are durable: else it could be elected twice in a term', () => {
    const node = new LoneCore();
    node.core.campaign();
    node.drain();
    expect(names(node.takeSent())).toEqual([]);
    node.writeOne();
    expect(names(node.takeSent())).toEqual(['vote>2', 'vote>3']);
  });

  it('a candidate that hears from a leader of its term follows it', () => {
    const node = new LoneCore();
    node.core.campaign();
    node.receive('heartbeat', 3);
    expect(node.core.status()).toMatchObject({ role: 'follower', term: 1, leader: 3 });
  });

  it('a leader sends heartbeats', () => {
    const node = new LoneCore();
    node.lead();
    node.core.tick();
    expect(names(node.settle())).toEqual(['heartbeat>2', 'heartbeat>3']);
  });
});

describe('5.3 log replication', () => {
  it('an entry is committed when a majority has it durably, the leader itself included', () => {
    const node = new LoneCore();
    node.lead();
    node.acknowledge(2);
    node.settle();
    node.propose('x');
    node.drain();
    node.receive('appResp', 2, { index: 2 });
    node.drain();
    // Two of three hold it, but the leader's own is still on its way to the disk.
    expect(node.core.status().commit).toBe(1);
    node.settle();
    expect(node.core.status().commit).toBe(2);
    expect(node.committed.map(({ index }) => index)).toEqual([1, 2]);
  });

  it('followers may commit for a leader whose disk is slow; it applies when its own disk has it', () => {
    const node = new LoneCore();
    node.lead();
    node.propose('x');
    node.drain();
    node.acknowledge(2, 3);
    node.drain();
    expect(node.core.status().commit).toBe(2);
    expect(node.committed.map(({ index }) => index)).toEqual([1]);
    node.settle();
    expect(node.committed.map(({ index }) => index)).toEqual([1, 2]);
  });

  it('a follower acknowledges entries when they are durable', () => {
    const node = new LoneCore();
    node.receive('app', 2, { term: 1, entries: [normal(1, 1, 'x')] });
    node.drain();
    expect(node.takeSent()).toEqual([]);
    expect(node.settle()).toMatchObject([{ type: 'appResp', index: 1, reject: false }]);
  });

  it('a follower without the entry before refuses, and hints at where its log may agree', () => {
    const entries = [normal(1, 1), normal(1, 2), normal(3, 3), normal(3, 4)];
    const node = new LoneCore({}, { hardState: { term: 3, vote: 0, commit: 0 }, entries });
    node.receive('app', 2, { term: 4, index: 4, logTerm: 2 });
    expect(node.settle()).toMatchObject([{ reject: true, index: 4, rejectHint: 2, logTerm: 1 }]);
    node.receive('app', 2, { term: 4, index: 9, logTerm: 4 });
    expect(node.settle()).toMatchObject([{ reject: true, index: 9, rejectHint: 4, logTerm: 3 }]);
  });

  it('a leader brings figure 7 to its own log, skipping a term with each answer', () => {
    const entries = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6].map((term, at) => normal(term, at + 1));
    const node = new LoneCore({}, { hardState: { term: 7, vote: 0, commit: 0 }, entries });
    node.lead();
    // Follower (f) of the figure: 1 1 1 2 2 2 3 3 3 3 3.
    node.receive('appResp', 2, { index: 10, reject: true, rejectHint: 10, logTerm: 3 });
    expect(node.settle()).toMatchObject([{ type: 'app', index: 3, logTerm: 1, entries: { length: 8 } }]);
  });

  it('messages of the past and repeated ones change nothing (idempotence)', () => {
    const node = new LoneCore();
    const append = { term: 1, index: 0, logTerm: 0, entries: [normal(1, 1), normal(1, 2)], commit: 2 };
    node.receive('app', 2, append);
    node.receive('app', 2, { ...append, entries: [normal(1, 1)], commit: 1 });
    node.receive('app', 2, append);
    node.settle();
    expect(node.core.status()).toMatchObject({ lastIndex: 2, commit: 2 });
    expect(node.committed).toHaveLength(2);
  });
});

describe('5.4 safety', () => {
  it('5.4.1 no vote for one whose log is behind', () => {
    const entries = [normal(1, 1), normal(2, 2)];
    const refuses = (index: number, logTerm: number): boolean | undefined => {
      const node = new LoneCore({}, { hardState: { term: 2, vote: 0, commit: 0 }, entries });
      node.receive('vote', 2, { term: 3, index, logTerm });
      return node.settle()[0]?.reject;
    };
    expect(refuses(1, 2)).toBe(true);
    expect(refuses(9, 1)).toBe(true);
    expect(refuses(2, 2)).toBe(false);
    expect(refuses(1, 3)).toBe(false);
  });

  it('5.4.2 figure 8: an entry of an earlier term is never committed by counting', () => {
    const entries = [normal(1, 1), normal(2, 2)];
    const node = new LoneCore({}, { hardState: { term: 3, vote: 0, commit: 0 }, entries });
    node.lead();
    node.receive('appResp', 2, { index: 2 });
    node.settle();
    expect(node.core.status()).toMatchObject({ term: 4, commit: 0 });
    node.receive('appResp', 2, { index: 3 });
    node.settle();
    expect(node.core.status().commit).toBe(3);
  });
});

describe('5.5 crashes', () => {
  it('term, vote and log come back; what was applied is not applied again', () => {
    const entries = [normal(1, 1), normal(1, 2), normal(1, 3)];
    const node = new LoneCore({}, { hardState: { term: 4, vote: 3, commit: 3 }, entries, applied: 2 });
    node.settle();
    expect(node.core.status()).toMatchObject({ term: 4, vote: 3, commit: 3, lastIndex: 3 });
    expect(node.committed.map(({ index }) => index)).toEqual([3]);
    node.receive('vote', 2, { index: 9, logTerm: 9 });
    expect(node.settle()).toMatchObject([{ type: 'voteResp', reject: true }]);
  });
});

/** Member 3 has never answered. */
function leaderWithSnapshot(): LoneCore {
  const node = new LoneCore();
  node.lead();
  node.propose('x', 'y');
  node.settle();
  node.acknowledge(2);
  node.settle();
  node.core.compact({ index: 2, term: 1, confState: voting(1, 2, 3) });
  return node;
}

describe('7 log compaction', () => {
  it('a follower that needs what is gone gets the snapshot, and then the rest', () => {
    const node = leaderWithSnapshot();
    node.receive('appResp', 3, { index: 0, reject: true, rejectHint: 0 });
    expect(node.settle()).toMatchObject([{ type: 'snap', to: 3, snapshot: { index: 2, term: 1 } }]);
    // Nothing else is sent meanwhile.
    node.core.tick();
    node.receive('heartbeatResp', 3);
    expect(names(node.settle())).toEqual(['heartbeat>2', 'heartbeat>3']);
    node.receive('appResp', 3, { index: 2 });
    expect(node.settle()).toMatchObject([{ type: 'app', to: 3, index: 2, entries: [{ index: 3 }] }]);
  });

  it('one whose transfer failed is tried again when it answers', () => {
    const node = leaderWithSnapshot();
    node.receive('appResp', 3, { index: 0, reject: true, rejectHint: 0 });
    node.settle();
    node.core.reportSnapshot(3, false);
    expect(node.settle()).toEqual([]);
    node.receive('heartbeatResp', 3);
    expect(names(node.settle())).toEqual(['snap>3']);
  });

  it('a received snapshot replaces the log and the configuration, and is acknowledged when it is installed', () => {
    const node = new LoneCore({}, { entries: [normal(1, 1)], hardState: { term: 1, vote: 0, commit: 0 } });
    const snapshot = { index: 5, term: 2, confState: voting(1, 2) };
    node.receive('snap', 2, { term: 2, snapshot });
    node.drain();
    expect(node.writing.at(-1)).toMatchObject({ snapshot, mustSync: true });
    expect(node.takeSent()).toEqual([]);
    node.core.campaign();
    expect(node.core.status().role).toBe('follower');
    expect(node.settle()).toMatchObject([{ type: 'appResp', index: 5 }]);
    expect(node.core.status()).toMatchObject({ applied: 5, lastIndex: 5, confState: voting(1, 2) });
  });

  it('an append from below what is compacted is answered with what is committed', () => {
    const snapshot = { index: 5, term: 1, confState: voting(1, 2, 3) };
    const node = new LoneCore({}, { snapshot, hardState: { term: 1, vote: 0, commit: 5 } });
    node.receive('app', 2, { index: 3, logTerm: 1, entries: [normal(1, 4)] });
    expect(node.settle()).toMatchObject([{ type: 'appResp', reject: false, index: 5 }]);
  });

  it('one that the log already contains only moves the commit index; an older one changes nothing', () => {
    const entries = [normal(1, 1), normal(1, 2), normal(1, 3)];
    const node = new LoneCore({}, { entries, hardState: { term: 1, vote: 0, commit: 0 } });
    const confState = voting(1, 2, 3);
    node.receive('snap', 2, { snapshot: { index: 2, term: 1, confState } });
    expect(node.settle()).toMatchObject([{ type: 'appResp', index: 2 }]);
    node.receive('snap', 2, { snapshot: { index: 1, term: 1, confState } });
    expect(node.settle()).toMatchObject([{ type: 'appResp', index: 2 }]);
    expect(node.core.status()).toMatchObject({ lastIndex: 3, commit: 2, applied: 2 });
  });
});
