/** For tests: Raft members in this process, the state of their leader, and its door for nodes that come and go. */
import type { BootstrapReply } from '../generated/raft.ts';
import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { JarvisError } from '../lib/errors.ts';
import { TestCluster as StateCluster } from '../operations/test-cluster.test-kit.ts';
import { MemoryCluster } from '../raft/testing/memory-cluster.ts';
import { turn } from '../raft/testing/memory-stores.ts';
import { CopylessNames } from './copyless-names.ts';
import { Entrance } from './entrance.ts';
import { LeaderMembershipControl } from './membership-control.ts';

const clusters: MemoryCluster[] = [];

/** After each test. */
export async function stopAll(): Promise<void> {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  await turn();
}

/** What a node answers that is asked who it is. */
export function blank(name: string, changes: Partial<BootstrapReply> = {}): BootstrapReply {
  return {
    name,
    incarnation: name,
    peers: [],
    agrees: false,
    cluster_id: '',
    founders: [],
    config: '',
    known_version: 0,

    ...changes,
  };
}

/** Founders, of whom one leads, and the state as it has it. */
export async function begin(size = 3, version = CLUSTER_VERSION) {
  const cluster = new MemoryCluster({ size });
  clusters.push(cluster);
  cluster.start();
  const leader = await cluster.leader();
  await cluster.until(() => cluster.members.every(({ id }) => id === leader.id || leader.node.isActive(id)));
  const known = new StateCluster([`n${leader.id}`], version);
  const replica = known.replica(`n${leader.id}`);
  let voters = size;
  let learners = 2;
  const entrance = new Entrance({
    raft: leader.node,
    replica,
    learnersAllowed: () => learners,
    learnersWanted: () => learners,
    silentMs: (name) => known.silentMs.get(name) ?? null,
  });
  const nodes = new Map<string, BootstrapReply>([['n4:1', blank('n4')]]);
  /** With whether it was a member still. */
  const barred: (readonly [name: string, isMember: boolean])[] = [];
  const control = new LeaderMembershipControl({
    raft: leader.node,
    clock: cluster.clock,
    targetVoters: () => voters,
    replica,
    entrance,
    bar: async (name) =>
      void barred.push([name, leader.node.membership.peers.some((peer) => peer.name === name)]),
    ask: async (address) => {
      const node = nodes.get(address);
      if (node === undefined) throw new JarvisError('unavailable', `${address} does not answer`);
      return node;
    },
  });
  const change = (action: string, name: string, more: { address?: string; other?: string } = {}) =>
    settle(
      cluster,
      control.change({ action, name, address: '', other: '', ...more }, new AbortController().signal),
    );
  const transfer = (to: string) => settle(cluster, control.transfer(to, new AbortController().signal));
  const keep = (count: number): void => {
    voters = count;
  };
  const keepLearners = (count: number): void => {
    learners = count;
  };
  return {
    cluster,
    leader,
    known,
    replica,
    entrance,
    names: new CopylessNames({ raft: leader.node, replica }),
    nodes,
    barred,
    change,
    transfer,
    keep,
    keepLearners,
  };
}

/** 'done', or the error. */
export async function settle(cluster: MemoryCluster, promise: Promise<unknown>): Promise<unknown> {
  let outcome: unknown = null;
  promise.then(
    () => (outcome = 'done'),
    (error: unknown) => (outcome = error),
  );
  await cluster.until(() => outcome !== null, 'an outcome');
  return outcome;
}
