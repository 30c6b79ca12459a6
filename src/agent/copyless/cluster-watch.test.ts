import { describe, expect, it } from 'vitest';

import type { ClusterView, JoinReply, JoinRequest } from '../../generated/raft.ts';
import { JarvisError, type ErrorCode } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import type { ClusterRecord } from '../../raft/data-directory.ts';
import { ClusterWatch } from './cluster-watch.ts';
import { COPYLESS_LIMITS } from './limits.ts';

const MEMBERS = ['n1', 'n2', 'n3'].map((name, at) => ({
  raft_id: at + 1,
  name,
  incarnation: `i${at + 1}`,
  address: `${name}:1`,
}));
const VIEW: ClusterView = {
  digest: 'd1',
  members: MEMBERS,
  nodes_without_copy: ['n9'],
  log_max_age_ms: 1,
  log_max_bytes: 2,
};

function leads(address: string): JoinReply {
  return { leader_address: address, cluster_id: '', epoch: 0, founders: [], raft_id: 0 };
}

function here(changes: Partial<JoinReply> = {}): JoinReply {
  return { leader_address: '', cluster_id: 'c', epoch: 7, founders: [], raft_id: 0, ...changes };
}

function begin() {
  const clock = new VirtualClock();
  const asked: (readonly [string, JoinRequest])[] = [];
  const answers: Record<string, JoinReply | ErrorCode> = {};
  const became: ClusterRecord[] = [];
  const removed: string[] = [];
  const views: ClusterView[] = [];
  const leaders: (string | null)[] = [];
  const watch = new ClusterWatch({
    request: {
      name: 'n9',
      incarnation: 'i9',
      address: 'n9:1',
      cluster_id: 'c',
      former_incarnation: 'i9',
      join_token: '',
      known_version: 2,
      works_without_copy: true,
    },
    members: [{ raftId: 1, name: 'n1', incarnation: 'i1', address: 'n1:1' }],
    addresses: ['n2:1'],
    ask: async (address, request) => {
      asked.push([address, request]);
      const answer = answers[address] ?? 'unavailable';
      if (typeof answer === 'string') throw new JarvisError(answer, `${address}: ${answer}`);
      return answer;
    },
    onMember: (record) => became.push(record),
    onRemoved: (reason) => removed.push(reason),
    onView: (view) => views.push(view),
    clock,
    random: () => 0.5,
    log: silentLog,
  });
  watch.onLeadership(({ leader }) => leaders.push(leader?.name ?? null));
  return { clock, asked, answers, became, removed, views, leaders, watch };
}

describe('the watch of a node without a copy', () => {
  it('knows who leads and who the nodes are, and is told of them once', async () => {
    const { clock, asked, answers, views, leaders, watch } = begin();
    answers['n1:1'] = leads('n2:1');
    answers['n2:1'] = here({ view: VIEW });
    watch.start();
    await clock.advance(0);
    expect(asked.map(([address]) => address)).toEqual(['n1:1', 'n2:1']);
    expect(watch.leadership()).toMatchObject({ isLeader: false, leader: { name: 'n2', address: 'n2:1' } });
    expect(watch.members().map(({ name }) => name)).toEqual(['n1', 'n2', 'n3']);
    expect(views).toEqual([VIEW]);

    answers['n2:1'] = here();
    await clock.advance(COPYLESS_LIMITS.askMs);
    expect(asked.slice(2).map(([address, { view_digest }]) => [address, view_digest])).toEqual([
      ['n2:1', 'd1'],
    ]);
    expect(watch.view).toEqual(VIEW);
    expect([views.length, leaders]).toEqual([1, ['n2']]);
    watch.close();
  });

  it('looks for another leader where that one is gone, soon where it is told to hurry', async () => {
    const { clock, asked, answers, leaders, watch } = begin();
    answers['n1:1'] = here({ view: VIEW });
    watch.start();
    await clock.advance(0);
    delete answers['n1:1'];
    answers['n3:1'] = 'no_leader';
    watch.hurry();
    await clock.advance(COPYLESS_LIMITS.hurryMs);
    expect(asked.map(([address]) => address)).toEqual(['n1:1', 'n1:1', 'n2:1', 'n3:1']);
    expect(watch.leadership().leader).toBeNull();
    answers['n3:1'] = here();
    await clock.advance(COPYLESS_LIMITS.retryMinMs);
    expect(watch.leadership().leader).toEqual({ name: 'n3', address: 'n3:1' });
    expect(leaders).toEqual(['n1', null, 'n3']);
    watch.close();
  });

  it('asks all the same where it is told to hurry more often than it can', async () => {
    const { clock, asked, answers, watch } = begin();
    answers['n1:1'] = here({ view: VIEW });
    watch.start();
    await clock.advance(0);
    for (let hurried = 0; hurried < 10; hurried += 1) {
      watch.hurry();
      await clock.advance(COPYLESS_LIMITS.hurryMs / 5);
    }
    expect(asked).toHaveLength(3);
    watch.close();
  });

  it('asks some at a time, each in its turn, so that members that elect a leader have time for that', async () => {
    const { clock, asked, answers, watch } = begin();
    const names = Array.from({ length: 10 }, (_, at) => `m${at}`);
    const members = names.map((name, at) => ({ ...MEMBERS[0], raft_id: at + 1, name, address: `${name}:1` }));
    answers['n1:1'] = here({ view: { ...VIEW, members: members as typeof MEMBERS } });
    watch.start();
    await clock.advance(0);
    delete answers['n1:1'];
    asked.splice(0);
    watch.hurry();
    await clock.advance(COPYLESS_LIMITS.hurryMs);
    expect(asked.map(([address]) => address)).toHaveLength(COPYLESS_LIMITS.askedAtOnce);
    await clock.advance(10_000);
    expect(new Set(asked.map(([address]) => address))).toEqual(
      new Set([...names.map((name) => `${name}:1`), 'n2:1']),
    );
    watch.close();
  });

  it('takes its time where thousands would ask with it', async () => {
    const { clock, asked, answers, watch } = begin();
    const names = Array.from({ length: 5000 }, (_, at) => `w${at}`);
    answers['n1:1'] = here({ view: { ...VIEW, nodes_without_copy: names } });
    watch.start();
    await clock.advance(0);
    watch.hurry();
    await clock.advance(COPYLESS_LIMITS.hurryMs + 400);
    expect(asked).toHaveLength(1);
    await clock.advance(100);
    expect(asked).toHaveLength(2);
    watch.close();
  });

  it('asks less and less often where nobody answers, and never less often than usual', async () => {
    const { clock, asked, watch } = begin();
    watch.start();
    await clock.advance(60_000);
    const rounds = asked.length / 2;
    expect(rounds).toBeGreaterThan(60_000 / COPYLESS_LIMITS.askMs);
    expect(rounds).toBeLessThan((60_000 / COPYLESS_LIMITS.askMs) * 2 + 10);
    watch.close();
  });

  it('hears that it is a member now', async () => {
    const { clock, answers, became, watch } = begin();
    answers['n1:1'] = here({ raft_id: 1044 });
    watch.start();
    await clock.advance(0);
    expect(became).toEqual([{ clusterId: 'c', epoch: 7, founders: [], raftId: 1044 }]);
    watch.close();
  });

  it('hears that it was removed', async () => {
    const { clock, answers, removed, watch } = begin();
    answers['n1:1'] = 'forbidden';
    watch.start();
    await clock.advance(0);
    expect(removed).toEqual(['n1:1: forbidden']);
    watch.close();
  });

  it('says nothing any more once it is closed', async () => {
    const { clock, asked, answers, views, watch } = begin();
    answers['n1:1'] = here({ view: VIEW });
    watch.start();
    watch.close();
    await clock.advance(60_000);
    expect([asked.length, views]).toEqual([1, []]);
  });
});
