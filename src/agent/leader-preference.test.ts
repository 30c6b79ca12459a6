import { describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { limits } from '../lib/limits.ts';
import type { NodeRow } from '../model/node.ts';
import type { Replica } from '../scheduler/ports.ts';
import { MemoryCluster } from '../raft/testing/memory-cluster.ts';
import { clockOffsetMs, LeaderPreference, objectionTo } from './leader-preference.ts';

type Facts = Pick<NodeRow, 'status' | 'schedulable' | 'labels'>;

function node(changes: Partial<Facts> = {}): Facts {
  return { status: 'AVAILABLE', schedulable: true, labels: [], ...changes };
}

function zoned(...zones: readonly (string | null)[]): ReadonlyMap<string, Facts> {
  return new Map(
    zones.map((zone, at) => [`n${at + 1}`, node({ labels: zone === null ? [] : [['zone', zone]] })]),
  );
}

const VOTERS = ['n1', 'n2', 'n3'];

describe('what stands against leading', () => {
  it('is being drained, or taking no work', () => {
    const nodes = new Map([
      ['n1', node({ status: 'DRAINING' })],
      ['n2', node({ schedulable: false })],
      ['n3', node()],
    ]);
    expect(VOTERS.map((name) => objectionTo(name, nodes, VOTERS))).toEqual([
      'it is DRAINING',
      'it is cordoned',
      null,
    ]);
    expect(objectionTo('n9', nodes, VOTERS)).toBeNull();
  });

  it('is a zone with fewer voters than another has, where all zones are known', () => {
    const poor = VOTERS.map((name) => objectionTo(name, zoned('a', 'a', 'b'), VOTERS));
    expect(poor).toEqual([null, null, 'zone b has fewer voters than another']);
    expect(VOTERS.map((name) => objectionTo(name, zoned('a', 'b', 'c'), VOTERS))).toEqual([null, null, null]);
    expect(VOTERS.map((name) => objectionTo(name, zoned('a', null, 'b'), VOTERS))).toEqual([
      null,
      null,
      null,
    ]);
  });

  it('is a clock that most others contradict', () => {
    expect(clockOffsetMs([])).toBe(0);
    expect(clockOffsetMs([90_000])).toBe(0);
    expect(clockOffsetMs([90_000, 91_000])).toBe(90_000);
    expect(clockOffsetMs([-90_000, -91_000])).toBe(-90_000);
    expect(clockOffsetMs([90_000, 0, 10, 5])).toBe(5);
    expect(clockOffsetMs([90_000, 80_000, 0, 0])).toBe(0);
  });
});

async function begin(nodes: (leader: string) => ReadonlyMap<string, Facts>, offsets: readonly number[] = []) {
  const cluster = new MemoryCluster({ size: 3 });
  cluster.start();
  const leader = await cluster.leader();
  const rows = nodes(`n${leader.id}`);
  const replica = { state: { nodes: rows } } as unknown as Pick<Replica, 'state'>;
  const preference = new LeaderPreference({
    name: `n${leader.id}`,
    raft: leader.node,
    replica,
    clockOffsets: () => offsets,
    clock: cluster.clock,
    log: silentLog,
  });
  preference.start();
  return { cluster, leader, preference };
}

async function end({ cluster, preference }: Awaited<ReturnType<typeof begin>>): Promise<void> {
  preference.close();
  await cluster.stop();
}

describe('a leader that should rather not lead', () => {
  it('hands over', async () => {
    const scene = await begin((leader) => new Map([[leader, node({ schedulable: false })]]));
    await scene.cluster.until(() => !scene.leader.node.leadership().isLeader, 'its handing over');
    expect(await scene.cluster.leader()).not.toBe(scene.leader);
    await end(scene);
  });

  it('hands over for its clock', async () => {
    const scene = await begin(() => new Map(), [61_000, 70_000]);
    await scene.cluster.until(() => !scene.leader.node.leadership().isLeader, 'its handing over');
    expect(limits.clockOffsetMs).toBe(60_000);
    await end(scene);
  });

  it('leads on where the same stands against all', async () => {
    const all = new Map(VOTERS.map((name) => [name, node({ schedulable: false })]));
    const scene = await begin(() => all);
    const { term } = scene.leader.node.status();
    for (let passed = 0; passed < 5000; passed += limits.tickMs) await scene.cluster.pass();
    expect(scene.leader.node.status()).toMatchObject({ role: 'leader', term });
    await end(scene);
  });
});

describe('a follower that should rather not lead', () => {
  it('comes after the others for its clock', async () => {
    const cluster = new MemoryCluster({ size: 3 });
    cluster.start();
    const leader = await cluster.leader();
    const [wrong, right] = cluster.members.filter((member) => member !== leader);
    if (wrong === undefined || right === undefined) throw new Error('there are two others');
    const preference = new LeaderPreference({
      name: `n${wrong.id}`,
      raft: wrong.node,
      replica: { state: { nodes: new Map() } } as unknown as Pick<Replica, 'state'>,
      clockOffsets: () => [-61_000, -62_000],
      clock: cluster.clock,
      log: silentLog,
    });
    preference.start();
    for (let passed = 0; passed < 2000; passed += limits.tickMs) await cluster.pass();
    await cluster.lose(leader.id);
    expect(await cluster.leader()).toBe(right);
    await end({ cluster, leader, preference });
  });
});
