import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { runs } from '../lib/testing/property-runs.ts';
import { LIFECYCLE_LIMITS } from './core/lifecycle.ts';
import { MINUTE_MS, Scene, SECOND_MS } from './loop.test-kit.ts';
import { ProviderError } from './providers/provider.ts';

describe('the autoscaler', () => {
  it('asks for nodes while there is a queue, and takes them away when it is gone', async () => {
    const scene = await Scene.of();
    const tasks = scene.submit(50);
    await scene.advance(15 * SECOND_MS);
    expect(scene.phases).toContain('JOINED');
    await scene.advance(MINUTE_MS);
    expect(scene.cluster.state.nodes.size).toBe(6);
    expect(scene.running).toBe(3);
    scene.cancel(tasks);
    await scene.advance(5 * MINUTE_MS);
    expect(scene.running).toBe(0);
    expect(scene.cluster.state.instances.size).toBe(0);
    expect([...scene.cluster.state.nodes.keys()]).toEqual(['n1', 'n2', 'n3']);
    const decisions = [...scene.cluster.state.scalingDecisions.values()];
    expect(decisions.map(({ count, done }) => count - done)).toEqual(decisions.map(() => 0));
  });

  it('writes what it will ask for before it asks', async () => {
    const scene = await Scene.of();
    scene.provider.always('create', { type: 'hang' });
    scene.submit(50);
    await scene.advance(12 * SECOND_MS);
    expect(scene.phases).toEqual(['REQUESTED', 'REQUESTED']);
    for (const { isAsked } of scene.cluster.state.instances.values()) expect(isAsked).toBe(true);
    expect(scene.provider.calls.filter((call) => call.startsWith('create'))).toHaveLength(2);
  });

  it('asks for what the settings say that a node offers', async () => {
    const capacity = { cpuMillis: 4000, memoryBytes: null };
    const scene = await Scene.of({ command: { add: ['add'], remove: ['remove'], list: ['list'], capacity } });
    scene.submit(50);
    await scene.advance(12 * SECOND_MS);
    expect([...scene.memory.kept.values()].map(({ request }) => request.capacity)).toEqual([
      capacity,
      capacity,
    ]);
  });

  it('goes on where the leader before it was lost, with the same tokens', async () => {
    const scene = await Scene.of({ maxNodes: 5 });
    scene.provider.always('create', { type: 'lose' });
    scene.submit(50);
    await scene.advance(12 * SECOND_MS);
    expect(scene.running).toBe(2);
    scene.provider.always('create', null);
    for (const name of ['n2', 'n3', 'n1']) {
      scene.lead(name);
      await scene.advance(20 * SECOND_MS);
    }
    expect(scene.running).toBe(2);
    expect(scene.phases).toEqual(['JOINED', 'JOINED']);
    expect(scene.cluster.state.nodes.size).toBe(5);
  });

  it('keeps the join token of a node until it has come, and no longer', async () => {
    const scene = await Scene.of({ maxNodes: 5 });
    scene.nodesCome = false;
    scene.submit(50);
    await scene.advance(12 * SECOND_MS);
    expect(scene.phases).toEqual(['CREATED', 'CREATED']);
    const kept = [...scene.memory.kept.values()];
    expect(kept.map(({ request }) => request.joinToken)).toEqual(
      kept.map(({ request }) => scene.tokens.get(request.node)),
    );
    expect(scene.tokens.size).toBe(2);
    scene.nodesCome = true;
    await scene.advance(5 * SECOND_MS);
    expect(scene.phases).toEqual(['JOINED', 'JOINED']);
    expect(scene.tokens.size).toBe(0);
  });

  it('does nothing in a dry run, and says what it would do', async () => {
    const scene = await Scene.of({ dryRun: true });
    scene.submit(50);
    await scene.advance(5 * MINUTE_MS);
    expect(scene.provider.calls).toEqual([]);
    expect(scene.cluster.state.instances.size).toBe(0);
    expect([...scene.cluster.state.scalingDecisions.values()]).toMatchObject([
      { action: 'add_nodes', count: 2, isDryRun: true },
    ]);
  });

  it('lets what it does wait for no dry run before it', async () => {
    const cooldownMs = 60 * MINUTE_MS;
    const rules = {
      scaleUpRules: [{ metric: 'queue_depth', threshold: 10, cooldownMs, count: 2 }],
      scaleDownRules: [{ metric: 'cluster_utilization', threshold: 30, cooldownMs, count: 1 }],
    } as const;
    const scene = await Scene.of({ dryRun: true, maxNodes: 9, ...rules });
    const tasks = scene.submit(50);
    await scene.advance(30 * SECOND_MS);
    expect([...scene.cluster.state.scalingDecisions.values()]).toMatchObject([{ isDryRun: true, count: 2 }]);
    scene.set({ maxNodes: 9, ...rules });
    await scene.advance(15 * SECOND_MS);
    expect(scene.running).toBe(2);
    // But what it has done itself.
    await scene.advance(5 * MINUTE_MS);
    expect(scene.running).toBe(2);
    scene.set({ dryRun: true, maxNodes: 9, ...rules });
    scene.cancel(tasks);
    await scene.advance(2 * MINUTE_MS);
    expect(scene.cluster.state.scaling?.lastDownAtMs).not.toBeNull();
    scene.set({ maxNodes: 9, ...rules });
    await scene.advance(30 * SECOND_MS);
    expect(scene.running).toBe(1);
  });

  it('ends what does not come in time, waits, and asks anew', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.nodesCome = false;
    scene.submit(50);
    await scene.advance(LIFECYCLE_LIMITS.bootMs + 20 * SECOND_MS);
    expect(scene.running).toBe(0);
    expect(scene.alerts).toBe(1);
    expect(scene.cluster.state.scaling?.failure).not.toBeNull();
    scene.nodesCome = true;
    await scene.advance(5 * MINUTE_MS);
    expect(scene.phases).toEqual(['JOINED']);
    expect(scene.running).toBe(1);
    expect(scene.cluster.state.scaling?.failure).toBeNull();
  });

  it('tells a person once of a quota, and asks again much later', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.provider.always('create', { type: 'refuse', error: new ProviderError('quota', 'no more of them') });
    scene.submit(50);
    await scene.advance(4 * MINUTE_MS);
    expect(scene.provider.calls.filter((call) => call.startsWith('create'))).toHaveLength(1);
    expect(scene.alerts).toBe(1);
    expect([...scene.cluster.state.instances.values()]).toMatchObject([
      { failures: 1, error: 'no more of them' },
    ]);
    expect(scene.counted.failures).toBeGreaterThan(0);
  });

  it('keeps what is being drained where it is needed after all', async () => {
    const scene = await Scene.draining();
    expect(scene.phases).toContain('DRAINING');
    const made = scene.memory.kept.size;
    scene.submit(50);
    await scene.advance(30 * SECOND_MS);
    expect(scene.phases).toEqual(['JOINED', 'JOINED', 'JOINED']);
    expect(scene.memory.kept.size).toBe(made);
  });

  it('begins nothing once it is switched off, and goes on with what is under way', async () => {
    const scene = await Scene.draining();
    const leaving = scene.phases.filter((phase) => phase === 'DRAINING').length;
    expect(leaving).toBeGreaterThan(0);
    scene.set({ enabled: false });
    scene.nodesCome = true;
    scene.submit(50);
    await scene.advance(3 * MINUTE_MS);
    expect(scene.phases).toEqual(Array.from({ length: 3 - leaving }, () => 'JOINED'));
    expect(scene.running).toBe(3 - leaving);
  });

  it('makes containers where there are engines, and asks nobody else for any', async () => {
    const scene = await Scene.of({ provider: 'docker', enabled: false });
    scene.join('n2', ['process', 'docker']);
    scene.set({ provider: 'docker' });
    scene.submit(50);
    await scene.advance(3 * MINUTE_MS);
    expect([...scene.cluster.state.instances.values()].map(({ host }) => host)).toEqual(['n2', 'n2', 'n2']);
    expect([...scene.asked]).toEqual(['n2']);
  });

  it('ends an instance of this cluster that nobody knows', async () => {
    const scene = await Scene.of();
    const request = {
      clientToken: 'instance-lost',
      clusterId: 'c',
      node: 'node-lost',
      join: [],
      joinToken: null,
      capacity: { cpuMillis: null, memoryBytes: null },
      labels: {},
    };
    scene.nodesCome = false;
    await scene.memory.create(request, new AbortController().signal);
    await scene.advance(4 * MINUTE_MS);
    expect(scene.running).toBe(1);
    await scene.advance(6 * MINUTE_MS);
    expect(scene.running).toBe(0);
    expect(scene.cluster.state.instances.size).toBe(0);
  });

  it('takes one off the list that has ended by itself', async () => {
    const scene = await Scene.of({ maxNodes: 4, scaleDownRules: [] });
    const tasks = scene.submit(50);
    await scene.advance(MINUTE_MS);
    scene.cancel(tasks);
    const [instance] = scene.cluster.state.instances.values();
    scene.memory.end(instance?.providerId ?? '');
    const node = instance?.node ?? '';
    const session = scene.cluster.state.nodes.get(node)?.session ?? 0;
    scene.cluster.execute({ type: 'nodeOffline', term: scene.cluster.term, node, session });
    await scene.advance(3 * MINUTE_MS);
    expect(scene.left).toEqual([node]);
    expect(scene.cluster.state.instances.size).toBe(0);
  });

  it('forgets no instance and makes none twice, whenever leaders change and whatever the provider does', async () => {
    const fault = fc.constantFrom(
      { type: 'lose' } as const,
      { type: 'hang' } as const,
      { type: 'slow', delayMs: 7000 } as const,
      { type: 'refuse', error: new ProviderError('unavailable', 'not now') } as const,
      { type: 'refuse', error: new ProviderError('throttled', 'too often') } as const,
    );
    const move = fc.oneof(
      fc.record({ do: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ do: fc.constant('lead' as const), to: fc.constantFrom('n1', 'n2', 'n3') }),
      fc.record({ do: fc.constant('crash' as const), after: fc.integer({ min: 1, max: 6 }) }),
      fc.record({
        do: fc.constant('fault' as const),
        verb: fc.constantFrom('create' as const, 'list' as const, 'terminate' as const),
        fault,
      }),
      fc.record({ do: fc.constantFrom('submit' as const, 'cancel' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 25 }), fc.nat({ max: 30 }), async (moves, lateSeconds) => {
        const scene = await Scene.of();
        scene.provider.lateMs = { made: lateSeconds * SECOND_MS, gone: lateSeconds * SECOND_MS };
        let tasks: readonly string[] = [];
        const check = (): void => {
          expect(scene.running).toBeLessThanOrEqual(3);
          const known = scene.cluster.state.instances;
          const forgotten = [...scene.memory.kept.values()].filter(
            ({ instance, request }) => instance.state === 'running' && !known.has(request.clientToken),
          );
          expect(forgotten).toEqual([]);
        };
        for (const one of moves) {
          if (one.do === 'wait') await scene.advance(one.seconds * SECOND_MS);
          else if (one.do === 'lead') scene.lead(one.to);
          else if (one.do === 'crash') scene.crashAfter(one.after);
          else if (one.do === 'fault') scene.provider.next(one.verb, one.fault);
          else if (one.do === 'submit') tasks = [...tasks, ...scene.submit(20)];
          else {
            scene.cancel(tasks);
            tasks = [];
          }
          check();
        }
        scene.crashAfter(null);
        scene.cancel(tasks);
        await scene.advance(40 * MINUTE_MS);
        check();
        expect(scene.running).toBe(0);
        expect(scene.cluster.state.instances.size).toBe(0);
        expect(scene.tokens.size).toBe(0);
        expect([...scene.cluster.state.nodes.keys()]).toEqual(['n1', 'n2', 'n3']);
      }),
      { numRuns: runs(40) },
    );
  });
});

describe('being overdue', () => {
  it('counts from the interval, however long', async () => {
    const scene = await Scene.of({ intervalMs: 60 * MINUTE_MS });
    await scene.clock.advance(50 * MINUTE_MS);
    expect(scene.overdueMs).toBe(0);
    scene.isBroken = true;
    await scene.clock.advance(15 * MINUTE_MS);
    expect(scene.overdueMs).toBe(5 * MINUTE_MS);
  });

  it('counts from the beginning where a leader has not looked at all', async () => {
    const scene = await Scene.of();
    scene.isBroken = true;
    scene.lead('n2');
    await scene.clock.advance(MINUTE_MS);
    expect(scene.overdueMs).toBe(MINUTE_MS);
  });

  it('is nothing while it is switched off', async () => {
    const scene = await Scene.of({ enabled: false });
    await scene.clock.advance(MINUTE_MS);
    expect(scene.overdueMs).toBeNull();
  });
});
