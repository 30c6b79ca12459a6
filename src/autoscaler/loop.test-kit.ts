/** The autoscaler on three founders, with a provider whose instances exist in memory only, by virtual time. */
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import type { Autoscaling } from '../model/autoscaling.ts';
import type { InstancePhase } from '../model/scaling.ts';
import { registrationOf, specOf } from '../scheduler/core/testing/values.ts';
import { MemoryCluster } from '../scheduler/testing/memory-cluster.ts';
import { Autoscaler } from './loop.ts';
import { FaultyProvider } from './providers/faulty-provider.test-kit.ts';
import { MemoryProvider } from './providers/memory-provider.test-kit.ts';

export const SECOND_MS = 1000;
export const MINUTE_MS = 60_000;
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
export class Scene {
  readonly clock = new VirtualClock();
  readonly cluster = new MemoryCluster(() => this.clock.wallMs());
  readonly memory = new MemoryProvider({ name: 'command', clusterId: 'c', clock: this.clock });
  readonly provider = new FaultyProvider(this.memory, this.clock);
  readonly left: string[] = [];
  /** Machines whose providers were asked for anything. */
  readonly asked = new Set<string>();
  /** Join tokens that there are, by node. */
  readonly tokens = new Map<string, string>();
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

  /** Nodes have come for a queue that is gone, and are being drained; those that come or go from now on do not. */
  static async draining(): Promise<Scene> {
    const scene = await Scene.of();
    const tasks = scene.submit(50);
    await scene.advance(MINUTE_MS);
    scene.nodesCome = false;
    scene.cancel(tasks);
    await scene.advance(3 * MINUTE_MS);
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
        providers: {
          of: (_, host) => {
            if (host !== null) this.asked.add(host);
            return this.provider;
          },
        },
        members: () =>
          ['n1', 'n2', 'n3'].map((one) => ({
            name: one,
            hasCopy: true,
            isVoter: true,
            isCaughtUp: true,
            address: `${one}:1`,
          })),
        voters: () => {
          if (this.isBroken) throw new Error('the rules cannot be looked at');
          return 3;
        },
        joinTokens: {
          make: async (node) => {
            const id = `of-${node}-by-${name}`;
            this.tokens.set(node, id);
            return { id, token: id };
          },
          removeOf: async (node) => void this.tokens.delete(node),
        },
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

  join(name: string, drivers: readonly string[] = ['process']): void {
    const registration = registrationOf(name, { drivers });
    const { result } = this.cluster.execute(registration) as { result: { session: number } };
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
