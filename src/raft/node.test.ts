import { afterEach, describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import type { Message } from './core/types.ts';
import type { Row } from './ports.ts';
import { MemoryCluster, type MemoryMember } from './testing/memory-cluster.ts';
import { turn } from './testing/memory-stores.ts';

const clusters: MemoryCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) {
    for (const { log, state } of cluster.members) {
      log.gate.open();
      state.gate.open();
    }
    await cluster.stop();
  }
  // A rejection that nobody heard of shows now, and fails the run.
  await turn();
});

async function begin(
  options: Partial<ConstructorParameters<typeof MemoryCluster>[0]> = {},
): Promise<{ cluster: MemoryCluster; leader: MemoryMember; followers: readonly MemoryMember[] }> {
  const cluster = new MemoryCluster({ size: 3, ...options });
  clusters.push(cluster);
  cluster.start();
  const leader = await cluster.leader();
  return { cluster, leader, followers: cluster.members.filter((member) => member !== leader) };
}

/** Said already, so that nobody counts it as unhandled. */
function settled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

async function failure(member: MemoryMember): Promise<unknown> {
  return await member.node.failed.catch((error: unknown) => error);
}

function first<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined) throw new Error('there is none');
  return item;
}

/** Of an empty state. */
async function aborted(signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
  });
}

async function* noRows(): AsyncGenerator<never> {}

describe('a Raft node', () => {
  it('elects, replicates and answers with the outcome; all members apply the same', async () => {
    const { cluster, leader } = await begin();
    expect(await cluster.propose(leader, 'a')).toBe('1');
    const many = ['b', 'c', 'd'].map((text) => leader.node.propose(Buffer.from(text)));
    let outcomes: readonly unknown[] = [];
    void Promise.all(many).then((all) => (outcomes = all));
    await cluster.until(() => outcomes.length === 3);
    expect(outcomes).toEqual(['2', '3', '4']);
    await cluster.until(() => cluster.members.every(({ state }) => state.texts.length === 4));
    for (const { state } of cluster.members) expect(state.texts).toEqual(['a', 'b', 'c', 'd']);
  });

  it('shares one append among all that is proposed in one turn', async () => {
    const { cluster, leader } = await begin();
    const writes: number[] = [];
    const { log } = leader;
    const append = log.append.bind(log);
    log.append = (request) => {
      writes.push(request.entries.length);
      return append(request);
    };
    const proposals = ['a', 'b', 'c'].map((text) => leader.node.propose(Buffer.from(text)));
    await cluster.until(() => leader.state.texts.length === 3);
    await Promise.all(proposals);
    expect(writes[0]).toBe(3);
  });

  it('keeps a commit index that needs no write of its own with the next write', async () => {
    const { cluster, leader } = await begin();
    await cluster.propose(leader, 'one');
    const { commit } = leader.node.status();
    // Everybody has heard of the commit, and written nothing since.
    await cluster.until(() => cluster.members.every(({ node }) => node.status().commit === commit));
    await cluster.propose(leader, 'two');
    const written = (): readonly number[] => cluster.members.map(({ log }) => log.disk.hardState.commit);
    await cluster.until(() => written().every((index) => index >= commit));
    expect(Math.min(...written())).toBeGreaterThanOrEqual(commit);
  });

  it('refuses what it cannot do', async () => {
    const { cluster, leader, followers } = await begin();
    const follower = first(followers);
    await expect(cluster.propose(follower, 'a')).rejects.toMatchObject({ code: 'no_leader' });
    await expect(follower.node.readIndex(new AbortController().signal)).rejects.toMatchObject({
      code: 'no_leader',
    });
    expect(() => follower.node.transferLeadership(follower.id)).toThrow(/does not lead/);
    const large = Buffer.alloc(limits.entryBytes + 1);
    await expect(leader.node.propose(large)).rejects.toMatchObject({ code: 'too_large' });
    const many = Array.from({ length: limits.pendingProposals }, () =>
      settled(leader.node.propose(Buffer.from('x'))),
    );
    await expect(leader.node.propose(Buffer.from('x'))).rejects.toMatchObject({ code: 'too_many' });
    await leader.node.stop();
    expect((await Promise.allSettled(many)).map(({ status }) => status)).not.toContain('fulfilled');
  });

  it('reads at an index that holds all that was acknowledged before', async () => {
    const { cluster, leader } = await begin();
    await cluster.propose(leader, 'a');
    const applied = leader.node.appliedIndex;
    let index = 0;
    void leader.node.readIndex(new AbortController().signal).then((at) => (index = at));
    await cluster.until(() => index > 0);
    expect(index).toBeGreaterThanOrEqual(applied);
  });

  it('does not read once it is cut off, though it has not noticed yet', async () => {
    const { cluster, leader } = await begin();
    cluster.network.cut(leader.id);
    let ended: unknown = null;
    leader.node.readIndex(new AbortController().signal).catch((error: unknown) => (ended = error));
    await cluster.until(() => ended !== null);
    expect(ended).toMatchObject({ code: 'no_leader' });
  });

  it('tells its listeners of leadership only once all of earlier terms is applied', async () => {
    const { cluster, leader, followers } = await begin();
    await cluster.propose(leader, 'a');
    const seen: { isLeader: boolean; texts: number }[] = [];
    for (const member of followers) {
      member.node.onLeadership(({ isLeader }) => seen.push({ isLeader, texts: member.state.texts.length }));
    }
    await leader.node.stop();
    cluster.network.cut(leader.id);
    await cluster.until(() => seen.some(({ isLeader }) => isLeader));
    expect(seen.filter(({ isLeader }) => isLeader)).toEqual([{ isLeader: true, texts: 1 }]);
  });
});

describe('the loss of a leader', () => {
  it('leaves its pending proposals undecided until the log says what became of them', async () => {
    const { cluster, leader } = await begin();
    await cluster.propose(leader, 'before');
    cluster.network.cut(leader.id);
    const outcome = settled(leader.node.propose(Buffer.from('cut off')));
    const next = await waitForOther(cluster, leader);
    await cluster.propose(next, 'after');
    cluster.network.heal();
    expect(await rejection(cluster, outcome)).toMatchObject({ code: 'no_leader' });
    await cluster.until(() => leader.state.texts.length === 2);
    for (const { state } of cluster.members) expect(state.texts).toEqual(['before', 'after']);
  });

  it('acknowledges what the next leader commits', async () => {
    const { cluster, leader, followers } = await begin();
    // The entry reaches the followers; their answers do not come back.
    const deaf = settled(leader.node.propose(Buffer.from('kept')));
    await cluster.until(() => followers.every(({ log }) => log.disk.entries.length === 2));
    cluster.network.cut(leader.id);
    await waitForOther(cluster, leader);
    cluster.network.heal();
    let outcome: unknown = null;
    void deaf.then((value) => (outcome = value));
    await cluster.until(() => outcome !== null);
    expect(outcome).toBe('1');
  });

  it('ends proposals that nobody can decide as unknown', async () => {
    const { cluster, leader } = await begin();
    cluster.network.cut(leader.id);
    const outcome = settled(leader.node.propose(Buffer.from('cut off')));
    expect(await rejection(cluster, outcome)).toMatchObject({ code: 'outcome_unknown' });
  });
});

describe('a node that fails or stops', () => {
  it('fails with the first write that fails, and acknowledges nothing from then on', async () => {
    const { cluster, leader } = await begin();
    leader.log.gate.close();
    const pending = settled(leader.node.propose(Buffer.from('a')));
    const followersHaveIt = (): boolean =>
      cluster.members.every(
        ({ id, log }) => id === leader.id || log.disk.entries.some(({ data }) => data.byteLength > 0),
      );
    await cluster.until(followersHaveIt);
    leader.log.fail(new Error('no space left'));
    await expect(pending).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(await failure(leader)).toMatchObject({ message: 'no space left' });
    expect(leader.node.leadership().isLeader).toBe(false);
    const said = leader.transport.sent.length;
    await expect(leader.node.propose(Buffer.from('b'))).rejects.toMatchObject({ code: 'no_leader' });
    await waitForOther(cluster, leader);
    expect(leader.transport.sent.length).toBe(said);
  });

  it('a follower does not acknowledge what its disk has not taken', async () => {
    const { cluster, leader, followers } = await begin();
    const [one, other] = [first(followers), first(followers.slice(1))];
    cluster.network.cut(other.id);
    one.log.gate.close();
    const pending = settled(leader.node.propose(Buffer.from('a')));
    await cluster.until(() =>
      leader.transport.sent.some(
        ({ to, entries }) => to === one.id && entries.some(({ data }) => data.byteLength > 0),
      ),
    );
    for (let count = 0; count < 50; count += 1) await turn();
    expect(leader.state.texts).toEqual([]);
    one.log.gate.open();
    await pendingValue(cluster, pending);
    expect(leader.state.texts).toEqual(['a']);
  });

  it('fails when its state machine does, and applies nothing after that', async () => {
    const { cluster, leader, followers } = await begin();
    const follower = first(followers);
    follower.state.failure = new Error('bad rows');
    await cluster.propose(leader, 'a');
    await cluster.propose(leader, 'b');
    expect(await failure(follower)).toMatchObject({ message: 'bad rows' });
    expect(follower.state.texts).toEqual([]);
  });

  it('lets go of state and log after a failure too, and only when nothing uses them', async () => {
    const { cluster, leader, followers } = await begin();
    const follower = first(followers);
    follower.state.gate.close();
    await cluster.propose(leader, 'a');
    const isApplying = (): boolean => follower.node.status().commit > follower.node.appliedIndex;
    await cluster.until(isApplying);
    follower.log.fail(new Error('gone'));
    void settled(leader.node.propose(Buffer.from('b')));
    await failure(follower);
    let stopped = 0;
    for (const stop of [follower.node.stop(), follower.node.stop()]) void stop.then(() => (stopped += 1));
    for (let count = 0; count < 20; count += 1) await turn();
    expect(stopped).toBe(0);
    expect(follower.log.closed).toBe(false);
    follower.state.gate.open();
    await cluster.until(() => stopped === 2);
    expect(follower.log.closed).toBe(true);
    expect(follower.state.texts).toEqual(['a']);
  });

  it('confirms that it leads once a quorum says so, and not where it was cut off', async () => {
    const { cluster, leader } = await begin();
    const never = new AbortController().signal;
    const confirmed = settled(leader.node.confirmLeadership(never));
    await cluster.until(() => true);
    await expect(confirmed).resolves.toBe(leader.node.status().term);
    cluster.network.cut(leader.id);
    const unconfirmed = settled(leader.node.confirmLeadership(never));
    await cluster.until(() => leader.node.status().role !== 'leader');
    await expect(unconfirmed).rejects.toMatchObject({ code: 'no_leader' });
  });

  it('ends what waits when it is stopped', async () => {
    const { cluster, leader } = await begin();
    cluster.network.cut(leader.id);
    const handedOut = settled(leader.node.propose(Buffer.from('a')));
    const read = settled(leader.node.readIndex(new AbortController().signal));
    await turn();
    const queued = settled(leader.node.propose(Buffer.from('b')));
    await leader.node.stop();
    await expect(handedOut).rejects.toMatchObject({ code: 'outcome_unknown' });
    await expect(queued).rejects.toMatchObject({ code: 'no_leader' });
    await expect(read).rejects.toMatchObject({ code: 'no_leader' });
    await expect(leader.node.propose(Buffer.from('c'))).rejects.toMatchObject({ code: 'no_leader' });
  });

  it('fails, and tells everybody, where a listener throws', async () => {
    const { cluster, leader, followers } = await begin();
    const told: string[] = [];
    for (const { node } of followers) {
      node.onLeadership(() => {
        told.push('first');
        throw new Error('a bug');
      });
      node.onLeadership(() => told.push('second'));
    }
    await leader.node.stop();
    cluster.network.cut(leader.id);
    await cluster.until(() => told.includes('second'));
    expect(told.slice(0, 2)).toEqual(['first', 'second']);
    const failed = await Promise.race(followers.map((member) => failure(member)));
    expect(failed).toMatchObject({ message: 'a bug' });
  });
});

/** It needs a snapshot when it is heard of again. */
async function leaveBehind(
  cluster: MemoryCluster,
  leader: MemoryMember,
  lagging: MemoryMember,
): Promise<void> {
  cluster.network.cut(lagging.id);
  // While it counts as there, the log is kept for it.
  await cluster.until(() => !leader.node.isActive(lagging.id));
  for (let count = 0; count < 45; count += 1) await cluster.propose(leader, `text ${count}`);
}

describe('snapshots of a node', () => {
  const snapshotBounds = { entries: 10, logBytes: 1_000_000 };

  it('are taken after the bound, the log is cut to the older of two', async () => {
    const { cluster, leader } = await begin({ snapshotBounds });
    for (let count = 0; count < 35; count += 1) await cluster.propose(leader, `text ${count}`);
    await cluster.until(() => leader.log.disk.snapshot !== null);
    const files = await leader.snapshots.list();
    expect(files).toHaveLength(2);
    expect(leader.log.disk.snapshot).toEqual({ ...files[1]?.meta, peers: files[1]?.peers });
    expect(leader.core.termAt(1)).toBeNull();
  });

  it('go only once the log no longer begins behind them: what a crash leaves can still be sent', async () => {
    const { cluster, leader } = await begin({ snapshotBounds });
    const { snapshots, log } = leader;
    const keepNewest = snapshots.keepNewest.bind(snapshots);
    const missing: number[] = [];
    snapshots.keepNewest = async (count) => {
      await keepNewest(count);
      const base = log.disk.snapshot?.index ?? 0;
      const files = await snapshots.list();
      if (base > 0 && !files.some(({ meta }) => meta.index === base)) missing.push(base);
    };
    for (let count = 0; count < 45; count += 1) await cluster.propose(leader, `text ${count}`);
    await cluster.until(() => leader.core.termAt(20) === null);
    expect(missing).toEqual([]);
    expect(await snapshots.list()).toHaveLength(2);
  });

  it('count for nothing while they are received and not installed: the log is not cut to them', async () => {
    const { cluster, leader } = await begin({ snapshotBounds });
    const confState = leader.core.confState;
    const rows = { rowCount: 0, digest: '', close: async () => {}, rows: noRows() };
    for (const index of [1000, 1001])
      await leader.snapshots.write({ index, term: 9, confState }, [], { ...rows, index });
    for (let count = 0; count < 45; count += 1) await cluster.propose(leader, `text ${count}`);
    await cluster.until(() => leader.log.disk.snapshot !== null);
    expect(leader.node.isRunning).toBe(true);
    const [newest, , own, base] = (await leader.snapshots.list()).map(({ meta }) => meta.index);
    expect(newest).toBe(1001);
    expect(own).toBeLessThanOrEqual(leader.state.appliedIndex);
    expect(leader.log.disk.snapshot?.index).toBe(base);
  });

  it('do not hold up a stop while they are written, and are no failure then', async () => {
    const { cluster, leader } = await begin({ snapshotBounds });
    const rows = leader.state.rows.bind(leader.state);
    let isRead = false;
    leader.state.rows = async () => ({ ...(await rows()), rows: endless() });
    async function* endless(): AsyncGenerator<Row> {
      for (;;) {
        isRead = true;
        yield { key: '0', value: Buffer.alloc(0) };
        await turn();
      }
    }
    for (let count = 0; count < 12; count += 1) await cluster.propose(leader, `text ${count}`);
    await cluster.until(() => isRead);
    let failed = false;
    leader.node.failed.catch(() => (failed = true));
    await leader.node.stop();
    expect(await leader.snapshots.list()).toEqual([]);
    expect(failed).toBe(false);
  });

  it('are taken for many bytes as well', async () => {
    const { cluster, leader } = await begin({ snapshotBounds: { entries: 1000, logBytes: 100 } });
    await cluster.propose(leader, 'x'.repeat(120));
    await cluster.until(() => leader.state.checkpointIndex > 0);
    expect(await leader.snapshots.list()).toHaveLength(1);
  });

  it('bring a follower up that is too far behind, and it goes on from there', async () => {
    const { cluster, leader, followers } = await begin({ snapshotBounds });
    const lagging = first(followers);
    await leaveBehind(cluster, leader, lagging);
    await cluster.until(() => leader.core.termAt(2) === null);
    const sent: Message[] = [];
    cluster.network.onSnapshot = (message) => void sent.push(message);
    cluster.network.heal();
    await cluster.until(() => lagging.state.texts.length === 45);
    expect(sent.length).toBeGreaterThan(0);
    await cluster.propose(leader, 'after');
    await cluster.until(() => lagging.state.texts.length === 46);
    expect(lagging.state.texts).toEqual(leader.state.texts);
    expect(lagging.transport.peers).toHaveLength(3);
    await lagging.node.stop();
    const again = cluster.restart(lagging.id);
    await cluster.until(() => again.state.texts.length === 46);
    expect(again.state.texts).toEqual(leader.state.texts);
  });

  it('bring it up with the first, however many are taken while it is sent and installed', async () => {
    const { cluster, leader, followers } = await begin({ snapshotBounds });
    const lagging = first(followers);
    await leaveBehind(cluster, leader, lagging);
    await cluster.until(() => leader.core.termAt(2) === null);
    const arrived = Promise.withResolvers<void>();
    const sent: number[] = [];
    cluster.network.onSnapshot = (message) => {
      sent.push(message.snapshot?.index ?? 0);
      return arrived.promise;
    };
    cluster.network.heal();
    await cluster.until(() => sent.length > 0);
    const [newest] = await leader.snapshots.list();
    lagging.state.gate.close();
    for (let count = 45; count < 90; count += 1) await cluster.propose(leader, `text ${count}`);
    arrived.resolve();
    for (let count = 90; count < 135; count += 1) await cluster.propose(leader, `text ${count}`);
    lagging.state.gate.open();
    await cluster.until(() => lagging.state.texts.length === 135);
    expect(sent).toEqual([newest?.meta.index]);
    // And nothing is kept for it any more.
    for (let count = 135; count < 170; count += 1) await cluster.propose(leader, `text ${count}`);
    await cluster.until(() => leader.core.termAt(newest?.meta.index ?? 0) === null);
  });

  it.each(['damaged', 'gone'])(
    'are taken anew, for a follower that needs one, where all are %s',
    async (how) => {
      const { cluster, leader, followers } = await begin({ snapshotBounds });
      const lagging = first(followers);
      await leaveBehind(cluster, leader, lagging);
      await cluster.until(() => leader.core.termAt(2) === null);
      const before = await leader.snapshots.list();
      if (how === 'damaged') for (const { path } of before) leader.snapshots.damaged.add(path);
      else await leader.snapshots.keepNewest(0);
      cluster.network.heal();
      await cluster.until(() => lagging.state.texts.length === 45);
      const [newest] = await leader.snapshots.list();
      expect(newest?.meta.index).toBeGreaterThan(before[0]?.meta.index ?? 0);
    },
  );

  it('are begun again, with the newest, for one that needs more of the log than may be kept', async () => {
    const { cluster, leader, followers } = await begin({
      snapshotBounds: { ...snapshotBounds, heldLogBytes: 100 },
    });
    const lagging = first(followers);
    await leaveBehind(cluster, leader, lagging);
    await cluster.until(() => leader.core.termAt(2) === null);
    const sent: number[] = [];
    cluster.network.onSnapshot = async (message, signal) => {
      sent.push(message.snapshot?.index ?? 0);
      if (sent.length === 1) await aborted(signal);
    };
    cluster.network.heal();
    await cluster.until(() => sent.length > 0);
    for (let count = 45; count < 90; count += 1) await cluster.propose(leader, `text ${count}`);
    await cluster.until(() => lagging.state.texts.length === 90);
    expect(sent).toHaveLength(2);
    expect(sent[1]).toBeGreaterThan(sent[0] ?? 0);
  });

  it('end the node where the log fails while an installation waits behind an apply', async () => {
    const { cluster, leader, followers } = await begin({ snapshotBounds });
    const lagging = first(followers);
    lagging.state.gate.close();
    await cluster.propose(leader, 'held');
    await cluster.until(() => lagging.node.status().commit > lagging.node.appliedIndex);
    await leaveBehind(cluster, leader, lagging);
    await cluster.until(() => leader.core.termAt(2) === null);
    const sent: Message[] = [];
    cluster.network.onSnapshot = (message) => void sent.push(message);
    cluster.network.heal();
    lagging.log.gate.close();
    await cluster.until(() => sent.length > 0);
    for (let count = 0; count < 50; count += 1) await turn();
    lagging.log.fail(new Error('no space left'));
    for (let count = 0; count < 50; count += 1) await turn();
    lagging.state.gate.open();
    expect(await failure(lagging)).toMatchObject({ message: 'no space left' });
    await lagging.node.stop();
    expect(lagging.state.texts).toEqual(['held']);
  });
});

describe('a restart', () => {
  it('of all members at once keeps what was acknowledged', async () => {
    const { cluster, leader } = await begin({ snapshotBounds: { entries: 4, logBytes: 1_000_000 } });
    for (let count = 0; count < 11; count += 1) await cluster.propose(leader, `text ${count}`);
    const texts = [...leader.state.texts];
    const terms = cluster.members.map(({ node }) => node.status().term);
    await cluster.stop();
    for (const { id } of cluster.members) cluster.restart(id);
    const next = await cluster.leader();
    expect(next.state.texts).toEqual(texts);
    expect(next.node.status().term).toBeGreaterThan(Math.max(...terms));
    expect(await cluster.propose(next, 'more')).toBe('12');
    await cluster.until(() => cluster.members.every(({ state }) => state.texts.length === 12));
  });
});

async function waitForOther(cluster: MemoryCluster, old: MemoryMember): Promise<MemoryMember> {
  const leading = (): MemoryMember | undefined =>
    cluster.members.find((member) => member !== old && member.node.leadership().isLeader);
  await cluster.until(() => leading() !== undefined, 'another leader');
  return first(cluster.members.filter((member) => member === leading()));
}

async function pendingValue(cluster: MemoryCluster, promise: Promise<unknown>): Promise<unknown> {
  let result: { value: unknown } | null = null;
  void promise.then((value) => (result = { value }));
  await cluster.until(() => result !== null);
  return (result as { value: unknown } | null)?.value;
}

async function rejection(cluster: MemoryCluster, promise: Promise<unknown>): Promise<unknown> {
  let error: unknown = null;
  promise.catch((reason: unknown) => (error = reason));
  await cluster.until(() => error !== null, 'a rejection');
  return error;
}
