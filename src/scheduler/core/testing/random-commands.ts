/** Random commands, sensible and not, for tests of whatever becomes of them. */
import * as fc from 'fast-check';

import { isTerminal } from '../../../model/phases.ts';
import { DEFAULT_POLICY } from '../../../model/policy.ts';
import type { OrderedTableName, Tables } from '../../../model/rows.ts';
import { ON_NODE_LOSS, PRIORITIES } from '../../../model/task.ts';
import type { Pairs, TaskRow, TaskSpec } from '../../../model/task.ts';
import type { CommandInput } from '../../ports.ts';
import { expiryOf } from '../expiry.ts';
import { nodeHolding } from '../node-loads.ts';
import { inFlightOf } from '../placement/in-flight.ts';
import { plan, toAssignments } from '../placement/plan.ts';
import { Planner } from '../placement/planner.ts';
import { TestCluster, type TestedCore } from './test-cluster.ts';
import { MIB, containerOf, registrationOf, reportOf, specOf } from './values.ts';

export const NODES = ['n1', 'n2', 'n3'] as const;
const DRIVERS = ['process', 'docker'];
const REPORTS = ['STARTING', 'RUNNING', 'COMPLETED', 'FAILED', 'LOST', 'CANCELLED'] as const;

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

/** Whatever there is. */
export const step = stepOf([...TASK_KINDS, ...TIMEOUT_KINDS, ...DRAIN_KINDS, ...JOIN_KINDS]);
/** Without what came with version 2 of the cluster. */
export const earlierStep = stepOf([...TASK_KINDS, ...TIMEOUT_KINDS, ...DRAIN_KINDS]);
/** What moves tasks, and nothing that keeps nodes from getting any. */
export const taskStep = stepOf(TASK_KINDS);
export type Step = (typeof step extends fc.Arbitrary<infer T> ? T : never) & object;

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

/** The command that it stands for, where things have come to this. */
export function inputOf(cluster: TestCluster, { kind, pick, node, variant, flag }: Step): CommandInput {
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
      // Now and then more than any node has.
      const memoryBytes = (pick === 28 ? 2 ** 20 : 64) * MIB;
      const resources = { cpuMillis: 500 * (1 + variant), memoryBytes };
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

export function storedTasks(cluster: TestCluster): readonly TaskRow[] {
  return [...cluster.stored.values()]
    .filter(({ table }) => table === 'task')
    .map(({ row }) => row as TaskRow);
}

/** Keeps little, so that most of what is over is to go. */
export function formed(core?: TestedCore): TestCluster {
  const cluster = TestCluster.formed({ tasksMs: 4000, maxTasks: 5, eventsMs: 3000 }, core);
  for (const node of NODES) cluster.join(node, { drivers: DRIVERS });
  return cluster;
}
