import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { runs } from '../lib/testing/property-runs.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import type { Autoscaling } from '../model/autoscaling.ts';
import type { InstancePhase } from '../model/scaling.ts';
import { registrationOf, specOf } from '../scheduler/core/testing/values.ts';
import { MemoryCluster } from '../scheduler/testing/memory-cluster.ts';
import { LIFECYCLE_LIMITS } from './core/lifecycle.ts';
import { Autoscaler } from './loop.ts';
import { FaultyProvider } from './providers/faulty-provider.test-kit.ts';
import { MemoryProvider } from './providers/memory-provider.test-kit.ts';
import { ProviderError } from './providers/provider.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const SETTINGS: Autoscaling = {
  enabled: true,
  dryRun: false,
  minNodes: 1,
  maxNodes: 6,
  scaleUpRules: [{ metric: 'queue_depth', threshold: 10, cooldownMs: 0, count: 2 }],
  scaleDownRules: [{ metric: 'cluster_utilization', threshold: 30, cooldownMs: 0, count: 2 }],
  intervalMs: 10 * SECOND_MS,
  provider: 'command',
  process: null,
  docker: null,
  aws: null,
  command: null,
};

/** Three founders, a provider whose instances exist in here only, and whoever leads. */
class Scene {
  readonly clock = new VirtualClock();
  readonly cluster = new MemoryCluster(() => this.clock.wallMs());
  readonly memory = new MemoryProvider({ name: 'command', clusterId: 'c', clock: this.clock });
  readonly provider = new FaultyProvider(this.memory, this.clock);
  readonly left: string[] = [];
  readonly counted = { failures: 0 };
  /** Whether nodes of instances come, and drained ones are done. */
  nodesCome = true;
  /** Whether no look at the rules comes to anything. */
  isBroken = false;
  #autoscaler: Autoscaler | null = null;

  static async of(changes: Partial<Autoscaling> = {}): Promise<Scene> {
    const scene = new Scene();
    const { cluster } = scene;
    cluster.lead({ name: 'n1', address: '' });
    const heartbeat = { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 };
    const config = { heartbeat, autoscaling: { ...SETTINGS, ...changes } };
    cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
    for (const name of ['n1', 'n2', 'n3']) scene.join(name);
    scene.lead('n1');
    await scene.clock.advance(0);
    return scene;
  }

  /** As if the one before had stopped dead: what it has under way comes back to nobody. */
  lead(name: string): void {
    this.#autoscaler?.stop();
    this.cluster.lead({ name, address: '' });
    const { state } = this.cluster;
    this.#autoscaler = new Autoscaler(
      {
        replica: this.cluster.replica(name),
        clusterId: 'c',
        providers: { of: () => this.provider },
        members: () =>
          ['n1', 'n2', 'n3'].map((one) => ({
            name: one,
            isVoter: true,
            isCaughtUp: true,
            address: `${one}:1`,
          })),
        bounds: () => {
          if (this.isBroken) throw new Error('the rules cannot be looked at');
          return { voters: 3, mostMembers: 23 };
        },
        joinTokens: null,
        departures: {
          leave: async (node) => {
            const session = state.nodes.get(node)?.session ?? 0;
            const asked = { type: 'removeNode', node, session, dead: true, principal: 'test' } as const;
            this.cluster.execute({ ...asked, term: this.cluster.term, idempotency: null });
            this.left.push(node);
            return true;
          },
        },
        clock: this.clock,
        log: silentLog,
      },
      { decided: () => {}, failed: () => (this.counted.failures += 1) },
    );
    this.#autoscaler.start(this.cluster.term);
  }

  get overdueMs(): number | null {
    return this.#autoscaler?.overdueMs ?? null;
  }

  set(changes: Partial<Autoscaling>): void {
    const autoscaling = { ...SETTINGS, ...changes };
    const blocks = { autoscaling };
    this.cluster.execute({
      type: 'setConfig',
      term: this.cluster.term,
      heartbeat: {},
      blocks,
      idempotency: null,
    });
  }

  join(name: string): void {
    const { result } = this.cluster.execute(registrationOf(name)) as { result: { session: number } };
    this.cluster.execute({ type: 'reconcileNode', node: name, session: result.session, known: [] });
  }

  submit(count: number): readonly string[] {
    const tasks = Array.from({ length: count }, () => specOf());
    const outcome = this.cluster.execute({ type: 'submitTasks', tasks, idempotency: null });
    return (outcome as { result: { taskIds: readonly string[] } }).result.taskIds;
  }

  cancel(ids: readonly string[]): void {
    for (const taskId of ids) this.cluster.execute({ type: 'cancelTask', taskId, idempotency: null });
  }

  /** Time goes by second by second, and nodes do what nodes do. */
  async advance(durationMs: number): Promise<void> {
    for (let goneMs = 0; goneMs < durationMs; goneMs += SECOND_MS) {
      await this.clock.advance(SECOND_MS);
      if (this.nodesCome) this.#live();
    }
  }

  #live(): void {
    const { state, term } = this.cluster;
    for (const { request, instance } of this.memory.kept.values())
      if (instance.state === 'running' && !state.nodes.has(request.node) && !this.left.includes(request.node))
        this.join(request.node);
    for (const { name, status, drain } of state.nodes.values())
      if (status === 'DRAINING' && drain !== undefined)
        this.cluster.execute({ type: 'nodeDrained', term, node: name, drain: drain.index });
  }

  /** The leader is lost with the so many next word that it wants to write; null: none is. */
  crashAfter(words: number | null): void {
    let left = words;
    this.cluster.beforeApply = () => {
      if (left === null) return;
      left -= 1;
      if (left > 0) return;
      left = null;
      this.lead(this.cluster.leader?.name === 'n1' ? 'n2' : 'n1');
    };
  }

  get phases(): readonly InstancePhase[] {
    return [...this.cluster.state.instances.values()].map(({ phase }) => phase);
  }

  get running(): number {
    return [...this.memory.kept.values()].filter(({ instance }) => instance.state === 'running').length;
  }

  get alerts(): number {
    return this.cluster.applied.flatMap(({ changes }) =>
      changes.filter(
        ({ table, after }) => table === 'event' && JSON.stringify(after).includes('autoscaler.failed'),
      ),
    ).length;
  }
}

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
    const scene = await Scene.of();
    const tasks = scene.submit(50);
    await scene.advance(MINUTE_MS);
    scene.nodesCome = false;
    scene.cancel(tasks);
    await scene.advance(3 * MINUTE_MS);
    expect(scene.phases).toContain('DRAINING');
    const made = scene.memory.kept.size;
    scene.submit(50);
    await scene.advance(30 * SECOND_MS);
    expect(scene.phases).toEqual(['JOINED', 'JOINED', 'JOINED']);
    expect(scene.memory.kept.size).toBe(made);
  });

  it('begins nothing once it is switched off, and goes on with what is under way', async () => {
    const scene = await Scene.of();
    const tasks = scene.submit(50);
    await scene.advance(MINUTE_MS);
    scene.nodesCome = false;
    scene.cancel(tasks);
    await scene.advance(3 * MINUTE_MS);
    const leaving = scene.phases.filter((phase) => phase === 'DRAINING').length;
    expect(leaving).toBeGreaterThan(0);
    scene.set({ enabled: false });
    scene.nodesCome = true;
    scene.submit(50);
    await scene.advance(3 * MINUTE_MS);
    expect(scene.phases).toEqual(Array.from({ length: 3 - leaving }, () => 'JOINED'));
    expect(scene.running).toBe(3 - leaving);
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
