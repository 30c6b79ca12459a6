/**
 * Random commands, sensible and not: nothing throws, the phase tables hold, no node is ever given more than it has, the
 * indexes are those that the rows give, and what is restored from rows goes on as if nothing had happened.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { limits } from '../../lib/limits.ts';
import { leaseMsOf } from '../../model/lease.ts';
import type { EntryRow } from '../../model/events.ts';
import { isTerminal, mayAttemptBecome, mayBeRetried, mayTaskBecome } from '../../model/phases.ts';
import { waitsUntilOf } from '../../model/earlier-rows.ts';
import { DEFAULT_POLICY } from '../../model/policy.ts';
import type { OrderedTableName, RowChange, Tables } from '../../model/rows.ts';
import { ON_NODE_LOSS, PRIORITIES } from '../../model/task.ts';
import { grantedMs, timeoutMsOf } from '../../model/timeouts.ts';
import type { Attempt, Pairs, SpecRow, TaskRow, TaskSpec } from '../../model/task.ts';
import type { CommandInput } from '../ports.ts';
import { expiryOf } from './expiry.ts';
import { compareInQueue, headsOf } from './placement/heads.ts';
import { plan, toAssignments } from './placement/plan.ts';
import type { ClusterState } from './state.ts';
import { nodeHolding } from './node-loads.ts';
import { inFlightOf } from './placement/in-flight.ts';
import { Planner } from './placement/planner.ts';
import { dueMsOf } from './retry-timers.ts';
import { TestCluster } from './testing/test-cluster.ts';
import { MIB, NODE_CAPACITY, containerOf, registrationOf, reportOf, specOf } from './testing/values.ts';
import { runs } from '../../lib/testing/property-runs.ts';

const NODES = ['n1', 'n2', 'n3'] as const;
const DRIVERS = ['process', 'docker'];
const REPORTS = ['STARTING', 'RUNNING', 'COMPLETED', 'FAILED', 'LOST', 'CANCELLED'] as const;

/** Left out: FAILED → COMPLETED, which takes five losses in a row and a late end. */
const REACHABLE = {
  PENDING: ['ASSIGNED', 'CANCELLED', 'COMPLETED'],
  ASSIGNED: ['RUNNING', 'PENDING', 'COMPLETED', 'FAILED', 'PERMANENTLY_FAILED', 'CANCELLED'],
  RUNNING: ['PENDING', 'COMPLETED', 'FAILED', 'PERMANENTLY_FAILED', 'CANCELLED'],
  FAILED: ['PENDING', 'CANCELLED'],
  COMPLETED: ['PENDING'],
  PERMANENTLY_FAILED: ['PENDING'],
  CANCELLED: ['PENDING'],
} as const;

const TASK_KINDS = [
  ...(['submit', 'cancel', 'plan', 'plan', 'assign', 'register', 'reconcile', 'report', 'report'] as const),
  ...([
    'report',
    'health',
    'offline',
    'remove',
    'retry',
    'again',
    'update',
    'expire',
    'reserve',
    'pressure',
  ] as const),
] as const;
const TIMEOUT_KINDS = ['timeout', 'settled', 'grace', 'graceOver'] as const;
const DRAIN_KINDS = ['cordon', 'drain', 'undrain', 'undrain', 'overdue', 'drained', 'label'] as const;
const JOIN_KINDS = ['joinToken', 'useToken', 'useToken', 'dropToken'] as const;
type Kind = (typeof TASK_KINDS | typeof TIMEOUT_KINDS | typeof DRAIN_KINDS | typeof JOIN_KINDS)[number];

/** Numbers that `inputOf` makes a command of, by what there is when it is carried out. */
function stepOf(kinds: readonly Kind[]) {
  return fc.record({
    kind: fc.constantFrom(...kinds),
    pick: fc.nat({ max: 30 }),
    node: fc.constantFrom(...NODES),
    variant: fc.nat({ max: 5 }),
    flag: fc.boolean(),
    passMs: fc.constantFrom(0, 0, 10, 3000, 31_000, -500),
  });
}

const step = stepOf([...TASK_KINDS, ...TIMEOUT_KINDS, ...DRAIN_KINDS, ...JOIN_KINDS]);
/** What moves tasks, and nothing that keeps nodes from getting any. */
const taskStep = stepOf(TASK_KINDS);
type Step = (typeof step extends fc.Arbitrary<infer T> ? T : never) & object;

/** Mostly none, else one of what placement knows. */
function placementOf(pick: number, nowMs: number): Partial<TaskSpec> {
  const rules = { required: [], preferred: [], anti: [] };
  switch (pick) {
    case 21:
      return { notBeforeMs: nowMs + 3000 };
    case 22:
    case 23:
      return { concurrency: { key: 'db', max: 2 } };
    case 24:
      return { affinity: { ...rules, anti: [{ batch: null, labels: [['team', 'x']] }] } };
    case 25:
      return { affinity: { ...rules, required: [{ key: 'zone', operator: 'in', values: ['a'] }] } };
    case 26:
      return { locality: { near: [{ place: null, task: 'task' }] } };
    case 27:
      return { concurrency: { key: 'db', max: 3 } };
    default:
      return {};
  }
}

function inputOf(cluster: TestCluster, { kind, pick, node, variant, flag }: Step): CommandInput {
  const { state, term } = cluster;
  const running = [...state.tasks.values()].filter((task) => nodeHolding(task) !== null).map(({ id }) => id);
  const all = [...cluster.stored.values()].filter(({ table }) => table === 'task').map(({ key }) => key);
  // Mostly what is under way, sometimes anything that there ever was.
  const taskIds = pick % 3 === 0 || running.length === 0 ? all : running;
  const taskId = taskIds[pick % Math.max(1, taskIds.length)] ?? 'task-none';
  // Mostly the present session, sometimes the one before.
  const session = (state.nodes.get(node)?.session ?? 0) - (variant === 5 ? 1 : 0);
  switch (kind) {
    case 'submit': {
      const resources = { cpuMillis: 500 * (1 + variant), memoryBytes: 64 * MIB };
      const retry = { maxAttempts: 1 + (pick % 3), backoffBase: 1 + (pick % 2) };
      const container = pick % 5 === 0 ? containerOf({ user: flag ? 'app' : null }) : null;
      const onNodeLoss = ON_NODE_LOSS[pick % 3] ?? 'reschedule';
      const spec = specOf({
        container,
        resources,
        retry,
        onNodeLoss,
        priority: PRIORITIES[pick % 4] ?? 'low',
        labels: pick % 2 === 0 ? [['team', 'x']] : [],
        ...placementOf(pick, cluster.atMs),
      });
      const idempotency = flag ? { key: `key-${pick % 4}`, requestDigest: `${variant % 2}` } : null;
      const tasks = variant % 2 === 0 ? [spec] : [spec, spec, spec];
      if (variant < 5) return { type: 'submitTasks', tasks, idempotency };
      const submissions = [
        { tasks: [spec], idempotency },
        { tasks: [spec], idempotency },
      ];
      return { type: 'submitMany', submissions };
    }
    case 'cancel': {
      const failed = [...state.retriesDue(Number.MAX_SAFE_INTEGER)][0]?.id;
      const cancelled = variant === 0 ? (failed ?? taskId) : taskId;
      const idempotency = flag ? { key: `key-${pick % 4}`, requestDigest: cancelled } : null;
      return { type: 'cancelTask', taskId: cancelled, idempotency };
    }
    case 'plan': {
      const planned = plan(state, new Map(), 1 + pick);
      return {
        type: 'assign',
        term,
        planIndex: cluster.index,
        assignments: toAssignments(planned.assignments),
        overtakes: planned.overtakes,
      };
    }
    case 'assign': {
      const assignments = [taskId, ...taskIds.slice(0, variant)].map((id) => ({ taskId: id, node, session }));
      return { type: 'assign', term: flag ? term : term + 1, planIndex: cluster.index, assignments };
    }
    case 'register': {
      const startId = `${node}-start-${variant}`;
      const drivers = flag ? DRIVERS : ['process'];
      const policy = { ...DEFAULT_POLICY, users: pick % 4 === 0 ? ['app'] : null };
      const labels: Pairs = pick % 2 === 0 ? [['zone', 'a']] : [];
      const incarnation = pick === 0 ? 'other' : `${node}-data`;
      const boots = { bootId: `boot-${pick % 3}`, startCounter: pick % 4 };
      return registrationOf(node, { startId, ...boots, incarnation, drivers, policy, labels });
    }
    case 'reconcile': {
      const known = [...state.tasksOn(node)]
        .filter((_, at) => (at + pick) % 3 !== 0)
        .map((id) => ({ taskId: id, assignment: cluster.attempt(id).assignment }));
      return { type: 'reconcileNode', node, session, known };
    }
    case 'report': {
      const attempts =
        cluster.stored.get(`task/${taskId}`) === undefined ? [] : cluster.task(taskId).attempts;
      const attempt = flag ? attempts.at(-1) : attempts[pick % Math.max(1, attempts.length)];
      const at = { taskId, assignment: attempt?.assignment ?? pick, atMs: cluster.atMs };
      const from = attempt?.node ?? node;
      const reported = (state.nodes.get(from)?.session ?? 0) - (pick % 7 === 0 ? 1 : 0);
      const more = { note: flag ? '' : `part ${pick}`, imageDigest: flag ? null : `a@${pick}` };
      const reports = [reportOf(at, REPORTS[variant] ?? 'LOST', more)];
      return { type: 'reportAttempts', node: from, session: reported, reports };
    }
    case 'health':
      return { type: 'nodeHealth', term, node, session, healthy: flag };
    case 'pressure':
      return { type: 'nodePressure', term, node, session, pressure: flag ? ['disk'] : [] };
    case 'offline':
      return { type: 'nodeOffline', term, node, session };
    case 'remove': {
      const idempotency = flag ? { key: `key-${pick % 4}`, requestDigest: node } : null;
      const removal = { node, session, dead: variant < 2, principal: 'someone', idempotency };
      return { type: 'removeNode', term, ...removal };
    }
    case 'reserve': {
      const wanted = new Planner(state, inFlightOf(new Map())).reservation(cluster.atMs);
      const any = { taskId, nodes: [node] };
      return { type: 'reserveNodes', term, ...(flag ? any : (wanted ?? any)) };
    }
    case 'retry':
      return {
        type: 'retryDue',
        term,
        taskIds: [...state.retriesDue(cluster.atMs + 1000)].map(({ id }) => id),
      };
    case 'timeout': {
      const heartbeat = flag ? { timeoutMs: 10_000 + 1000 * pick } : { intervalMs: 1000 * variant };
      return { type: 'setHeartbeat', heartbeat, idempotency: null };
    }
    case 'settled': {
      const index = (state.cluster?.settling?.index ?? 0) - (variant === 5 ? 1 : 0);
      return { type: 'timeoutSettled', term, index };
    }
    case 'grace':
      return { type: 'grantGrace', term, node, session, leaseMs: 5000 * pick };
    case 'graceOver': {
      const graceSession = (state.nodes.get(node)?.grace?.session ?? 0) - (variant === 4 ? 1 : 0);
      return { type: 'graceOver', term, node, session, graceSession };
    }
    case 'again': {
      const over = storedTasks(cluster).filter(({ status }) => isTerminal(status));
      const again = over[pick % Math.max(1, over.length)]?.id ?? taskId;
      const idempotency = flag ? { key: `key-${pick % 4}`, requestDigest: again } : null;
      return { type: 'retryTask', taskId: again, specId: again, idempotency };
    }
    case 'update': {
      const priority = PRIORITIES[pick % 4] ?? 'low';
      const labels = [[`l${variant}`, flag ? 'x' : null]] as const;
      return { type: 'updateTask', taskId, specId: taskId, changes: { priority, labels }, idempotency: null };
    }
    case 'expire':
      return {
        type: 'expire',
        term,
        ...expiredOf(cluster, variant),
        joinTokens: [...state.joinTokens.keys()],
      };
    case 'cordon':
      return { type: 'cordonNode', node, idempotency: null };
    case 'drain': {
      const startId = flag ? (state.nodes.get(node)?.startId ?? null) : null;
      return { type: 'drainNode', node, withinMs: 1000 * variant, graceMs: null, startId, idempotency: null };
    }
    case 'undrain':
      return { type: 'undrainNode', node, idempotency: null };
    case 'overdue':
    case 'drained': {
      const drain = state.nodes.get(node)?.drain?.index ?? pick;
      return { type: kind === 'overdue' ? 'drainOverdue' : 'nodeDrained', term, node, drain };
    }
    case 'label':
      return { type: 'labelNode', node, labels: [['zone', flag ? 'a' : null]], idempotency: null };
    case 'joinToken':
    case 'useToken':
    case 'dropToken':
      return joinInputOf(cluster, { kind, pick, node, variant, flag });
    default:
      throw new Error('every kind is handled');
  }
}

function joinInputOf(
  { state }: TestCluster,
  { kind, pick, node, variant, flag }: Omit<Step, 'passMs'>,
): CommandInput {
  const ids = [...state.joinTokens.keys()];
  const id = ids[pick % Math.max(1, ids.length)] ?? 'join-none';
  if (kind === 'dropToken') return { type: 'deleteJoinToken', id, idempotency: null };
  const secretHash = pick % 5 === 0 ? 'another' : 'hash';
  if (kind === 'useToken')
    return { type: 'useJoinToken', id, secretHash, node: `${node}-new`, holder: `key-${variant % 2}` };
  return {
    type: 'createJoinToken',
    secretHash: 'hash',
    principal: 'ada',
    validMs: 3000 * (1 + variant),
    uses: 1 + (pick % 2),
    node: flag ? `${node}-new` : null,
    idempotency: null,
  };
}

/** As the leader names it: the oldest rows of each table, but here so many that some are to be kept. */
function expiredOf(cluster: TestCluster, count: number) {
  const oldest = <T extends OrderedTableName>(table: T): readonly Tables[T][] => {
    const rows = [...cluster.stored.values()].filter((one) => one.table === table);
    rows.sort((a, b) => (a.key < b.key ? -1 : 1));
    return rows.slice(0, count).map(({ row }) => row as Tables[T]);
  };
  return expiryOf({ events: oldest('event'), finished: oldest('finished'), usedKeys: oldest('usedKeys') });
}

/** What is counted, and what is named, is what is there. */
function checkRetained(cluster: TestCluster): void {
  const rows = [...cluster.stored.values()];
  const items = (table: OrderedTableName): readonly string[] =>
    rows.filter((one) => one.table === table).flatMap(({ row }) => (row as EntryRow<string>).items);
  const over = storedTasks(cluster).filter(({ status }) => isTerminal(status));
  const keys = rows.filter(({ table }) => table === 'idempotency').map(({ key }) => key);
  expect(cluster.state.cluster?.retained).toMatchObject({
    eventCount: items('event').length,
    finishedTaskCount: over.length,
    idempotencyKeyCount: keys.length,
  });
  // Each will be found by the entry that has ended it, or used it.
  expect(over.filter(({ id }) => !items('finished').includes(id))).toEqual([]);
  expect(items('usedKeys').toSorted()).toEqual(keys.toSorted());
  const specs = rows.filter(({ table }) => table === 'spec').map(({ key }) => key);
  expect(specs.toSorted()).toEqual(
    storedTasks(cluster)
      .map(({ id }) => id)
      .toSorted(),
  );
}

function checkChange(change: RowChange, isRetry: boolean): void {
  if (change.table !== 'task' || change.after === null) return;
  const { before, after } = change;
  const moved = before !== null && before.status !== after.status;
  const begunAnew = moved && isRetry && mayBeRetried(before.status) && after.status === 'PENDING';
  if (moved && !begunAnew && !mayTaskBecome(before.status, after.status)) {
    throw new Error(`${before.status} → ${after.status}`);
  }
  const earlier = new Map<number, Attempt>((before?.attempts ?? []).map((one) => [one.assignment, one]));
  for (const attempt of after.attempts) {
    const known = earlier.get(attempt.assignment);
    if (known === undefined) continue;
    expect(attempt.imageDigest !== null || known.imageDigest === null).toBe(true);
    if (known.status === attempt.status) continue;
    expect(mayAttemptBecome(known.status, attempt.status)).toBe(true);
  }
  expect(after.attempt).toBeGreaterThanOrEqual(before?.attempt ?? 0);
  expect(after.retryCount).toBeLessThan(5);
  expect(after.retryAtMs === null).toBe(after.status !== 'FAILED');
  expect(after.finishedAtMs === null).toBe(!isTerminal(after.status));
}

/** After the timeout nothing is known of a task that waits: it stays where it is. */
function checkWaiting(cluster: TestCluster, { table, before, after }: RowChange): void {
  if (table !== 'task' || before === null || after === null || nodeHolding(before) === null) return;
  const found = cluster.stored.get(`spec/${before.specId}`)?.row as SpecRow | undefined;
  if (found?.spec.onNodeLoss !== 'wait') return;
  const node = cluster.state.nodes.get(nodeHolding(before) ?? '');
  if ((before.attempts.at(-1)?.session ?? 0) < (node?.bootSession ?? 0)) return;
  expect(nodeHolding(after)).toBe(nodeHolding(before));
}

/** What may end a timeout that still counts: whoever has waited for all of it, and an operator's word [SHORTWAIT]. */
const SHORTENING: ReadonlySet<CommandInput['type']> = new Set([
  'timeoutSettled',
  'graceOver',
  'nodeOffline',
  'removeNode',
]);

/** Timeouts and leases by node, as they are now. */
function holding({ state: { cluster, nodes } }: TestCluster) {
  return new Map(
    [...nodes].flatMap(([name, row]) =>
      cluster === null
        ? []
        : [[name, { timeoutMs: timeoutMsOf(cluster, row), leaseMs: grantedMs(cluster, row) }] as const],
    ),
  );
}

/** Whatever is granted now is over before its node is taken for gone, and no timeout gets shorter by itself. */
function checkTimeouts(
  before: ReturnType<typeof holding>,
  after: ReturnType<typeof holding>,
  type: CommandInput['type'],
): void {
  for (const [name, { timeoutMs, leaseMs }] of after) {
    expect(leaseMs).toBeLessThanOrEqual(leaseMsOf(timeoutMs));
    const leastMs = SHORTENING.has(type) ? 0 : (before.get(name)?.timeoutMs ?? 0);
    expect(timeoutMs).toBeGreaterThanOrEqual(leastMs);
  }
}

/** A node shows what its drain is, and is empty once it is DRAINED. */
function checkDrains({ state }: TestCluster): void {
  for (const { name, status, drain, sessionOpen, reconciled } of state.nodes.values()) {
    const isShown = status === 'DRAINING' || status === 'DRAINED';
    expect(status !== 'DRAINED' || state.tasksOn(name).size === 0).toBe(true);
    expect(isShown && drain === undefined).toBe(false);
    const shown = drain?.finishedAtMs === null ? 'DRAINING' : 'DRAINED';
    expect(drain === undefined || !sessionOpen || !reconciled || status === shown).toBe(true);
  }
}

/** Only what is queued is a head, in order and a few of each priority, and no more of a key is on nodes than may be. */
function checkHeads(state: ClusterState): void {
  const noted = headsOf(state.cluster);
  const heads = noted.flatMap(({ taskId }) => state.tasks.get(taskId) ?? []);
  expect(heads).toHaveLength(noted.length);
  expect(new Set(heads).size).toBe(noted.length);
  expect(heads).toEqual(heads.toSorted(compareInQueue));
  for (const priority of PRIORITIES)
    expect(heads.filter((task) => task.priority === priority).length).toBeLessThanOrEqual(
      limits.headsPerPriority,
    );
  expect(heads.every((task) => task.status === 'PENDING')).toBe(true);
  const { max, holding } = state.keyUse('db') ?? { max: 0, holding: 0 };
  expect(holding).toBeLessThanOrEqual(max);
}

function rank({ priority }: TaskRow): number {
  return PRIORITIES.indexOf(priority);
}

/** What the indexes must say, by looking at every row. */
function recomputed(tasks: readonly TaskRow[]): object {
  const open = tasks.filter(({ status }) => !isTerminal(status));
  const pending = open
    .filter((task) => task.status === 'PENDING' && waitsUntilOf(task) === null)
    .sort(
      (a, b) => rank(a) - rank(b) || a.createdIndex - b.createdIndex || a.createdPosition - b.createdPosition,
    );
  const retries = open.flatMap((task) => dueMsOf(task) ?? []).sort((a, b) => a - b);
  const held = open.filter((task) => nodeHolding(task) !== null);
  const keyed = open.filter(({ concurrency }) => concurrency?.key === 'db');
  return {
    open: open.map(({ id }) => id).sort(),
    pending: pending.map(({ id }) => id),
    retries,
    nextRetry: retries[0] ?? null,
    queued: open.length - held.length,
    key:
      keyed.length === 0
        ? null
        : { max: keyed[0]?.concurrency?.max, holding: keyed.filter((task) => held.includes(task)).length },
    nodes: NODES.map((name) => {
      const there = open.filter((task) => nodeHolding(task) === name);
      return {
        ids: there.map(({ id }) => id).sort(),
        cpuMillis: there.reduce((sum, { resources }) => sum + resources.cpuMillis, 0),
        memoryBytes: there.reduce((sum, { resources }) => sum + resources.memoryBytes, 0),
      };
    }),
  };
}

function indexesOf(state: ClusterState): object {
  expect([...state.specs.keys()].sort()).toEqual([...state.tasks.keys()].sort());
  const pending = [...state.pending()].map(({ id }) => id);
  expect(state.pendingCount).toBe(pending.length);
  const use = state.keyUse('db');
  return {
    open: [...state.tasks.keys()].sort(),
    pending,
    retries: [...state.retriesDue(Number.MAX_SAFE_INTEGER)].map(dueMsOf),
    nextRetry: state.nextRetryAtMs(),
    queued: state.queuedCount,
    key: use === null ? null : { max: use.max, holding: use.holding },
    nodes: NODES.map((name) => ({ ids: [...state.tasksOn(name)].sort(), ...state.allocated(name) })),
  };
}

function storedTasks(cluster: TestCluster): readonly TaskRow[] {
  return [...cluster.stored.values()]
    .filter(({ table }) => table === 'task')
    .map(({ row }) => row as TaskRow);
}

/** Keeps little, so that most of what is over is to go. */
function formed(): TestCluster {
  const cluster = TestCluster.formed({ tasksMs: 4000, maxTasks: 5, eventsMs: 3000 });
  for (const node of NODES) cluster.join(node, { drivers: DRIVERS });
  return cluster;
}

describe('the state machine, given anything', () => {
  it('gets everywhere that this version can get', () => {
    let cluster = formed();
    const moves = new Set<string>();
    for (const [at, one] of fc.sample(taskStep, { seed: 1, numRuns: 12_000 }).entries()) {
      // With thousands of tasks hardly anything happens to the same one twice.
      if (at % 600 === 0) cluster = formed();
      cluster.atMs += one.passMs;
      for (const change of cluster.run(inputOf(cluster, one)).changes) {
        if (change.table !== 'task' || change.before === null || change.after === null) continue;
        if (change.before.status !== change.after.status)
          moves.add(`${change.before.status} → ${change.after.status}`);
      }
    }
    const all = Object.entries(REACHABLE).flatMap(([from, tos]) => tos.map((to) => `${from} → ${to}`));
    expect([...moves].sort()).toEqual(all.sort());
  });

  it('keeps its promises', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
        const cluster = formed();
        for (const one of steps) {
          cluster.atMs += one.passMs;
          const input = inputOf(cluster, one);
          const before = holding(cluster);
          const result = cluster.run(input);
          expect(result.poisoned).toBe(false);
          checkTimeouts(before, holding(cluster), input.type);
          for (const change of result.changes) {
            checkChange(change, input.type === 'retryTask');
            if (input.type === 'nodeOffline') checkWaiting(cluster, change);
          }
          checkHeads(cluster.state);
          checkDrains(cluster);
          for (const node of NODES) {
            const { cpuMillis, memoryBytes } = cluster.state.allocated(node);
            expect(cpuMillis).toBeLessThanOrEqual(NODE_CAPACITY.cpuMillis);
            expect(memoryBytes).toBeLessThanOrEqual(NODE_CAPACITY.memoryBytes);
          }
        }
        checkRetained(cluster);
        expect(indexesOf(cluster.state)).toEqual(recomputed(storedTasks(cluster)));
      }),
      { numRuns: runs(150) },
    );
  });

  it('comes to the same rows and outcomes after a restart in between, rows restored in any order', () => {
    const orders = [(rows: unknown[]) => rows, (rows: unknown[]) => rows.toReversed()] as const;
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 100, size: 'max' }),
        fc.nat({ max: 80 }),
        fc.constantFrom(...orders),
        (steps, restartAt, order) => {
          const steady = formed();
          const restarted = formed();
          for (const [at, one] of steps.entries()) {
            if (at === restartAt) restarted.state = restarted.restored(order as never);
            steady.atMs += one.passMs;
            restarted.atMs += one.passMs;
            const input = inputOf(steady, one);
            const outcome = JSON.stringify(restarted.run(input));
            expect(outcome).toBe(JSON.stringify(steady.run(input)));
          }
          expect(JSON.stringify([...restarted.stored])).toBe(JSON.stringify([...steady.stored]));
          expect(indexesOf(restarted.state)).toEqual(indexesOf(steady.state));
        },
      ),
      { numRuns: runs(100) },
    );
  });
});
