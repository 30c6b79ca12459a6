/**
 * The leader's loop with plans on their way while anything else is applied: whatever is refused of them rests on something
 * that was committed after its plan was made, nothing is lost on the way, and the head of the queue is not starved.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { silentLog } from '../lib/log.ts';
import { runs } from '../lib/testing/property-runs.ts';
import { groupOf } from '../model/group.ts';
import { isTerminal } from '../model/phases.ts';
import type { Resources, TaskRow, TaskSpec } from '../model/task.ts';
import { PRIORITIES } from '../model/task.ts';
import type { CommandResults } from './core/apply/results.ts';
import { nodeHolding } from './core/node-loads.ts';
import { batchInput, dagInput, listOf, retryInput } from './core/testing/groups.ts';
import { MIB, NODE_CAPACITY, registrationOf, reportOf, specOf } from './core/testing/values.ts';
import { SchedulingLoop } from './loop.ts';
import type { CommandInput } from './ports.ts';
import { settled, WaitingReplica } from './testing/waiting-replica.ts';

const NODES = ['n1', 'n2', 'n3'] as const;

const step = fc.record({
  kind: fc.constantFrom(
    ...(['commit', 'commit', 'commit', 'commit', 'commit', 'unknown', 'late', 'submit', 'submit'] as const),
    ...(['batch', 'dag', 'end', 'end', 'end', 'end', 'cancel', 'cancelGroup', 'retryGroup'] as const),
    ...(['update', 'update', 'again', 'offline', 'join', 'health', 'pass', 'pass', 'lead'] as const),
  ),
  pick: fc.nat({ max: 60 }),
  variant: fc.nat({ max: 5 }),
  passMs: fc.constantFrom(10, 1000, 3000, 31_000),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class World {
  readonly replica = new WaitingReplica();
  /** Whose proposer was told that nobody knows what became of them; they may come through the log all the same. */
  readonly #unknown: CommandInput[] = [];
  readonly errors: string[] = [];
  readonly #log: Log;
  refused = 0;
  loop: SchedulingLoop;

  constructor() {
    for (const name of NODES) this.replica.cluster.join(name);
    this.#log = {
      ...silentLog,
      error: (_fields, message) => void this.errors.push(message),
      child: () => this.#log,
    };
    this.loop = this.#lead();
    this.replica.onApplied(({ command, outcome }) => {
      if (command.type !== 'assign' || outcome.type !== 'done') return;
      this.refused += (outcome.result as CommandResults['assign']).refused.length;
    });
  }

  #lead(): SchedulingLoop {
    const { replica } = this;
    const loop = new SchedulingLoop({ replica, clock: replica.clock, log: this.#log });
    loop.start(replica.cluster.term);
    return loop;
  }

  get tasks(): readonly TaskRow[] {
    return [...this.replica.state.tasks.values()];
  }

  async act(one: Step): Promise<void> {
    if (one.kind === 'commit') await this.replica.commit();
    else if (one.kind === 'unknown') {
      const input = await this.replica.drop('outcome_unknown');
      if (input !== undefined) this.#unknown.push(input);
    } else if (one.kind === 'late') {
      const input = this.#unknown.shift();
      if (input !== undefined) this.replica.apply(input);
    } else if (one.kind === 'pass') this.replica.clock.advance(one.passMs);
    else if (one.kind === 'lead') {
      // What the leader before has proposed comes late, or never.
      this.loop.stop();
      this.#unknown.push(...this.replica.waiting.splice(0).map(({ input }) => input));
      this.replica.cluster.term += 1;
      this.loop = this.#lead();
    } else {
      const input = this.#inputOf(one);
      if (input !== null) this.replica.apply(input);
    }
    await settled();
  }

  /** A time of peace: all nodes are there, proposals come through, and what runs completes. */
  async peace(): Promise<void> {
    for (const input of this.#unknown.splice(0)) this.replica.apply(input);
    for (const name of NODES) this.#rejoin(name);
    await settled();
    await this.replica.commitAll();
    for (const task of this.tasks.filter((one) => nodeHolding(one) !== null)) this.#report(task, 'COMPLETED');
    this.replica.clock.advance(31_000);
    await settled();
  }

  #rejoin(name: string): void {
    const { state, cluster } = this.replica;
    const session = (): number => state.nodes.get(name)?.session ?? 0;
    if (state.nodes.get(name)?.sessionOpen !== true) {
      this.replica.apply(registrationOf(name, { startId: `${name}-${cluster.index}` }));
      this.replica.apply({ type: 'reconcileNode', node: name, session: session(), known: [] });
    }
    const { term } = cluster;
    this.replica.apply({ type: 'nodeHealth', term, node: name, session: session(), healthy: true });
  }

  #report(task: TaskRow, status: 'COMPLETED' | 'FAILED' | 'LOST'): void {
    const attempt = task.attempts.at(-1);
    if (attempt === undefined) return;
    const { assignment, node } = attempt;
    const session = this.replica.state.nodes.get(node)?.session ?? 0;
    const report = reportOf({ taskId: task.id, assignment, atMs: this.replica.clock.nowMs }, status);
    this.replica.apply({ type: 'reportAttempts', node, session, reports: [report] });
  }

  #inputOf({ kind, pick, variant }: Step): CommandInput | null {
    const { state, cluster } = this.replica;
    const { term } = cluster;
    const { tasks } = this;
    const task = tasks[pick % Math.max(1, tasks.length)];
    const groups = [
      ...[...state.batches.values()].map((row) => ({ table: 'batch' as const, row })),
      ...[...state.dags.values()].map((row) => ({ table: 'dag' as const, row })),
    ];
    const group = groups[pick % Math.max(1, groups.length)];
    const node = NODES[pick % NODES.length] ?? 'n1';
    const session = state.nodes.get(node)?.session ?? 0;
    const bounds = {
      sliceTasks: 1 + (pick % 3),
      maxParallel: pick % 2 === 0 ? 1 + (pick % 3) : null,
      maxFailures: pick % 3 === 0 ? pick % 2 : null,
    };
    switch (kind) {
      case 'submit': {
        const specs = Array.from({ length: 1 + variant }, (_, at) => specAt(pick + at));
        return { type: 'submitTasks', tasks: specs, idempotency: null };
      }
      case 'batch':
        // Its last slices bring another maximum for a key that others may have by then.
        if (pick % 4 === 3) return batchInput(listOf(mixedAt(pick, 2 + variant)), bounds);
        return batchInput({ type: 'template', template: specAt(pick), count: 1 + variant * 2 }, bounds);
      case 'dag':
        return dagInput(
          Array.from({ length: 1 + variant }, (_, at) => (at === 0 ? [] : [pick % at])),
          bounds,
          specAt(pick),
        );
      case 'end': {
        const held = tasks.filter((one) => nodeHolding(one) !== null);
        const over = held[pick % Math.max(1, held.length)];
        if (over !== undefined)
          this.#report(over, variant < 4 ? 'COMPLETED' : variant === 4 ? 'FAILED' : 'LOST');
        return null;
      }
      case 'cancel':
        return task === undefined ? null : { type: 'cancelTask', taskId: task.id, idempotency: null };
      case 'cancelGroup':
        if (group === undefined) return null;
        return { type: 'cancelGroup', table: group.table, id: group.row.id, idempotency: null };
      case 'retryGroup': {
        const over = [...cluster.stored.values()].filter(({ table }) => table === 'batch' || table === 'dag')[
          pick
        ];
        return over === undefined ? null : retryInput(over.row as never, over.table as 'batch' | 'dag');
      }
      case 'update': {
        if (task === undefined) return null;
        const changes = {
          priority: PRIORITIES[variant % 4] ?? 'low',
          labels: [['team', pick % 2 === 0 ? 'x' : null]] as const,
          ...(variant === 5 ? { notBeforeMs: this.replica.clock.nowMs + 2000 } : {}),
        };
        return { type: 'updateTask', taskId: task.id, specId: task.specId, changes, idempotency: null };
      }
      case 'again': {
        const over = [...cluster.stored.values()]
          .filter(({ table, row }) => table === 'task' && isTerminal((row as TaskRow).status))
          .map(({ row }) => row as TaskRow)[pick];
        if (over === undefined) return null;
        const { id: taskId, specId } = over;
        return { type: 'retryTask', taskId, specId, group: groupOf(over), idempotency: null };
      }
      case 'offline':
        return { type: 'nodeOffline', term, node, session };
      case 'join':
        this.#rejoin(node);
        return null;
      case 'health':
        return { type: 'nodeHealth', term, node, session, healthy: variant > 1 };
      default:
        throw new Error(`${kind} is handled elsewhere`);
    }
  }
}

function specAt(pick: number): TaskSpec {
  return specOf({
    resources: { cpuMillis: [500, 1000, 1500, 3000, 4000][pick % 5] ?? 500, memoryBytes: MIB },
    priority: PRIORITIES[pick % 4] ?? 'normal',
    retry: { maxAttempts: 1 + (pick % 2), backoffStrategy: 'fixed', backoffBase: 1 },
    labels: pick % 3 === 0 ? [['team', 'x']] : [],
    ...(pick % 7 === 1 ? { concurrency: { key: 'db', max: 2 } } : {}),
    ...(pick % 7 === 2
      ? { affinity: { required: [], preferred: [], anti: [{ batch: null, labels: [['team', 'x']] }] } }
      : {}),
  });
}

function mixedAt(pick: number, count: number): readonly TaskSpec[] {
  const keyed = { ...specAt(pick), concurrency: { key: 'db', max: 1 } };
  return Array.from({ length: 2 * count }, (_, at) =>
    at < count ? specOf({ resources: { cpuMillis: 500, memoryBytes: MIB } }) : keyed,
  );
}

function check({ replica, tasks, errors, loop }: World): void {
  const { state } = replica;
  expect(errors).toEqual([]);
  expect(loop.unexplainedRefusals).toBe(0);
  for (const name of NODES) {
    const { cpuMillis, memoryBytes } = state.allocated(name);
    expect(cpuMillis).toBeLessThanOrEqual(NODE_CAPACITY.cpuMillis);
    expect(memoryBytes).toBeLessThanOrEqual(NODE_CAPACITY.memoryBytes);
  }
  for (const { id, status, attempts } of tasks) {
    const held = NODES.filter((name) => state.tasksOn(name).has(id));
    const isOnNode = status === 'ASSIGNED' || status === 'RUNNING';
    expect(held).toEqual(isOnNode ? [attempts.at(-1)?.node] : []);
    const underWay = attempts.filter((one) => ['ASSIGNED', 'STARTING', 'RUNNING'].includes(one.status));
    expect(underWay.length).toBe(isOnNode ? 1 : 0);
  }
}

/** Everything comes to its end. */
async function finish(world: World): Promise<void> {
  const { batches, dags } = world.replica.state;
  for (let round = 0; round < 300; round += 1) {
    if (world.tasks.length + batches.size + dags.size === 0) return;
    await world.peace();
    check(world);
  }
  throw new Error(`${world.tasks.length} tasks, ${batches.size} batches and ${dags.size} DAGs never end`);
}

/** What once went wrong. */
const EARLIER: readonly (readonly [what: string, steps: readonly Step[]])[] = [
  [
    'labels changed of what is in flight, before something that keeps apart from it is planned',
    [did('submit', 7, 1), did('update'), did('submit', 0, 2), ...commits(10)],
  ],
  ['and of what is planned beside it', [did('submit', 56, 4), did('update'), ...commits(9)]],
  [
    'a plan of which nobody knew what had become',
    [
      did('submit'),
      did('offline'),
      did('commit'),
      did('commit'),
      did('commit'),
      did('submit'),
      did('commit'),
      did('offline', 10, 0),
      did('update', 0, 5),
      did('unknown'),
    ],
  ],
  [
    'a node kept for a head, and the plan of one that it keeps apart from',
    [
      did('offline'),
      did('submit', 21, 5),
      did('batch', 41, 4),
      did('submit', 42, 3),
      did('commit'),
      did('commit'),
      did('commit'),
      did('end'),
      did('end'),
      did('update', 26, 1),
      did('offline', 43, 0),
      did('commit'),
      did('commit'),
      did('commit'),
      did('commit'),
      did('commit'),
      did('submit', 7, 1),
      did('commit'),
      did('commit'),
      did('end'),
      did('end', 11, 4),
    ],
  ],
];

function did(kind: Step['kind'], pick = 0, variant = 0): Step {
  return { kind, pick, variant, passMs: 10 };
}

function commits(count: number): readonly Step[] {
  return Array.from({ length: count }, () => did('commit'));
}

async function tried(steps: readonly Step[]): Promise<World> {
  const world = new World();
  try {
    await settled();
    for (const one of steps) {
      await world.act(one);
      check(world);
    }
    await finish(world);
    return world;
  } finally {
    world.loop.stop();
  }
}

describe('plans on their way, while anything else happens', () => {
  it.each(EARLIER)('come to their end: %s', async (_what, steps) => {
    const { loop } = await tried(steps);
    expect(loop.unexplainedRefusals).toBe(0);
  });

  it('are refused for a lower maximum of their key that a slice has brought meanwhile', async () => {
    const { refused } = await tried([did('batch', 7), did('submit', 1), did('submit', 8), ...commits(8)]);
    expect(refused).toBeGreaterThan(0);
  });

  it('are refused only for what was committed after them, and nothing is lost', async () => {
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 80, size: 'max' }), async (steps) => {
        refused += (await tried(steps)).refused;
      }),
      { numRuns: runs(60) },
    );
    // Else it would prove nothing.
    expect(refused).toBeGreaterThan(0);
  });
});

interface Flow {
  readonly cpuMillis: number;
  readonly lastsMs: number;
  readonly everyMs: number;
}

const flow: fc.Arbitrary<Flow> = fc.record({
  cpuMillis: fc.constantFrom(200, 700, 1000, 1600),
  lastsMs: fc.constantFrom(500, 2000, 5000),
  everyMs: fc.constantFrom(500, 1000, 2500),
});

const STEP_MS = 500;
/** What came before the large one may be more than the nodes hold. */
const LONGEST_MS = 1_000_000;

/** @returns milliseconds from when the large one was the first of the queue until it was placed, and whether it was overtaken */
async function waitOf({
  capacities,
  flows,
  large,
}: {
  capacities: readonly number[];
  flows: readonly Flow[];
  large: Resources;
}): Promise<{ readonly waitedMs: number; readonly overtaken: boolean }> {
  const replica = new WaitingReplica();
  for (const [at, cpuMillis] of capacities.entries())
    replica.cluster.join(`n${at + 1}`, { capacity: { ...NODE_CAPACITY, cpuMillis } });
  const loop = new SchedulingLoop({ replica, clock: replica.clock, log: silentLog });
  loop.start(replica.cluster.term);
  const ends = new Map<string, number>();
  const lasts = new Map<string, number>();
  let overtaken = false;
  replica.onApplied(({ command }) => {
    if (command.type === 'assign') overtaken ||= command.overtakes === head;
  });
  const submit = (resources: Resources): string => {
    const outcome = replica.apply({
      type: 'submitTasks',
      tasks: [specOf({ resources })],
      idempotency: null,
    });
    if (outcome.type !== 'done') throw new Error('it is taken');
    return (outcome.result as CommandResults['submitTasks']).taskIds[0] ?? '';
  };
  let head = '';
  try {
    let firstMs: number | null = null;
    for (let passedMs = 0; passedMs <= LONGEST_MS; passedMs += STEP_MS) {
      for (const { cpuMillis, lastsMs, everyMs } of flows) {
        if (passedMs % everyMs === 0) lasts.set(submit({ cpuMillis, memoryBytes: MIB }), lastsMs);
      }
      // From when the others fill the nodes.
      if (passedMs === 5000) head = submit(large);
      await settled();
      await replica.commitAll();
      const [first] = replica.state.pending();
      if (first?.id === head) firstMs ??= passedMs;
      if (replica.state.tasks.get(head)?.status === 'ASSIGNED')
        return { waitedMs: passedMs - (firstMs ?? passedMs), overtaken };
      replica.clock.advance(STEP_MS);
      for (const task of replica.state.tasks.values()) {
        if (nodeHolding(task) === null) continue;
        const endMs = ends.get(task.id) ?? replica.clock.nowMs + (lasts.get(task.id) ?? 0);
        ends.set(task.id, endMs);
      }
      for (const [id, endMs] of ends) {
        if (endMs > replica.clock.nowMs || !ends.delete(id)) continue;
        const attempt = replica.state.tasks.get(id)?.attempts.at(-1);
        if (attempt === undefined) continue;
        const { node, assignment } = attempt;
        const session = replica.state.nodes.get(node)?.session ?? 0;
        const report = reportOf({ taskId: id, assignment, atMs: replica.clock.nowMs }, 'COMPLETED');
        replica.apply({ type: 'reportAttempts', node, session, reports: [report] });
      }
    }
    throw new Error(`it is not placed within ${LONGEST_MS} ms`);
  } finally {
    loop.stop();
  }
}

describe('the head of the queue', () => {
  it('is placed once overtaking was borne for its time and what ran then is over, whatever keeps coming', async () => {
    let overtaken = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(2000, 4000, 8000), { minLength: 1, maxLength: 4 }),
        fc.array(flow, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 50, max: 100 }),
        async (capacities, flows, percent) => {
          const cpuMillis = Math.floor((Math.max(...capacities) * percent) / 100);
          const large = { cpuMillis, memoryBytes: MIB };
          const lastsMs = Math.max(...flows.map((one) => one.lastsMs));
          const tooLarge = flows.filter((one) => one.cpuMillis > Math.max(...capacities));
          fc.pre(tooLarge.length === 0);
          const found = await waitOf({ capacities, flows, large });
          const everyMs = Math.max(...flows.map((one) => one.everyMs));
          // Room is there for something that overtakes it, and that comes; more does for the time that is borne; then all
          // that is on its node ends.
          const longestMs = lastsMs + everyMs + limits.overtakingMs + lastsMs + 2 * STEP_MS;
          expect(found.waitedMs).toBeLessThanOrEqual(longestMs);
          if (found.overtaken) overtaken += 1;
        },
      ),
      { numRuns: runs(40) },
    );
    expect(overtaken).toBeGreaterThan(0);
  });
});
