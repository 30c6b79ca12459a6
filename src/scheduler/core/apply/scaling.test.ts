import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import type { Autoscaling } from '../../../model/autoscaling.ts';
import type { AutoscalerDecidedCommand, InstanceStep } from '../../../model/commands.ts';
import { entryKey, eventOf, type EventRow } from '../../../model/events.ts';
import { decisionKey, type InstanceRow, type ScalingDecisionRow } from '../../../model/scaling.ts';
import { scalingSizeOf } from '../scaling-size.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { SCALING } from '../testing/values.ts';

const LOAD = {
  queueDepth: 500,
  averageWaitTime: 600,
  longestWaitTime: 700,
  utilization: 100,
  unplaceable: 0,
  nodes: 3,
};

function set(cluster: TestCluster, changes: Partial<Autoscaling> = {}): void {
  const { term } = cluster;
  const autoscaling = { ...SCALING, ...changes };
  cluster.done({ type: 'setConfig', term, heartbeat: {}, blocks: { autoscaling }, idempotency: null });
}

function formed(changes: Partial<Autoscaling> = {}): TestCluster {
  const cluster = TestCluster.formed();
  for (const name of ['n1', 'n2', 'n3']) cluster.join(name);
  set(cluster, changes);
  return cluster;
}

type Asked = Partial<Omit<AutoscalerDecidedCommand, 'atMs' | 'type'>>;

function decided(cluster: TestCluster, asked: Asked) {
  const { add = 0, remove = [], keep = [] } = asked;
  const action = remove.length > 0 ? ('remove_nodes' as const) : ('add_nodes' as const);
  return {
    type: 'autoscalerDecided' as const,
    term: cluster.term,
    after: cluster.state.scaling?.sequence ?? 0,
    provider: 'process' as const,
    decision: {
      action,
      count: add + remove.length + keep.length,
      desired: 3 + add,
      reason: 'queue_depth 500 above 100',
      load: LOAD,
      rules: [],
    },
    isDryRun: false,
    drainMs: 60_000,
    ...asked,
    add,
    keep,
    remove,
  };
}

function added(cluster: TestCluster, count: number): readonly InstanceRow[] {
  const result = cluster.done(decided(cluster, { add: count })) as { readonly added: readonly string[] };
  return result.added.map((id) => row(cluster, id));
}

function row(cluster: TestCluster, id: string): InstanceRow {
  const found = cluster.state.instances.get(id);
  if (found === undefined) throw new Error(`there is no ${id}`);
  return found;
}

function step(cluster: TestCluster, ...steps: readonly InstanceStep[]): readonly string[] {
  const { term } = cluster;
  return cluster.done({ type: 'instanceProgress', term, steps, hasRecovered: false }).taken;
}

function seen(cluster: TestCluster, id: string): { readonly id: string; readonly revision: number } {
  return { id, revision: row(cluster, id).revision };
}

/** One that has come. */
function joined(cluster: TestCluster): InstanceRow {
  const [instance] = added(cluster, 1);
  if (instance === undefined) throw new Error('one was added');
  const { id } = instance;
  step(cluster, { type: 'asking', ...seen(cluster, id), host: 'n1', joinTokenId: null });
  step(cluster, { type: 'moved', ...seen(cluster, id), phase: 'CREATED', reason: 'made', providerId: 'p1' });
  cluster.join(instance.node);
  step(cluster, { type: 'moved', ...seen(cluster, id), phase: 'JOINED', reason: 'its node is there' });
  return row(cluster, id);
}

function decision(cluster: TestCluster, sequence: number): ScalingDecisionRow | undefined {
  return cluster.state.scalingDecisions.get(decisionKey(sequence));
}

describe('decisions of the autoscaler', () => {
  it('stand with the instances that they ask for', () => {
    const cluster = formed();
    const instances = added(cluster, 3);
    expect(instances.map(({ phase }) => phase)).toEqual(['REQUESTED', 'REQUESTED', 'REQUESTED']);
    expect(new Set(instances.map(({ id }) => id)).size).toBe(3);
    for (const { id, node } of instances) expect(node).toBe(id.replace('instance-', 'node-'));
    expect(scalingSizeOf(cluster.state)).toEqual({ active: 3, joining: 3, leaving: 0 });
    expect(cluster.state.scaling).toMatchObject({
      sequence: 1,
      lastUpAtMs: cluster.atMs,
      lastDownAtMs: null,
    });
    expect(decision(cluster, 1)).toMatchObject({ action: 'add_nodes', count: 3, done: 0, isDryRun: false });
    const events = cluster.stored.get(`event/${entryKey(cluster.index)}`)?.row as EventRow;
    expect(events.items.map(eventOf).map(({ kind, newStatus }) => [kind, newStatus])).toEqual(
      Array.from({ length: 3 }, () => ['instance', 'REQUESTED']),
    );
  });

  it('are made once: the same one again is refused, whoever leads', () => {
    const cluster = formed();
    const command = decided(cluster, { add: 2 });
    cluster.done(command);
    expect(cluster.refusal(command)).toMatchObject({ code: 'conflict' });
    cluster.term = 2;
    expect(cluster.refusal(command)).toMatchObject({ code: 'stale_decision' });
    expect(cluster.state.instances.size).toBe(2);
  });

  it.each([
    ['above max_nodes', { add: 4 }, {}],
    ['while it is switched off', { add: 1 }, { enabled: false }],
    ['for another provider', { add: 1 }, { provider: 'aws' as const }],
    ['as if it were no dry run', { add: 1 }, { dryRun: true }],
    ['to keep what is not there', { keep: ['instance-x'] }, {}],
    ['to remove what is not there', { remove: ['instance-x'] }, {}],
  ])('are refused %s', (_, asked, settings) => {
    const cluster = formed(settings);
    expect(cluster.refusal(decided(cluster, asked))).toMatchObject({ code: 'conflict' });
    expect(cluster.state.instances.size).toBe(0);
  });

  it('never leave fewer than min_nodes', () => {
    const cluster = formed();
    const { id } = joined(cluster);
    set(cluster, { minNodes: 4 });
    expect(cluster.refusal(decided(cluster, { remove: [id] }))).toMatchObject({ code: 'conflict' });
  });

  it('change nothing in a dry run but what is told of it', () => {
    const cluster = formed({ dryRun: true });
    cluster.done(decided(cluster, { add: 2, isDryRun: true }));
    expect(cluster.state.instances.size).toBe(0);
    expect(decision(cluster, 1)).toMatchObject({ count: 2, isDryRun: true, nodes: [] });
  });

  it('are kept while they are among the newest', () => {
    const cluster = formed({ dryRun: true });
    for (let at = 0; at < limits.scalingDecisions + 3; at += 1)
      cluster.done(decided(cluster, { add: 1, isDryRun: true }));
    expect(cluster.state.scalingDecisions.size).toBe(limits.scalingDecisions);
    expect(decision(cluster, 3)).toBeUndefined();
    expect(decision(cluster, 4)).toBeDefined();
  });

  it('drain the nodes that are to leave, and undrain those that stay after all', () => {
    const cluster = formed();
    const { id, node } = joined(cluster);
    cluster.done(decided(cluster, { remove: [id] }));
    expect(row(cluster, id)).toMatchObject({ phase: 'DRAINING', leavesBy: 2 });
    expect(cluster.state.nodes.get(node)).toMatchObject({
      status: 'DRAINING',
      drain: { deadlineMs: cluster.atMs + 60_000, startId: null },
    });
    expect(scalingSizeOf(cluster.state)).toEqual({ active: 3, joining: 0, leaving: 1 });
    cluster.done(decided(cluster, { keep: [id] }));
    expect(row(cluster, id)).toMatchObject({ phase: 'JOINED', leavesBy: null });
    expect(cluster.state.nodes.get(node)).toMatchObject({ status: 'AVAILABLE' });
    expect(decision(cluster, 2)).toMatchObject({ cancelled: 1, done: 0 });
  });

  it('let a node leave as it is that is away', () => {
    const cluster = formed();
    const { id, node } = joined(cluster);
    cluster.offline(node);
    cluster.done(decided(cluster, { remove: [id] }));
    expect(row(cluster, id).phase).toBe('LEAVING');
  });
});

describe('instances', () => {
  it('go their way phase by phase, and are known after a restart as they were', () => {
    const cluster = formed();
    const { id, node } = joined(cluster);
    expect(decision(cluster, 1)).toMatchObject({ done: 1, failed: 0 });
    cluster.done(decided(cluster, { remove: [id] }));
    step(cluster, { type: 'moved', ...seen(cluster, id), phase: 'LEAVING', reason: 'drained' });
    step(cluster, { type: 'moved', ...seen(cluster, id), phase: 'TERMINATING', reason: 'left' });
    step(cluster, { type: 'ended', ...seen(cluster, id) });
    expect(row(cluster, id)).toMatchObject({ isEnded: true, providerId: 'p1', host: 'n1', node });
    const restored = cluster.restored();
    expect([...restored.instances]).toEqual([...cluster.state.instances]);
    expect(restored.scaling).toEqual(cluster.state.scaling);
    expect([...restored.scalingDecisions]).toEqual([...cluster.state.scalingDecisions]);
    step(cluster, { type: 'gone', ...seen(cluster, id) });
    expect(cluster.state.instances.size).toBe(0);
    expect(decision(cluster, 2)).toMatchObject({ done: 1 });
  });

  it('take no step that was meant for what they were before', () => {
    const cluster = formed();
    const [instance] = added(cluster, 1);
    const old = seen(cluster, instance?.id ?? '');
    expect(step(cluster, { type: 'asking', ...old, host: null, joinTokenId: null })).toEqual([old.id]);
    expect(step(cluster, { type: 'failed', ...old, error: 'no', retryMs: 1 })).toEqual([]);
    expect(row(cluster, old.id)).toMatchObject({ failures: 0, error: null, isAsked: true });
  });

  it('are not forgotten once a provider was asked, and do not go back', () => {
    const cluster = formed();
    const [instance] = added(cluster, 2);
    const id = instance?.id ?? '';
    step(cluster, { type: 'asking', ...seen(cluster, id), host: null, joinTokenId: null });
    expect(step(cluster, { type: 'gone', ...seen(cluster, id) })).toEqual([]);
    const back = { type: 'moved', phase: 'REQUESTED', reason: '' } as const;
    expect(step(cluster, { ...back, ...seen(cluster, id) })).toEqual([]);
    const other = [...cluster.state.instances.keys()].find((one) => one !== id) ?? '';
    expect(step(cluster, { type: 'gone', ...seen(cluster, other) })).toEqual([other]);
    expect(decision(cluster, 1)).toMatchObject({ cancelled: 1 });
  });

  it('wait after a failure, and count it until they go on', () => {
    const cluster = formed();
    const [instance] = added(cluster, 1);
    const id = instance?.id ?? '';
    step(cluster, { type: 'failed', ...seen(cluster, id), error: 'no capacity', retryMs: 5000 });
    expect(row(cluster, id)).toMatchObject({
      failures: 1,
      error: 'no capacity',
      notBeforeMs: cluster.atMs + 5000,
    });
    const moved = {
      type: 'moved',
      phase: 'TERMINATING',
      reason: 'it did not come',
      hasFailed: true,
    } as const;
    step(cluster, { ...moved, ...seen(cluster, id) });
    expect(row(cluster, id)).toMatchObject({ failures: 0, error: null });
    expect(decision(cluster, 1)).toMatchObject({ failed: 1 });
  });

  it('are taken in where the provider has one that nobody knows, once', () => {
    const cluster = formed();
    const found = {
      type: 'adopted',
      id: 'instance-lost',
      node: 'node-lost',
      provider: 'process',
      providerId: 'p7',
      host: 'n2',
      phase: 'TERMINATING',
    } as const;
    expect(step(cluster, found, found)).toEqual(['instance-lost']);
    expect(row(cluster, 'instance-lost')).toMatchObject({ phase: 'TERMINATING', isAsked: true, cameBy: 0 });
  });

  it('stay behind with the cluster that has asked for them', () => {
    const cluster = formed();
    added(cluster, 2);
    cluster.done({ type: 'reformCluster', clusterId: 'other', epoch: 9 });
    expect(cluster.state.instances.size).toBe(0);
  });
});

function alertsOf(cluster: TestCluster) {
  const events = cluster.stored.get(`event/${entryKey(cluster.index)}`)?.row as EventRow | undefined;
  return (events?.items ?? []).map(eventOf).filter(({ kind }) => kind === 'alert');
}

describe('a failure of the autoscaler', () => {
  it('is told once, until it has recovered', () => {
    const cluster = formed();
    const failed = {
      type: 'autoscalerFailed',
      provider: 'process',
      reason: 'no room',
      holdMs: 9000,
    } as const;
    cluster.done({ ...failed, term: cluster.term });
    expect(alertsOf(cluster)).toMatchObject([{ name: 'autoscaler.failed', reason: 'no room' }]);
    cluster.done({ ...failed, term: cluster.term });
    expect(alertsOf(cluster)).toEqual([]);
    expect(cluster.state.scaling?.failure).toMatchObject({ count: 2, heldUntilMs: cluster.atMs + 9000 });
    cluster.done({ type: 'instanceProgress', term: cluster.term, steps: [], hasRecovered: true });
    expect(cluster.state.scaling?.failure).toBeNull();
    cluster.done({ ...failed, term: cluster.term });
    expect(alertsOf(cluster)).toHaveLength(1);
  });

  it('holds nothing back where it does not say so, however often it comes', () => {
    const cluster = formed();
    const failed = {
      type: 'autoscalerFailed',
      term: cluster.term,
      provider: 'process',
      reason: 'no answer',
    } as const;
    cluster.done(failed);
    const sinceMs = cluster.atMs;
    cluster.atMs += 5000;
    cluster.done(failed);
    expect(cluster.state.scaling?.failure).toMatchObject({ count: 2, heldUntilMs: sinceMs });
    cluster.done({ ...failed, holdMs: 9000 });
    const heldUntilMs = cluster.atMs + 9000;
    cluster.atMs += 10_000;
    cluster.done(failed);
    expect(cluster.state.scaling?.failure).toMatchObject({ count: 4, heldUntilMs });
  });
});
