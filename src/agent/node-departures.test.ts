/** Nodes of the autoscaler leave real Raft members: learners, voters, and the leader itself. */
import { afterEach, describe, expect, it } from 'vitest';

import { MemoryCluster as RaftCluster, type MemoryMember } from '../raft/testing/memory-cluster.ts';
import { turn } from '../raft/testing/memory-stores.ts';
import { registrationOf } from '../scheduler/core/testing/values.ts';
import { MemoryCluster } from '../scheduler/testing/memory-cluster.ts';
import { scalingMembers } from './autoscaling.ts';
import { NodeDepartures } from './node-departures.ts';

const HEARTBEAT = { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 };
const clusters: RaftCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  await turn();
});

class Scene {
  readonly raft: RaftCluster;
  readonly state: MemoryCluster;
  /** How long nothing has been heard of any node. */
  silentMs = 0;
  readonly barred: string[] = [];

  private constructor(size: number) {
    this.raft = new RaftCluster({ size });
    clusters.push(this.raft);
    this.state = new MemoryCluster(() => this.raft.clock.wallMs());
    this.state.beforeApply = (command) => {
      if (command.type === 'barMember') this.barred.push(command.name);
    };
  }

  /** Founders, whose nodes have zones by name. */
  static async of(size: number, options: { voters?: number; zones?: Readonly<Record<string, string>> } = {}) {
    const { voters = size, zones = {} } = options;
    const scene = new Scene(size);
    const { raft, state } = scene;
    raft.start();
    const leader = await raft.leader();
    await raft.until(() => raft.members.every(({ id }) => id === leader.id || leader.node.isActive(id)));
    state.lead({ name: scene.nameOf(leader.id), address: '' });
    const membership = { voters, learners: 20, voterGraceMs: 300_000 };
    const config = { heartbeat: HEARTBEAT, membership };
    state.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: state.term });
    for (const { id } of raft.members) scene.register(scene.nameOf(id), zones[scene.nameOf(id)]);
    return scene;
  }

  get leader(): MemoryMember {
    const leader = this.raft.members.find(({ node }) => node.leadership().isLeader);
    if (leader === undefined) throw new Error('nobody leads');
    return leader;
  }

  nameOf(id: number): string {
    return this.raft.members[0]?.node.membership.peers.find(({ raftId }) => raftId === id)?.name ?? `n${id}`;
  }

  register(name: string, zone: string | undefined): void {
    const labels = zone === undefined ? [] : ([['zone', zone]] as const);
    const { result } = this.state.execute(registrationOf(name, { labels })) as {
      result: { session: number };
    };
    this.state.execute({ type: 'reconcileNode', node: name, session: result.session, known: [] });
  }

  /** A learner that has caught up. */
  async join(name: string, zone?: string): Promise<void> {
    const { node } = this.leader;
    const newcomer = { name, incarnation: name, address: `${name}:1` };
    void node.changeMembership({ type: 'add', node: newcomer, learnersAllowed: 20 });
    const idOf = () => node.membership.peers.find((peer) => peer.name === name)?.raftId;
    await this.raft.until(() => idOf() !== undefined, `${name} as a member`);
    this.raft.join(idOf() ?? 0);
    await this.raft.until(() => node.isCaughtUp(idOf() ?? 0), `${name} with the log`);
    this.register(name, zone);
  }

  /** A node without a copy, of that incarnation. */
  admit(name: string, incarnation: string = name): void {
    this.state.execute({ type: 'admitCopyless', name, incarnation, address: `${name}:1` });
  }

  drain(name: string): void {
    const asked = { type: 'drainNode', node: name, withinMs: 1000, graceMs: null, startId: null } as const;
    this.state.execute({ ...asked, idempotency: null });
    const drain = this.state.state.nodes.get(name)?.drain?.index ?? 0;
    this.state.execute({ type: 'nodeDrained', term: this.state.term, node: name, drain });
  }

  /** Of whoever leads. */
  departures(): NodeDepartures {
    const { leader, state } = this;
    const leads = this.nameOf(leader.id);
    if (state.leader?.name !== leads) state.lead({ name: leads, address: '' });
    const silentMs = (): number => this.silentMs;
    return new NodeDepartures({ replica: state.replica(leads), raft: leader.node, silentMs });
  }

  /** One step, by whoever leads. @returns what it comes to, or the words of its error */
  async step(name: string, isGone = false, departures = this.departures()): Promise<boolean | string> {
    let outcome: boolean | string | null = null;
    departures.leave(name, isGone).then(
      (hasLeft) => (outcome = hasLeft),
      (error: unknown) => (outcome = (error as Error).message),
    );
    await this.raft.until(() => outcome !== null, `a step of ${name}`);
    return outcome ?? '';
  }

  async pass(ticks: number): Promise<void> {
    for (let tick = 0; tick < ticks; tick += 1) await this.raft.pass();
  }

  get voters(): readonly string[] {
    return this.names('voters');
  }

  get copyless(): readonly string[] {
    return [...this.state.state.copylessNodes.keys()];
  }

  names(kind: 'voters' | 'learners'): readonly string[] {
    const { peers, confState } = this.leader.node.membership;
    return peers
      .filter(({ raftId }) => confState[kind].includes(raftId))
      .map(({ name }) => name)
      .sort();
  }

  get nodes(): readonly string[] {
    return [...this.state.state.nodes.keys()].sort();
  }

  /** A voter that does not lead. */
  get follower(): string {
    return this.nameOf(this.raft.members.find(({ id }) => id !== this.leader.id)?.id ?? 0);
  }
}

describe('a node that votes not', () => {
  it('is drained first, leaves the members, and then the list once it is silent', async () => {
    const scene = await Scene.of(3);
    await scene.join('auto');
    expect(await scene.step('auto')).toBe(false);
    expect(scene.state.state.nodes.get('auto')?.status).toBe('DRAINING');
    // Nothing more is to be done while it drains.
    expect(await scene.step('auto')).toBe(false);
    expect(scene.names('learners')).toEqual(['auto']);
    scene.drain('auto');
    expect(await scene.step('auto')).toBe(false);
    expect(scene.names('learners')).toEqual([]);
    expect(scene.barred).toEqual(['auto']);
    expect(await scene.step('auto')).toBe(false);
    expect(scene.nodes).toContain('auto');
    scene.silentMs = 2 * HEARTBEAT.intervalMs;
    expect(await scene.step('auto')).toBe(true);
    expect(scene.nodes).toEqual(['n1', 'n2', 'n3']);
    // Once more is fine.
    expect(await scene.step('auto')).toBe(true);
  });

  it('goes undrained and at once where its provider says that nothing of it runs', async () => {
    const scene = await Scene.of(3);
    await scene.join('auto');
    expect(await scene.step('auto', true)).toBe(false);
    expect(scene.names('learners')).toEqual([]);
    expect(await scene.step('auto', true)).toBe(true);
    expect(scene.nodes).toEqual(['n1', 'n2', 'n3']);
  });
});

describe('a node without a copy', () => {
  it('is drained first, is not let in any more, and leaves the list once it is silent', async () => {
    const scene = await Scene.of(3);
    scene.admit('auto');
    scene.register('auto', undefined);
    expect(await scene.step('auto')).toBe(false);
    expect(scene.state.state.nodes.get('auto')?.status).toBe('DRAINING');
    expect(scene.copyless).toEqual(['auto']);
    scene.drain('auto');
    expect(await scene.step('auto')).toBe(false);
    expect(scene.copyless).toEqual([]);
    expect(scene.barred).toEqual(['auto']);
    expect(await scene.step('auto')).toBe(false);
    expect(scene.nodes).toContain('auto');
    scene.silentMs = 2 * HEARTBEAT.intervalMs;
    expect(await scene.step('auto')).toBe(true);
    expect(scene.nodes).toEqual(['n1', 'n2', 'n3']);
  });

  it('goes undrained and at once where its provider says that nothing of it runs, also where it never came', async () => {
    const scene = await Scene.of(3);
    for (const name of ['came', 'never']) scene.admit(name);
    scene.register('came', undefined);
    for (const name of ['came', 'never']) {
      expect(await scene.step(name, true)).toBe(false);
      expect(await scene.step(name, true)).toBe(true);
    }
    expect(scene.copyless).toEqual([]);
    expect(scene.nodes).toEqual(['n1', 'n2', 'n3']);
  });

  it('that has become a member leaves as both, so that it does not go on as what it was', async () => {
    const scene = await Scene.of(3);
    await scene.join('auto');
    scene.admit('auto');
    scene.drain('auto');
    expect(await scene.step('auto')).toBe(false);
    expect([scene.copyless, scene.names('learners')]).toEqual([[], ['auto']]);
    expect(await scene.step('auto')).toBe(false);
    expect(scene.names('learners')).toEqual([]);
    scene.silentMs = 2 * HEARTBEAT.intervalMs;
    expect(await scene.step('auto')).toBe(true);
  });

  it('is known to the autoscaler, and as a member only once it is one', async () => {
    const scene = await Scene.of(3);
    await scene.join('learner');
    scene.admit('learner');
    scene.admit('bare');
    const leads = scene.nameOf(scene.leader.id);
    const members = scalingMembers(scene.state.replica(leads), scene.leader.node);
    const copy = { hasCopy: true, isCaughtUp: true };
    expect(members).toHaveLength(5);
    expect(members.slice(3)).toMatchObject([
      { name: 'learner', isVoter: false, ...copy },
      { name: 'bare', address: 'bare:1', isVoter: false, hasCopy: false, isCaughtUp: false },
    ]);
    expect(members.slice(0, 3).every(({ isVoter }) => isVoter)).toBe(true);
  });
});

describe('nodes that leave at once', () => {
  it('have their turn one after the other, and none of them fails', async () => {
    const scene = await Scene.of(3);
    const names = ['a', 'b', 'c'];
    for (const name of names) await scene.join(name);
    const departures = scene.departures();
    for (let left = names.length; left > 0; left -= 1) {
      expect(scene.names('learners')).toHaveLength(left);
      const steps = names.map((name) => scene.step(name, true, departures));
      for (const step of await Promise.all(steps)) expect(typeof step).toBe('boolean');
    }
    expect(scene.names('learners')).toEqual([]);
  });
});

describe('a voter', () => {
  it('gives its vote to another member in the same change, and goes with the next', async () => {
    const scene = await Scene.of(3);
    await scene.join('heir');
    const { follower } = scene;
    scene.drain(follower);
    expect(await scene.step(follower)).toBe(false);
    expect(scene.voters).toContain('heir');
    expect(scene.voters).toHaveLength(3);
    expect(scene.names('learners')).toEqual([follower]);
    expect(scene.barred).toEqual([]);
    expect(await scene.step(follower)).toBe(false);
    expect(scene.names('learners')).toEqual([]);
    expect(scene.barred).toEqual([follower]);
    expect(scene.voters).toHaveLength(3);
  });

  it('stays where nobody can take its vote, also where it is gone', async () => {
    const scene = await Scene.of(3);
    const { follower } = scene;
    scene.drain(follower);
    expect(await scene.step(follower)).toBe(
      `${follower} votes, and no member is there that could take its vote: 3 voters are kept`,
    );
    expect(await scene.step(follower, true)).toContain('no member is there that could take its vote');
    expect(scene.voters).toHaveLength(3);
    // One comes.
    await scene.join('heir');
    await scene.step(follower);
    await scene.step(follower);
    expect(scene.voters).toContain('heir');
    expect(scene.voters).toHaveLength(3);
    expect(scene.names('learners')).toEqual([]);
  });

  it('gives it to none that is about to leave, or has not the log', async () => {
    const scene = await Scene.of(3);
    await scene.join('leaving');
    await scene.join('silent');
    const { follower } = scene;
    scene.drain('leaving');
    const silent = scene.leader.node.membership.peers.find(({ name }) => name === 'silent')?.raftId ?? 0;
    scene.raft.network.cut(silent);
    await scene.raft.until(() => !scene.leader.node.isActive(silent), 'its silence');
    scene.drain(follower);
    expect(await scene.step(follower)).toContain('no member is there that could take its vote');
    scene.raft.network.heal();
    await scene.raft.until(() => scene.leader.node.isCaughtUp(silent), 'its return');
    expect(await scene.step(follower)).toBe(false);
    expect(scene.voters).toContain('silent');
  });

  it('goes without where there are more voters than are kept', async () => {
    const scene = await Scene.of(5, { voters: 3 });
    const { follower } = scene;
    scene.drain(follower);
    expect(await scene.step(follower)).toBe(false);
    expect(scene.voters).toHaveLength(4);
    expect(scene.voters).not.toContain(follower);
  });

  it('gives it to one in its own zone, and keeps it where it is the last voter there and nobody is', async () => {
    const scene = await Scene.of(3, { zones: { n1: 'a', n2: 'b', n3: 'c' } });
    const { follower } = scene;
    const zone = { n1: 'a', n2: 'b', n3: 'c' }[follower];
    await scene.join('elsewhere', 'd');
    scene.drain(follower);
    expect(await scene.step(follower)).toContain('no member is there that could take its vote');
    await scene.join('near', zone);
    expect(await scene.step(follower)).toBe(false);
    expect(scene.voters).toContain('near');
    expect(scene.voters).not.toContain('elsewhere');
    expect(scene.voters).not.toContain(follower);
  });
});

describe('the leader', () => {
  it('hands its leadership over, and whoever takes it lets it go as any other voter', async () => {
    const scene = await Scene.of(3);
    await scene.join('heir');
    const former = scene.nameOf(scene.leader.id);
    scene.drain(former);
    expect(await scene.step(former)).toBe(false);
    await scene.raft.until(
      () =>
        scene.raft.members.some(({ node, id }) => node.leadership().isLeader && scene.nameOf(id) !== former),
      'another leader',
    );
    // It hears of the members anew.
    await scene.pass(5);
    for (let steps = 0; steps < 2; steps += 1) expect(await scene.step(former)).toBe(false);
    expect(scene.voters).toContain('heir');
    expect(scene.voters).toHaveLength(3);
    expect(scene.names('learners')).toEqual([]);
    scene.silentMs = 2 * HEARTBEAT.intervalMs;
    expect(await scene.step(former)).toBe(true);
    expect(scene.nodes).not.toContain(former);
  });

  it('hands it to one that stays, where another voter leaves too', async () => {
    const scene = await Scene.of(3);
    const former = scene.nameOf(scene.leader.id);
    const [leaving = '', staying = ''] = scene.voters.filter((name) => name !== former);
    for (const name of [former, leaving]) scene.drain(name);
    await scene.step(former);
    await scene.raft.until(
      () =>
        scene.raft.members.some(({ node, id }) => node.leadership().isLeader && scene.nameOf(id) !== former),
      'another leader',
    );
    expect(scene.nameOf(scene.leader.id)).toBe(staying);
  });

  it('of which there is no other voter has a second one made first', async () => {
    const scene = await Scene.of(1);
    expect(await scene.step('n1')).toBe(false);
    scene.drain('n1');
    expect(await scene.step('n1')).toBe('n1 leads, and no other voter answers');
    await scene.join('heir');
    expect(await scene.step('n1')).toBe(false);
    expect(scene.voters).toEqual(['heir', 'n1']);
    await scene.raft.until(() =>
      scene.raft.members.every(({ id }) => id === 1 || scene.leader.node.isActive(id)),
    );
    expect(await scene.step('n1')).toBe(false);
    await scene.raft.until(
      () => scene.raft.members.some(({ node, id }) => node.leadership().isLeader && id !== 1),
      'the heir as leader',
    );
    await scene.pass(5);
    expect(await scene.step('n1')).toBe(false);
    expect(scene.voters).toEqual(['heir']);
    expect(scene.names('learners')).toEqual([]);
  });
});
