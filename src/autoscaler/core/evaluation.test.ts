import { describe, expect, it } from 'vitest';

import type { Autoscaling } from '../../model/autoscaling.ts';
import type { InstanceRow } from '../../model/scaling.ts';
import type { Resources } from '../../model/task.ts';
import { TestCluster } from '../../scheduler/core/testing/test-cluster.ts';
import { containerOf, MIB, NODE_CAPACITY, specOf } from '../../scheduler/core/testing/values.ts';
import { evaluate } from './evaluation.ts';
import type { ScalingMember } from './leaving-nodes.ts';

const DOWN = { metric: 'cluster_utilization', threshold: 30, cooldownMs: 0, count: 1 } as const;
const SETTINGS: Autoscaling = {
  enabled: true,
  dryRun: false,
  minNodes: 1,
  maxNodes: 9,
  scaleUpRules: [{ metric: 'queue_depth', threshold: 10, cooldownMs: 0, count: 2 }],
  scaleDownRules: [DOWN],
  intervalMs: 10_000,
  provider: 'command',
  process: null,
  docker: null,
  aws: null,
  command: null,
};

const ANY = { cpuMillis: null, memoryBytes: null };

/** Founders, and nodes of the autoscaler that are at work, long enough ago for some to leave. */
class Bed {
  readonly cluster = TestCluster.formed();
  readonly instances: readonly InstanceRow[];

  /** @param registered of each founder. @param capacity of each instance */
  constructor(
    founders: readonly string[],
    instances: number,
    registered: Parameters<TestCluster['join']>[1] = {},
    capacity: Resources = NODE_CAPACITY,
  ) {
    const { cluster } = this;
    for (const name of founders) cluster.join(name, registered);
    const blocks = { autoscaling: SETTINGS };
    cluster.done({ type: 'setConfig', term: cluster.term, heartbeat: {}, blocks, idempotency: null });
    const { added } = this.decide('add_nodes', { add: instances }) as { readonly added: readonly string[] };
    this.instances = added.map((id) => {
      const { revision, node } = this.row(id);
      cluster.join(node, { capacity });
      const step = { type: 'moved', id, revision, phase: 'JOINED', reason: 'its node is there' } as const;
      cluster.done({ type: 'instanceProgress', term: cluster.term, steps: [step], hasRecovered: false });
      return this.row(id);
    });
    cluster.atMs += 3_600_000;
  }

  row(id: string): InstanceRow {
    const found = this.cluster.state.instances.get(id);
    if (found === undefined) throw new Error(`there is no ${id}`);
    return found;
  }

  decide(
    action: 'add_nodes' | 'remove_nodes',
    asked: { readonly add?: number; readonly remove?: readonly string[] },
  ): object {
    const { cluster } = this;
    const { add = 0, remove = [] } = asked;
    const load = {
      queueDepth: 0,
      averageWaitTime: 0,
      longestWaitTime: 0,
      utilization: 0,
      unplaceable: 0,
      nodes: 0,
    };
    return cluster.done({
      type: 'autoscalerDecided',
      term: cluster.term,
      after: cluster.state.scaling?.sequence ?? 0,
      provider: 'command',
      decision: { action, count: add + remove.length, desired: 0, reason: '', load, rules: [] },
      isDryRun: false,
      drainMs: 60_000,
      add,
      keep: [],
      remove,
    });
  }

  now(members: readonly ScalingMember[], changes: Partial<Autoscaling> = {}) {
    return evaluate({
      state: this.cluster.state,
      nowMs: this.cluster.atMs,
      settings: { ...SETTINGS, ...changes },
      members,
      voters: 1,
    });
  }
}

describe('who is taken away', () => {
  const voter = { hasCopy: true, isVoter: true, isCaughtUp: true };
  const learner = { hasCopy: true, isVoter: false, isCaughtUp: true };
  const worker = { hasCopy: false, isVoter: false, isCaughtUp: false };

  it('is no voter whose vote only nodes could take that leave themselves', () => {
    const bed = new Bed(['n1', 'n2'], 2);
    const [staying, leaving] = bed.instances;
    if (staying === undefined || leaving === undefined) throw new Error('two were made');
    bed.decide('remove_nodes', { remove: [leaving.id] });
    const members = [
      { name: 'n1', ...voter },
      { name: staying.node, ...voter },
      { name: leaving.node, ...learner },
    ];
    expect(bed.now(members)).toMatchObject({
      remove: [],
      decision: {
        action: 'none',
        reason: expect.stringContaining('no node is there that the autoscaler may'),
      },
    });
    const heir = { name: 'n2', ...learner };
    expect(bed.now([...members, heir])).toMatchObject({ remove: [staying.id] });
    bed.cluster.offline('n2');
    expect(bed.now([...members, heir])).toMatchObject({ remove: [] });
  });

  it('is who works without a copy first, and such a node takes no vote over', () => {
    const bed = new Bed(['n1', 'n2'], 2);
    const [one, other] = bed.instances;
    if (one === undefined || other === undefined) throw new Error('two were made');
    const members = (of: typeof worker) => [
      { name: 'n1', ...voter },
      { name: 'n2', ...of },
      { name: one.node, ...voter },
      { name: other.node, ...worker },
    ];
    const two = { scaleDownRules: [{ ...DOWN, count: 2 }] };
    expect(bed.now(members(worker))).toMatchObject({ remove: [other.id] });
    expect(bed.now(members(worker), two)).toMatchObject({ remove: [other.id] });
    expect(bed.now(members(learner), two)).toMatchObject({ remove: [other.id, one.id] });
  });
});

const GIB = 1024 * MIB;
const BIG = { cpuMillis: 8000, memoryBytes: 8 * GIB };

/** A small founder, and large nodes of the autoscaler. */
function bedOf(instances: number): Bed {
  const small = { cpuMillis: 1000, memoryBytes: GIB };
  return new Bed(['n1'], instances, { capacity: small }, BIG);
}

function run(bed: Bed, at: number, resources: { cpuMillis: number; memoryBytes: number }): void {
  const [taskId = ''] = bed.cluster.submit(specOf({ resources }));
  const node = bed.instances[at]?.node ?? '';
  bed.cluster.assign(taskId, node);
  bed.cluster.report(taskId, 'RUNNING');
}

describe('what runs on a node that is to leave', () => {
  it('keeps it where it fits no other node', () => {
    const bed = bedOf(2);
    run(bed, 0, { cpuMillis: 2000, memoryBytes: GIB });
    const both = { scaleDownRules: [{ ...DOWN, count: 2 }] };
    expect(bed.now([], both)).toMatchObject({ remove: [bed.instances[1]?.id] });
    expect(bed.now([])).toMatchObject({ remove: [bed.instances[1]?.id] });
    const alone = bedOf(1);
    run(alone, 0, { cpuMillis: 2000, memoryBytes: GIB });
    expect(alone.now([])).toMatchObject({
      remove: [],
      decision: { action: 'none', reason: expect.stringMatching(/; what runs on them fits no other node$/) },
    });
    // Where there are too many nodes they go all the same.
    expect(alone.now([], { maxNodes: 1, scaleDownRules: [] })).toMatchObject({
      remove: [alone.instances[0]?.id],
    });
  });

  it('lets it go where the others could hold it', () => {
    const bed = bedOf(1);
    run(bed, 0, { cpuMillis: 500, memoryBytes: MIB });
    expect(bed.now([])).toMatchObject({ remove: [bed.instances[0]?.id] });
    bed.cluster.done({ type: 'cordonNode', node: 'n1', idempotency: null });
    expect(bed.now([])).toMatchObject({ remove: [] });
  });

  it('keeps it where the others are too small for all of it together', () => {
    const bed = bedOf(1);
    run(bed, 0, { cpuMillis: 700, memoryBytes: MIB });
    run(bed, 0, { cpuMillis: 700, memoryBytes: MIB });
    // 16 % of the whole; but 140 % of what would be left.
    expect(bed.now([])).toMatchObject({
      remove: [],
      decision: {
        action: 'none',
        reason: expect.stringMatching(/; the others have no room for what they do$/),
      },
    });
  });
});

describe('work that no node can hold which there is', () => {
  const LARGE = { cpuMillis: 16_000, memoryBytes: MIB };
  const OFFERED = { capacity: { cpuMillis: 16_000, memoryBytes: null } };
  const docker = { image: 'jarvis:1', network: null, mounts: null };
  const aws = {
    region: 'eu-central-1',
    instanceType: 'm7i.4xlarge',
    imageId: null,
    subnetId: null,
    securityGroupIds: [],
    keyName: null,
    instanceProfile: null,
  };
  const command = { add: ['add'], remove: ['remove'], list: ['list'] };

  it.each<[string, Partial<Autoscaling>]>([
    ['process', { provider: 'process', process: OFFERED }],
    ['docker', { provider: 'docker', docker: { ...docker, ...OFFERED } }],
    ['aws', { provider: 'aws', aws: { ...aws, ...OFFERED } }],
    ['command', { provider: 'command', command: { ...command, ...OFFERED } }],
  ])('is scaled for where those that %s makes are said to be large enough', (_name, settings) => {
    const bed = new Bed(['n1'], 0);
    bed.cluster.submit(...Array.from({ length: 20 }, () => specOf({ resources: LARGE })));
    expect(bed.now([], settings)).toMatchObject({ load: { queueDepth: 20, unplaceable: 0 }, add: 2 });
    const unsaid = { process: null, aws, command, docker: { ...docker, capacity: ANY } };
    expect(bed.now([], { ...settings, ...unsaid })).toMatchObject({
      load: { queueDepth: 0, unplaceable: 20 },
      add: 0,
    });
  });

  it('is not scaled for where it needs an engine that nodes in containers do not have', () => {
    const bed = new Bed(['n1'], 0, { drivers: ['process', 'docker'] });
    const image = specOf({ resources: LARGE, container: containerOf() });
    bed.cluster.submit(...Array.from({ length: 20 }, () => image));
    const inContainers = { provider: 'docker', docker: { ...docker, ...OFFERED } } as const;
    expect(bed.now([], inContainers)).toMatchObject({ load: { queueDepth: 0, unplaceable: 20 }, add: 0 });
    const onMachines = { provider: 'process', process: OFFERED } as const;
    expect(bed.now([], onMachines)).toMatchObject({ load: { queueDepth: 20, unplaceable: 0 }, add: 2 });
  });

  it('is scaled for with processes where the node that makes them has its labels, and by no other', () => {
    const bed = new Bed(['n1'], 0);
    bed.cluster.join('n2', { labels: [['zone', 'b']] });
    const required = [{ key: 'zone', operator: 'in' as const, values: ['b'] }];
    const pinned = specOf({ resources: LARGE, affinity: { required, preferred: [], anti: [] } });
    bed.cluster.submit(...Array.from({ length: 20 }, () => pinned));
    const processes = { provider: 'process', process: OFFERED } as const;
    expect(bed.now([], processes)).toMatchObject({ load: { queueDepth: 20, unplaceable: 0 } });
    const containers = { provider: 'docker', docker: { ...docker, ...OFFERED } } as const;
    expect(bed.now([], containers)).toMatchObject({ load: { queueDepth: 0, unplaceable: 20 } });
  });
});
