/** Random commands about batches and DAGs, and what becomes of their tasks. */
import * as fc from 'fast-check';

import { DEFAULT_RETENTION } from '../../../model/cluster.ts';
import type { BatchWork } from '../../../model/commands.ts';
import { groupOf } from '../../../model/group.ts';
import { isTerminal } from '../../../model/phases.ts';
import type { TaskRow } from '../../../model/task.ts';
import { PRIORITIES } from '../../../model/task.ts';
import type { CommandInput } from '../../ports.ts';
import { nodeHolding } from '../node-loads.ts';
import { plan, toAssignments } from '../placement/plan.ts';
import { advanceInput, batchInput, dagInput, listOf, retryInput, TestGroup } from './groups.ts';
import { TestCluster, type TestedCore } from './test-cluster.ts';
import { MIB, reportOf, specOf } from './values.ts';

export const GROUP_NODES = ['n1', 'n2'] as const;
const ENDS = ['COMPLETED', 'COMPLETED', 'FAILED', 'FAILED', 'LOST', 'CANCELLED'] as const;

export const groupStep = fc.record({
  kind: fc.constantFrom(
    ...(['batch', 'dag', 'dag', 'plan', 'plan', 'plan', 'end', 'end', 'end', 'end'] as const),
    ...(['advance', 'advance', 'stale', 'cancelTask', 'cancelGroup', 'retry', 'retry', 'due'] as const),
    ...(['offline', 'late', 'again', 'again', 'update'] as const),
  ),
  pick: fc.nat({ max: 40 }),
  variant: fc.nat({ max: 5 }),
  size: fc.integer({ min: 1, max: 9 }),
  edges: fc.array(fc.nat({ max: 1000 }), { minLength: 8, maxLength: 8 }),
  slice: fc.integer({ min: 1, max: 4 }),
});
export type GroupStep = typeof groupStep extends fc.Arbitrary<infer T> ? T : never;

export function groupsOf(cluster: TestCluster): readonly TestGroup[] {
  return [...cluster.stored.values()].flatMap(({ table, key }) =>
    table === 'batch' || table === 'dag' ? [new TestGroup(cluster, table, key)] : [],
  );
}

/** Acyclic, and in no order: each depends on some of those before it in a random order of all. */
function edgesOf({ size, edges }: GroupStep): number[][] {
  const order = Array.from({ length: size }, (_, at) => at).sort(
    (a, b) => (edges[a % 8] ?? 0) - (edges[b % 8] ?? 0) || a - b,
  );
  const dependencies: number[][] = order.map(() => []);
  for (const [at, position] of order.entries()) {
    const bits = edges[at % 8] ?? 0;
    dependencies[position] = order.slice(0, at).filter((_, other) => ((bits >>> other) & 1) === 1);
  }
  return dependencies;
}

function workOf({ size, variant, slice }: GroupStep): BatchWork {
  const spec = specOf({
    name: 'job-{{index}}',
    resources: { cpuMillis: 200, memoryBytes: MIB },
    retry: { maxAttempts: 1 + (variant % 2) },
    ...(variant % 3 === 1 ? { concurrency: { key: 'db', max: 2 } } : {}),
    ...(slice === 1 ? { notBeforeMs: 1_002_000 } : {}),
  });
  if (variant < 2) return { type: 'template', template: spec, count: size };
  if (variant > 3) return listOf(Array.from({ length: size }, () => spec));
  const parameters = Array.from({ length: size }, (_, at) => [['p', `${at}`] as const]);
  return { type: 'parameters', template: spec, parameters };
}

/** The command that it stands for, where things have come to this; null: there is none. One case for each kind of step. */
// oxlint-disable-next-line max-lines-per-function
export function groupInputOf(cluster: TestCluster, one: GroupStep): CommandInput | null {
  const { kind, pick, variant, slice } = one;
  const { state, term } = cluster;
  const groups = groupsOf(cluster);
  const group = groups[pick % Math.max(1, groups.length)];
  const tasks = [...cluster.stored.values()]
    .filter(({ table }) => table === 'task')
    .map(({ row }) => row as TaskRow);
  const running = tasks.filter((task) => nodeHolding(task) !== null);
  const bounds = {
    sliceTasks: slice,
    maxParallel: pick % 3 === 0 ? 1 + (pick % 2) : null,
    maxFailures: variant % 3 === 0 ? pick % 3 : null,
  };
  const idempotency = pick % 4 === 0 ? { key: `k${pick % 3}`, requestDigest: `${kind}${variant}` } : null;
  switch (kind) {
    case 'batch':
      return { ...batchInput(workOf(one), bounds), idempotency };
    case 'dag': {
      const spec = specOf({ resources: { cpuMillis: 200, memoryBytes: MIB }, retry: { maxAttempts: 1 } });
      return { ...dagInput(edgesOf(one), bounds, spec), idempotency };
    }
    case 'plan': {
      const planned = plan(state, new Map(), 1 + pick);
      const assignments = toAssignments(planned.assignments);
      const { overtakes } = planned;
      return { type: 'assign', term, planIndex: cluster.index, assignments, overtakes };
    }
    case 'end':
    case 'late': {
      const task = (kind === 'end' ? running : tasks)[
        pick % Math.max(1, (kind === 'end' ? running : tasks).length)
      ];
      const attempt = task?.attempts.at(-1);
      if (task === undefined || attempt === undefined) return null;
      const at = { taskId: task.id, assignment: attempt.assignment, atMs: cluster.atMs };
      const session = state.nodes.get(attempt.node)?.session ?? 0;
      const status = kind === 'late' ? 'COMPLETED' : (ENDS[variant] ?? 'FAILED');
      return { type: 'reportAttempts', node: attempt.node, session, reports: [reportOf(at, status)] };
    }
    case 'advance': {
      const next = state.nextWorkingGroup();
      const row = next === null ? undefined : (state.batches.get(next.id) ?? state.dags.get(next.id));
      return next === null || row === undefined ? null : advanceInput(cluster, row, next.table);
    }
    case 'stale': {
      if (group === undefined) return null;
      const input = advanceInput(cluster, group.row, group.table);
      return { ...input, at: input.at + (variant % 2), taskIds: input.taskIds.slice(variant % 3) };
    }
    case 'cancelTask': {
      const task = tasks[pick % Math.max(1, tasks.length)];
      return task === undefined ? null : { type: 'cancelTask', taskId: task.id, idempotency: null };
    }
    case 'cancelGroup':
      if (group === undefined) return null;
      return { type: 'cancelGroup', table: group.table, id: group.id, idempotency: null };
    case 'retry':
      return group === undefined ? null : retryInput(group.row, group.table);
    case 'again': {
      const over = tasks.filter(({ status }) => isTerminal(status));
      const task = over[pick % Math.max(1, over.length)];
      if (task === undefined) return null;
      return {
        type: 'retryTask',
        taskId: task.id,
        specId: task.specId,
        group: variant === 5 ? null : groupOf(task),
        idempotency: null,
      };
    }
    case 'update': {
      const task = tasks[pick % Math.max(1, tasks.length)];
      if (task === undefined) return null;
      const notBeforeMs = variant < 3 ? cluster.atMs + 100 * variant : null;
      const changes = { priority: PRIORITIES[pick % 4] ?? 'low', notBeforeMs };
      return { type: 'updateTask', taskId: task.id, specId: task.specId, changes, idempotency: null };
    }
    case 'due':
      return { type: 'retryDue', term, taskIds: [...state.retriesDue(cluster.atMs)].map(({ id }) => id) };
    default: {
      const node = GROUP_NODES[pick % 2] ?? 'n1';
      const session = state.nodes.get(node)?.session ?? 0;
      return { type: 'nodeOffline', term, node, session };
    }
  }
}

export function formedForGroups(core?: TestedCore): TestCluster {
  const cluster = TestCluster.formed(DEFAULT_RETENTION, core);
  for (const node of GROUP_NODES) cluster.join(node);
  return cluster;
}
