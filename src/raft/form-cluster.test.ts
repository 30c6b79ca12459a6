import {
  array,
  assert,
  asyncProperty,
  constant,
  constantFrom,
  integer,
  oneof,
  record,
  type Arbitrary,
} from 'fast-check';
import { describe, expect, it } from 'vitest';

import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { seededRandom } from '../lib/random.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { LOST_DISK, type FormedCluster, type PeerAddress } from './bootstrap.ts';
import { ClusterFormation } from './form-cluster.ts';
import { runs } from '../lib/testing/property-runs.ts';

const NAMES = ['n1', 'n2', 'n3'];
const PEERS: readonly PeerAddress[] = NAMES.map((name) => ({ name, address: `${name}:7101` }));

/** What a data directory keeps. */
interface Disk {
  readonly incarnation: string;
  cluster: FormedCluster | null;
}

interface Running {
  readonly formation: ClusterFormation;
  readonly stopping: AbortController;
  result: FormedCluster | typeof LOST_DISK | Error | null;
}

class World {
  readonly clock = new VirtualClock();
  readonly disks = new Map<string, Disk>();
  readonly running = new Map<string, Running>();
  /** By address: who answers there, where that is not whom the address is named after. */
  readonly moved = new Map<string, string>();
  /** Of an earlier build, which knows of no versions. */
  readonly old = new Set<string>();
  /** Called before an answer reaches who asked, or a question who is asked. */
  delay: () => Promise<void> = async () => {};
  #incarnations = 0;

  /** Every question and every answer takes up to half a second. */
  travelSlowly(seed: number): void {
    const random = seededRandom(seed);
    this.delay = () =>
      new Promise((resolve) => {
        this.clock.after(random() * 500, resolve);
      });
  }

  disk(name: string): Disk {
    const known = this.disks.get(name);
    if (known !== undefined) return known;
    this.#incarnations += 1;
    const disk = { incarnation: `${name} #${this.#incarnations}`, cluster: null };
    this.disks.set(name, disk);
    return disk;
  }

  start(name: string, options: { peers?: readonly PeerAddress[]; config?: string } = {}): Running {
    const disk = this.disk(name);
    const { peers = PEERS, config = '{}' } = options;
    const self = { name, incarnation: disk.incarnation, peers, config };
    const formation = new ClusterFormation({ self, formed: disk.cluster, log: silentLog });
    const stopping = new AbortController();
    const running: Running = { formation, stopping, result: disk.cluster };
    this.running.set(name, running);
    if (disk.cluster === null) void this.#form(disk, running);
    return running;
  }

  stop(name: string): void {
    this.running.get(name)?.stopping.abort();
    this.running.delete(name);
  }

  wipe(name: string): void {
    this.disks.delete(name);
  }

  formed(name: string): FormedCluster | null {
    return this.disks.get(name)?.cluster ?? null;
  }

  async rounds(count: number): Promise<void> {
    await this.clock.advance(count * limits.bootstrapRetryMs);
  }

  async #form(disk: Disk, running: Running): Promise<void> {
    const { formation, stopping } = running;
    try {
      const formed = await formation.form({
        ask: async (peer, request) => {
          await this.delay();
          const target = this.running.get(this.moved.get(peer.address) ?? peer.name);
          if (target === undefined) throw new JarvisError('unavailable', 'nobody there');
          const answer = target.formation.answer(structuredClone(request));
          await this.delay();
          return structuredClone(this.old.has(peer.name) ? { ...answer, known_version: 0 } : answer);
        },
        clock: this.clock,
        signal: stopping.signal,
      });
      await this.delay();
      // A process that was killed before it wrote has not formed.
      if (stopping.signal.aborted) return;
      if (formed !== LOST_DISK) disk.cluster = formed;
      running.result = formed;
    } catch (error) {
      running.result = error as Error;
    }
  }
}

function messageOfResult(running: Running): string {
  return running.result instanceof JarvisError ? `${running.result.code}: ${running.result.message}` : '';
}

describe('the forming of a cluster', () => {
  it('gives every founder the same cluster', async () => {
    const world = new World();
    for (const name of NAMES) world.start(name);
    await world.rounds(5);
    const [first, ...others] = NAMES.map((name) => world.formed(name));
    expect(first?.founders).toEqual([
      { raftId: 1, name: 'n1', incarnation: 'n1 #1', address: 'n1:7101' },
      { raftId: 2, name: 'n2', incarnation: 'n2 #2', address: 'n2:7101' },
      { raftId: 3, name: 'n3', incarnation: 'n3 #3', address: 'n3:7101' },
    ]);
    expect(first?.clusterId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    for (const other of others) expect(other).toEqual(first);
  });

  it.each([
    [[], CLUSTER_VERSION],
    [['n3'], 1],
  ])('begins at what all know, with %j of an earlier build', async (old, version) => {
    const world = new World();
    for (const name of old) world.old.add(name);
    for (const name of NAMES) world.start(name);
    expect(world.running.get('n1')?.formation.version).toBe(1);
    await world.rounds(5);
    for (const name of ['n1', 'n2']) expect(world.running.get(name)?.formation.version).toBe(version);
  });

  it('of one node needs nobody', async () => {
    const world = new World();
    const { formation } = world.start('n1', { peers: [{ name: 'n1', address: 'n1:7101' }] });
    await world.rounds(3);
    expect(formation.version).toBe(CLUSTER_VERSION);
    expect(world.formed('n1')?.founders).toHaveLength(1);
  });

  it('waits for whoever is missing, for as long as it takes', async () => {
    const world = new World();
    for (const name of ['n1', 'n2']) world.start(name);
    await world.rounds(500);
    expect(NAMES.map((name) => world.formed(name))).toEqual([null, null, null]);
    world.start('n3');
    await world.rounds(5);
    expect(new Set(NAMES.map((name) => world.formed(name)?.clusterId)).size).toBe(1);
    expect(world.formed('n3')).not.toBeNull();
  });

  it('takes the order of the list for nothing', async () => {
    const world = new World();
    for (const name of NAMES) world.start(name, { peers: name === 'n2' ? [...PEERS].reverse() : PEERS });
    await world.rounds(5);
    expect(world.formed('n2')).not.toBeNull();
    expect(world.formed('n2')).toEqual(world.formed('n1'));
  });

  it('ends when it is aborted', async () => {
    const world = new World();
    const running = world.start('n1');
    await world.rounds(2);
    running.stopping.abort();
    await world.rounds(2);
    expect(running.result).toMatchObject({ name: 'AbortError' });
  });
});

describe('what can never become one cluster is said', () => {
  it('a list of peers that differs, with both lists', async () => {
    const world = new World();
    const short = PEERS.slice(0, 2);
    world.start('n1');
    const two = world.start('n2', { peers: short });
    await world.rounds(2);
    expect(messageOfResult(two)).toMatch(
      /^conflict: .*n1 has n1=n1:7101,n2=n2:7101,n3=n3:7101.*this node has n1=n1:7101,n2=n2:7101$/,
    );
  });

  it('settings that differ, with both', async () => {
    const world = new World();
    world.start('n1', { config: '{"heartbeat":1}' });
    const two = world.start('n2', { config: '{"heartbeat":2}' });
    await world.rounds(2);
    expect(messageOfResult(two)).toMatch(
      /^conflict: .*n1 has \{"heartbeat":1\}.*this node has \{"heartbeat":2\}/,
    );
  });

  it('another node at an address, with both names', async () => {
    const world = new World();
    world.moved.set('n2:7101', 'n3');
    world.start('n3');
    const one = world.start('n1');
    await world.rounds(2);
    expect(messageOfResult(one)).toMatch(/^conflict: .*n2:7101 is node "n3", not "n2"/);
  });

  it('a cluster that does not follow from its founders', async () => {
    const world = new World();
    const founders = [
      { raftId: 1, name: 'n1', incarnation: world.disk('n1').incarnation, address: 'n1:7101' },
    ];
    world.disk('n2').cluster = { clusterId: 'invented', founders };
    world.start('n2');
    const one = world.start('n1');
    await world.rounds(2);
    expect(messageOfResult(one)).toMatch(/^conflict: cluster invented/);
  });
});

async function formedWorld(): Promise<World> {
  const world = new World();
  for (const name of NAMES) world.start(name);
  await world.rounds(5);
  expect(world.formed('n1')).not.toBeNull();
  return world;
}

describe('after a cluster has formed', () => {
  it('a node that lost its disk is told to join anew', async () => {
    const world = await formedWorld();
    world.stop('n3');
    world.wipe('n3');
    const again = world.start('n3');
    await world.rounds(5);
    expect(world.formed('n3')).toBeNull();
    expect(again.result).toBe(LOST_DISK);
  });

  it('a founder that missed it follows, whatever the others have to say', async () => {
    const world = await formedWorld();
    world.stop('n1');
    world.disk('n1').cluster = null;
    // n2 lost its disk and came back with another list; n3 knows the cluster, and n1 in it.
    world.stop('n2');
    world.wipe('n2');
    world.start('n2', { peers: PEERS.slice(0, 2) });
    world.start('n1');
    await world.rounds(5);
    expect(world.formed('n1')).toEqual(world.formed('n3'));
    expect(world.formed('n2')).toBeNull();
  });

  it('nothing else is ever agreed to', async () => {
    const world = await formedWorld();
    const answer = world.running.get('n1')?.formation.answer({
      name: 'n2',
      incarnation: 'other',
      peers: [],
      founders: [],
      config: '{}',
    });
    expect(answer).toMatchObject({ agrees: false, cluster_id: world.formed('n1')?.clusterId });
  });
});

type Step =
  | { readonly type: 'start' | 'kill' | 'wipe'; readonly name: string }
  | { readonly type: 'rounds'; readonly count: number };

const steps: Arbitrary<Step[]> = array(
  oneof(
    record({
      type: constantFrom<'start' | 'kill' | 'wipe'>('start', 'start', 'kill', 'wipe'),
      name: constantFrom(...NAMES),
    }),
    record({ type: constant<'rounds'>('rounds'), count: integer({ min: 0, max: 3 }) }),
  ),
  { maxLength: 40 },
);

describe('whatever is started, killed and wiped, and however slowly messages travel', () => {
  it('no two clusters ever hold a majority of the names', async () => {
    const property = asyncProperty(steps, integer(), async (run, seed) => {
      const world = new World();
      world.travelSlowly(seed);
      const majorities = new Set<string>();
      const look = (): void => {
        const ids = NAMES.map((name) => world.formed(name)?.clusterId);
        for (const id of ids) {
          if (id !== undefined && ids.filter((other) => other === id).length >= 2) majorities.add(id);
        }
      };
      for (const step of run) {
        if (step.type === 'rounds') await world.rounds(step.count);
        else if (step.type === 'start') {
          if (!world.running.has(step.name)) world.start(step.name);
        } else {
          world.stop(step.name);
          // The loss of a majority of the disks is a loss of the cluster: nobody can tell it from a new one.
          const others = NAMES.filter((name) => name !== step.name && world.formed(name) !== null);
          if (step.type === 'wipe' && (others.length === 2 || world.formed(step.name) === null))
            world.wipe(step.name);
        }
        look();
      }
      for (const name of NAMES) if (!world.running.has(name)) world.start(name);
      await world.rounds(40);
      look();
      expect(majorities.size).toBeLessThanOrEqual(1);
    });
    await assert(property, { numRuns: runs(20000) });
  });

  it('all that are left alone, and none of which was wiped, form one in the end', async () => {
    const property = asyncProperty(steps, integer(), async (run, seed) => {
      const world = new World();
      world.travelSlowly(seed);
      for (const step of run) {
        if (step.type === 'rounds') await world.rounds(step.count);
        else if (step.type !== 'start') world.stop(step.name);
        else if (!world.running.has(step.name)) world.start(step.name);
      }
      for (const name of NAMES) if (!world.running.has(name)) world.start(name);
      await world.rounds(60);
      const ids = NAMES.map((name) => world.formed(name)?.clusterId);
      expect(ids[0]).toBeDefined();
      expect(new Set(ids).size).toBe(1);
    });
    await assert(property, { numRuns: runs(200) });
  });
});
