/** What docs/autoscaling.md promises of providers that refuse, are slow, do half of it, or list what is not so. */
import { describe, expect, it } from 'vitest';

import { LIFECYCLE_LIMITS } from './core/lifecycle.ts';
import type { Autoscaling } from '../model/autoscaling.ts';
import { AUTOSCALER_LIMITS } from './limits.ts';
import { MINUTE_MS, Scene, SECOND_MS } from './loop.test-kit.ts';
import { ProviderError, type InstanceRequest } from './providers/provider.ts';
import { HOST_LIMITS } from './providers/limits.ts';

const HOUR_MS = 60 * MINUTE_MS;

/** Seconds between one call and the next, for so long. */
async function pauses(scene: Scene, verb: string, durationMs: number): Promise<readonly number[]> {
  const count = (): number => scene.provider.calls.filter((call) => call.startsWith(verb)).length;
  const found: number[] = [];
  let [seen, lastMs] = [count(), scene.clock.monotonicMs()];
  const endMs = lastMs + durationMs;
  while (scene.clock.monotonicMs() < endMs) {
    await scene.advance(SECOND_MS);
    const nowMs = scene.clock.monotonicMs();
    for (; seen < count(); seen += 1) {
      found.push((nowMs - lastMs) / SECOND_MS);
      lastMs = nowMs;
    }
  }
  return found;
}

/** A cluster with one node of the autoscaler that has nothing to do, and is not taken away for that. */
async function withOne(): Promise<{ readonly scene: Scene; readonly node: string; readonly id: string }> {
  const scene = await Scene.of({ maxNodes: 4, scaleDownRules: [] });
  const tasks = scene.submit(50);
  await scene.advance(MINUTE_MS);
  scene.cancel(tasks);
  expect(scene.phases).toEqual(['JOINED']);
  const [row] = scene.cluster.state.instances.values();
  return { scene, node: row?.node ?? '', id: row?.providerId ?? '' };
}

function goOffline(scene: Scene, node: string): void {
  const session = scene.cluster.state.nodes.get(node)?.session ?? 0;
  scene.cluster.execute({ type: 'nodeOffline', term: scene.cluster.term, node, session });
}

function requestOf(name: string): InstanceRequest {
  return {
    clientToken: `instance-${name}`,
    clusterId: 'c',
    node: `node-${name}`,
    join: [],
    joinToken: null,
    capacity: { cpuMillis: null, memoryBytes: null },
    labels: {},
  };
}

const never = new AbortController().signal;

describe('a provider that refuses', () => {
  it('for a while is asked again after 5 s, twice as long each time, and a person is told after the fifth', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.provider.always('create', {
      type: 'refuse',
      error: new ProviderError('unavailable', 'it is away'),
    });
    scene.submit(50);
    await scene.advance(SECOND_MS);
    const [first = 0, ...more] = await pauses(scene, 'create', 140 * SECOND_MS);
    expect(first).toBeLessThanOrEqual(11);
    expect(more).toEqual([5, 10, 20, 40].map((seconds) => expect.closeTo(seconds, 0.5)));
    expect(scene.alerts).toBe(1);
    expect(scene.cluster.state.scaling?.failure?.reason).toContain('it is away');
    // Whoever leads next asks when it is time, and not at once.
    scene.lead('n2');
    expect(await pauses(scene, 'create', 10 * SECOND_MS)).toEqual([]);
  });

  it('is told of once, until nothing fails any more; the next time is news', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    const refusal = { type: 'refuse', error: new ProviderError('denied', 'no rights') } as const;
    scene.provider.next('create', refusal, refusal);
    const tasks = scene.submit(50);
    await scene.advance(20 * MINUTE_MS);
    expect(scene.alerts).toBe(1);
    expect(scene.phases).toEqual(['JOINED']);
    expect(scene.cluster.state.scaling?.failure).toBeNull();
    scene.cancel(tasks);
    await scene.advance(10 * MINUTE_MS);
    expect(scene.phases).toEqual([]);
    scene.provider.next('create', refusal);
    scene.submit(50);
    await scene.advance(MINUTE_MS);
    expect(scene.alerts).toBe(2);
  });

  it('for want of a quota is asked again after five minutes', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.provider.always('create', { type: 'refuse', error: new ProviderError('quota', 'no more of them') });
    scene.submit(50);
    await scene.advance(SECOND_MS);
    const [, ...more] = await pauses(scene, 'create', 9 * MINUTE_MS);
    expect(more).toEqual([expect.closeTo(300, 0.5)]);
  });

  it('to end an instance is asked until it does', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    const refusal = { type: 'refuse', error: new ProviderError('throttled', 'too often') } as const;
    scene.provider.next('terminate', refusal, refusal, { type: 'lose' });
    const tasks = scene.submit(50);
    await scene.advance(MINUTE_MS);
    scene.cancel(tasks);
    await scene.advance(10 * MINUTE_MS);
    expect(scene.running).toBe(0);
    expect(scene.phases).toEqual([]);
  });
});

describe('instances that do not come to be', () => {
  it.each([1, 4])(
    'hold further ones back for a minute, twice as long each time, %i at once',
    async (count) => {
      const rule = { metric: 'queue_depth', threshold: 10, cooldownMs: 0, count } as const;
      const scene = await Scene.of({ maxNodes: 3 + count, scaleUpRules: [rule] });
      scene.nodesCome = false;
      scene.submit(50);
      const begins: number[] = [];
      let known = 0;
      for (let seconds = 0; begins.length < 4; seconds += 1) {
        await scene.advance(SECOND_MS);
        const fresh = scene.memory.kept.size;
        if (fresh > known) begins.push(seconds);
        known = fresh;
        // Each ends by itself as soon as it has begun.
        for (const { instance } of scene.memory.kept.values()) scene.memory.end(instance.id);
      }
      const gaps = begins.slice(1).map((at, index) => at - (begins[index] ?? 0));
      // At least the hold, and the next look at the rules after it.
      for (const [at, gap] of gaps.entries()) {
        expect(gap).toBeGreaterThanOrEqual(60 * 2 ** at);
        expect(gap).toBeLessThanOrEqual(60 * 2 ** at + 30);
      }
      expect(scene.alerts).toBe(1);
    },
  );
});

describe('what is held back after a failure', () => {
  it('is held back for longer each time, also where another leads', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.nodesCome = false;
    scene.submit(50);
    const heldMs: number[] = [];
    for (let at = 0; at < 4; at += 1) {
      scene.lead(at % 2 === 0 ? 'n2' : 'n1');
      const before = scene.cluster.state.scaling?.failure?.heldUntilMs ?? 0;
      for (let seconds = 0; seconds < 1000; seconds += 1) {
        await scene.advance(SECOND_MS);
        for (const { instance } of scene.memory.kept.values()) scene.memory.end(instance.id);
        if ((scene.cluster.state.scaling?.failure?.heldUntilMs ?? 0) > before) break;
      }
      const { newestMs = 0, heldUntilMs = 0 } = scene.cluster.state.scaling?.failure ?? {};
      heldMs.push(heldUntilMs - newestMs);
    }
    expect(heldMs).toEqual([60, 120, 240, 480].map((seconds) => seconds * SECOND_MS));
  });

  it('keeps no node that is there already from staying: what is being drained is undrained', async () => {
    const scene = await Scene.draining();
    expect(scene.phases).toContain('DRAINING');
    const { term, state } = scene.cluster;
    const made = scene.memory.kept.size;
    scene.cluster.execute({
      type: 'autoscalerFailed',
      term,
      provider: 'command',
      reason: 'it did not come',
      holdMs: HOUR_MS,
    });
    scene.submit(50);
    await scene.advance(30 * SECOND_MS);
    expect(scene.phases).toEqual(['JOINED', 'JOINED', 'JOINED']);
    expect(scene.memory.kept.size).toBe(made);
    expect([...state.nodes.values()].map(({ status }) => status)).not.toContain('DRAINING');
  });
});

describe('a provider that is slow', () => {
  it('as with the pull of an image is waited for', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.provider.next('create', { type: 'slow', delayMs: HOST_LIMITS.createMs - 1 });
    scene.submit(50);
    await scene.advance(5 * MINUTE_MS);
    expect(scene.phases).toEqual(['JOINED']);
    expect(scene.provider.calls.filter((call) => call.startsWith('create'))).toHaveLength(1);
  });

  it('beyond the time that a call has is asked again, and makes one all the same', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    const slow = { type: 'slow', delayMs: AUTOSCALER_LIMITS.createMs - 1 } as const;
    scene.provider.next('create', { type: 'slow', delayMs: AUTOSCALER_LIMITS.createMs + 1 }, slow);
    scene.submit(50);
    await scene.advance(9 * MINUTE_MS);
    expect(scene.phases).toEqual(['JOINED']);
    expect(scene.memory.kept.size).toBe(1);
    const asked = scene.provider.calls.filter((call) => call.startsWith('create'));
    expect(asked).toHaveLength(2);
    expect(new Set(asked).size).toBe(1);
  });

  it('to list is not asked a second time meanwhile, and nothing waits for it', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.provider.always('list', { type: 'hang' });
    const before = scene.provider.calls.length;
    scene.submit(50);
    await scene.advance(80 * SECOND_MS);
    expect(scene.provider.calls.slice(before).filter((call) => call === 'list')).toHaveLength(1);
    expect(scene.phases).toEqual(['JOINED']);
  });
});

describe('a provider that cannot be listed', () => {
  it('is told of the fifth time, and nothing is concluded from lists that there are not', async () => {
    const { scene } = await withOne();
    scene.provider.always('list', { type: 'refuse', error: new ProviderError('unavailable', 'not now') });
    await scene.advance((AUTOSCALER_LIMITS.listFailures - 1) * MINUTE_MS);
    expect(scene.alerts).toBe(0);
    await scene.advance(2 * MINUTE_MS);
    expect(scene.alerts).toBe(1);
    expect(scene.cluster.state.scaling?.failure?.reason).toContain('what it has cannot be listed: not now');
    await scene.advance(HOUR_MS);
    expect(scene.phases).toEqual(['JOINED']);
    expect(scene.running).toBe(1);
    scene.provider.always('list', null);
    await scene.advance(3 * MINUTE_MS);
    expect(scene.cluster.state.scaling?.failure).toBeNull();
  });
});

describe('lists that lie', () => {
  it('take no node away that works', async () => {
    const { scene, id } = await withOne();
    scene.provider.hidden.add(id);
    await scene.advance(HOUR_MS);
    expect(scene.phases).toEqual(['JOINED']);
    expect(scene.running).toBe(1);
  });

  it('have no second one made of what they do not show yet', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.provider.lateMs = { made: 8 * MINUTE_MS, gone: 0 };
    scene.submit(50);
    await scene.advance(10 * MINUTE_MS);
    expect(scene.memory.kept.size).toBe(1);
    expect(scene.phases).toEqual(['JOINED']);
  });

  it('have nothing made anew that they show late, whose node takes its time', async () => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.nodesCome = false;
    scene.provider.lateMs = { made: 2 * MINUTE_MS, gone: 0 };
    scene.submit(50);
    await scene.advance(3 * MINUTE_MS);
    expect(scene.phases).toEqual(['CREATED']);
    scene.nodesCome = true;
    await scene.advance(MINUTE_MS);
    expect(scene.phases).toEqual(['JOINED']);
    expect(scene.memory.kept.size).toBe(1);
  });

  it('have the second one ended that a provider has made for the same token, and no node with it', async () => {
    const { scene, id, node } = await withOne();
    const [row] = scene.cluster.state.instances.values();
    const second = {
      id: 'i-second',
      clientToken: row?.id ?? '',
      node,
      state: 'running',
      launchedAtMs: null,
    } as const;
    scene.provider.ghosts.push(second);
    await scene.advance(10 * MINUTE_MS);
    expect(scene.provider.calls.filter((call) => call.startsWith('terminate'))).toEqual([
      'terminate i-second',
    ]);
    scene.provider.ghosts.pop();
    await scene.advance(10 * MINUTE_MS);
    expect([...scene.cluster.state.instances.values()]).toMatchObject([{ phase: 'JOINED', providerId: id }]);
    expect(scene.cluster.state.nodes.has(node)).toBe(true);
    expect(scene.running).toBe(1);
  });

  it('of several machines with one engine all show the same, and nothing is written for it', async () => {
    const scene = await Scene.of({ maxNodes: 4, provider: 'docker', scaleDownRules: [] });
    scene.submit(50);
    await scene.advance(MINUTE_MS);
    expect(scene.phases).toEqual(['JOINED']);
    const words = scene.cluster.applied.length;
    await scene.advance(30 * MINUTE_MS);
    expect(scene.cluster.applied.length).toBe(words);
    expect(scene.running).toBe(1);
  });

  it('have nothing ended that they show for a moment only', async () => {
    const scene = await Scene.of();
    const ghost = {
      id: 'i-x',
      clientToken: 'x',
      node: 'node-x',
      state: 'running',
      launchedAtMs: null,
    } as const;
    for (let times = 0; times < 5; times += 1) {
      scene.provider.ghosts.push(ghost);
      await scene.advance(LIFECYCLE_LIMITS.strayMs - MINUTE_MS);
      scene.provider.ghosts.pop();
      await scene.advance(2 * MINUTE_MS);
    }
    expect(scene.phases).toEqual([]);
    expect(scene.provider.calls.filter((call) => call.startsWith('terminate'))).toEqual([]);
  });

  it('keep the row of what they go on showing, and its provider is asked now and then', async () => {
    const { scene } = await withOne();
    scene.provider.lateMs = { made: 0, gone: 25 * MINUTE_MS };
    await scene.advance(2 * MINUTE_MS);
    scene.set({
      maxNodes: 4,
      scaleDownRules: [{ metric: 'queue_depth', threshold: 1, cooldownMs: 0, count: 1 }],
    });
    await scene.advance(5 * MINUTE_MS);
    expect(scene.running).toBe(0);
    expect(scene.phases).toEqual(['TERMINATING']);
    await scene.advance(30 * MINUTE_MS);
    expect(scene.phases).toEqual([]);
    const ended = scene.provider.calls.filter((call) => call.startsWith('terminate')).length;
    expect(ended).toBeGreaterThan(1);
    expect(ended).toBeLessThanOrEqual(4);
  });
});

describe('what nobody knows', () => {
  it('is taken in as a node where it is one, and goes as any other', async () => {
    const scene = await Scene.of({ scaleDownRules: [] });
    await scene.memory.create(requestOf('lost'), never);
    await scene.advance(7 * MINUTE_MS);
    expect(scene.phases).toEqual(['JOINED']);
    expect(scene.running).toBe(1);
    scene.set({ scaleDownRules: [{ metric: 'queue_depth', threshold: 1, cooldownMs: 0, count: 1 }] });
    await scene.advance(5 * MINUTE_MS);
    expect(scene.running).toBe(0);
    expect([...scene.cluster.state.nodes.keys()]).toEqual(['n1', 'n2', 'n3']);
  });

  it('of another cluster is left alone', async () => {
    const scene = await Scene.of();
    await scene.memory.create({ ...requestOf('other'), clusterId: 'another' }, never);
    scene.nodesCome = false;
    await scene.advance(30 * MINUTE_MS);
    expect(scene.running).toBe(1);
    expect(scene.phases).toEqual([]);
  });
});

describe('a node that is away', () => {
  it('leaves after ten minutes, and no earlier', async () => {
    const { scene, node } = await withOne();
    goOffline(scene, node);
    scene.nodesCome = false;
    await scene.advance(LIFECYCLE_LIMITS.awayMs - 2 * SECOND_MS);
    expect(scene.phases).toEqual(['JOINED']);
    await scene.advance(3 * MINUTE_MS);
    expect(scene.left).toEqual([node]);
    expect(scene.running).toBe(0);
    expect(scene.phases).toEqual([]);
  });
});

describe('switched off', () => {
  it('drops what was not asked for, and ends what has not come', async () => {
    const scene = await Scene.of({ maxNodes: 5 });
    scene.nodesCome = false;
    scene.provider.next('create', { type: 'lose' });
    scene.provider.always('create', { type: 'refuse', error: new ProviderError('quota', 'no more of them') });
    scene.submit(50);
    await scene.advance(15 * SECOND_MS);
    expect(scene.phases).toEqual(['REQUESTED', 'REQUESTED']);
    expect(scene.running).toBe(1);
    scene.provider.always('create', null);
    scene.set({ enabled: false });
    await scene.advance(10 * MINUTE_MS);
    expect(scene.phases).toEqual([]);
    expect(scene.running).toBe(0);
    expect(scene.memory.kept.size).toBe(1);
  });
});

describe('an instance that comes to light late', () => {
  it.each<[string, Partial<Autoscaling>]>([
    ['is ended also where the autoscaler is switched off meanwhile', { enabled: false }],
    ['is ended also where another provider is in use meanwhile', { provider: 'aws' }],
  ])('%s', async (_, changes) => {
    const scene = await Scene.of({ maxNodes: 4 });
    scene.nodesCome = false;
    scene.provider.always('create', { type: 'lose' });
    scene.provider.lateMs = { made: 20 * MINUTE_MS, gone: 0 };
    const tasks = scene.submit(50);
    await scene.advance(10 * SECOND_MS);
    scene.set(changes);
    scene.cancel(tasks);
    await scene.advance(18 * MINUTE_MS);
    expect(scene.phases).toEqual([]);
    expect(scene.running).toBe(1);
    await scene.advance(10 * MINUTE_MS);
    expect(scene.running).toBe(0);
    expect(scene.phases).toEqual([]);
    // And not for ever.
    await scene.advance(90 * MINUTE_MS);
    const { length } = scene.provider.calls;
    await scene.advance(10 * MINUTE_MS);
    expect(scene.provider.calls.length).toBe(changes.enabled === false ? length : length + 10);
  });
});

describe('a dry run', () => {
  it('says the same again after ten minutes', async () => {
    const scene = await Scene.of({ dryRun: true });
    scene.submit(50);
    await scene.advance(9 * MINUTE_MS);
    expect(scene.cluster.state.scalingDecisions.size).toBe(1);
    await scene.advance(2 * MINUTE_MS);
    expect(scene.cluster.state.scalingDecisions.size).toBe(2);
    expect(scene.provider.calls).toEqual([]);
  });
});
