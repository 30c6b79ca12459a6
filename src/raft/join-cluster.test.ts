import { describe, expect, it } from 'vitest';

import type { JoinReply } from '../generated/raft.ts';
import { JarvisError, type ErrorCode } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { joinCluster, type Place } from './join-cluster.ts';

const FOUNDER = { raft_id: 1, name: 'n1', incarnation: 'i1', address: 'n1:1' };
const LET_IN: JoinReply = {
  leader_address: '',
  cluster_id: 'c',
  epoch: 7,
  founders: [FOUNDER],
  raft_id: 1012,
};

function leads(address: string): JoinReply {
  return { leader_address: address, cluster_id: '', epoch: 0, founders: [], raft_id: 0 };
}

/** What the node at an address answers; asked for anew each time. */
type Answers = Readonly<Record<string, () => JoinReply | ErrorCode>>;

function begin(answers: Answers, addresses = Object.keys(answers)) {
  const clock = new VirtualClock();
  const stopping = new AbortController();
  const asked: string[] = [];
  let outcome: Place | Error | null = null;
  const joining = joinCluster({
    request: {
      name: 'n4',
      incarnation: 'i4',
      address: 'n4:1',
      cluster_id: '',
      former_incarnation: '',
      join_token: '',
      known_version: 0,
      works_without_copy: false,
      view_digest: '',
    },
    addresses,
    ask: async (address) => {
      asked.push(address);
      const answer = answers[address]?.() ?? 'unavailable';
      if (typeof answer === 'string') throw new JarvisError(answer, `${address}: ${answer}`);
      return answer;
    },
    clock,
    signal: stopping.signal,
    log: silentLog,
  });
  joining.then(
    (record) => (outcome = record),
    (error: unknown) => (outcome = error as Error),
  );
  return { clock, stopping, asked, outcome: () => outcome };
}

describe('a node that wants to be a member', () => {
  it('follows the word of whom it asks to the leader, and takes what that gives it', async () => {
    const { clock, asked, outcome } = begin({ 'n2:1': () => leads('n1:1'), 'n1:1': () => LET_IN }, ['n2:1']);
    await clock.advance(0);
    expect(asked).toEqual(['n2:1', 'n1:1']);
    const { raft_id: raftId, ...rest } = FOUNDER;
    expect(outcome()).toEqual({
      record: { clusterId: 'c', epoch: 7, founders: [{ raftId, ...rest }], raftId: 1012 },
      view: null,
    });
  });

  it('may be let in without a copy, and is told then whom it has to ask', async () => {
    const view = {
      digest: 'd',
      members: [FOUNDER],
      nodes_without_copy: ['n4'],
      log_max_age_ms: 1,
      log_max_bytes: 2,
    };
    const { clock, outcome } = begin({ 'n1:1': () => ({ ...LET_IN, raft_id: 0, view }) });
    await clock.advance(0);
    expect(outcome()).toMatchObject({ record: { clusterId: 'c', raftId: 0 }, view });
  });

  it('is not let in without a copy by one that does not say who the members are', async () => {
    const { clock, outcome } = begin({ 'n1:1': () => ({ ...LET_IN, raft_id: 0 }) });
    await clock.advance(0);
    expect(outcome()).toBeNull();
  });

  it('asks one after the other for as long as nobody leads', async () => {
    let isOver = false;
    const { clock, asked, outcome } = begin({
      'n1:1': () => 'unavailable',
      'n2:1': () => (isOver ? LET_IN : 'no_leader'),
    });
    await clock.advance(10 * 60_000);
    expect(outcome()).toBeNull();
    expect(asked.slice(0, 4)).toEqual(['n1:1', 'n2:1', 'n1:1', 'n2:1']);
    isOver = true;
    await clock.advance(2 * limits.bootstrapRetryMs);
    expect(outcome()).toMatchObject({ record: { raftId: 1012 } });
  });

  it('goes in no circle where two take each other for the leader', async () => {
    const { clock, asked, outcome } = begin({ 'n1:1': () => leads('n2:1'), 'n2:1': () => leads('n1:1') });
    await clock.advance(0);
    expect(asked).toHaveLength(limits.joinHops);
    expect(outcome()).toBeNull();
  });

  it('waits out what may pass, for a while', async () => {
    let conflicts = 3;
    const passing = begin({ 'n1:1': () => ((conflicts -= 1) < 0 ? LET_IN : 'conflict') });
    await passing.clock.advance(5 * limits.bootstrapRetryMs);
    expect(passing.outcome()).toMatchObject({ record: { clusterId: 'c' } });

    const lasting = begin({ 'n1:1': () => 'conflict' });
    await lasting.clock.advance(limits.joinConflictMs - limits.bootstrapRetryMs);
    expect(lasting.outcome()).toBeNull();
    await lasting.clock.advance(2 * limits.bootstrapRetryMs);
    expect(lasting.outcome()).toMatchObject({ code: 'conflict', message: 'n1:1: conflict' });
  });

  it.each(['invalid', 'malformed', 'forbidden', 'unauthenticated'] as const)(
    'does not ask again after %s',
    async (code) => {
      const { clock, asked, outcome } = begin({ 'n1:1': () => code, 'n2:1': () => LET_IN });
      await clock.advance(1000);
      expect(asked).toEqual(['n1:1']);
      expect(outcome()).toMatchObject({ code });
    },
  );

  it('stops when it is told to', async () => {
    const { clock, stopping, asked, outcome } = begin({ 'n1:1': () => 'no_leader' });
    await clock.advance(0);
    const reason = new Error('the node is stopping');
    stopping.abort(reason);
    await clock.advance(limits.bootstrapRetryMs);
    expect(outcome()).toBe(reason);
    expect(asked).toEqual(['n1:1']);
  });
});
