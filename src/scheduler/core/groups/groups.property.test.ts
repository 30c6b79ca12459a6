/**
 * Batches and DAGs under random commands: nothing throws, counts are what a scan finds, a task of a DAG begins only once
 * all that it depends on has COMPLETED, bounds hold, no task is lost or doubled, and what is restored from rows goes on
 * as if nothing had happened. In the end, left alone, everything comes to its end.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { invariant } from '../../../lib/assert.ts';
import { DEFAULT_RETENTION } from '../../../model/cluster.ts';
import type { BatchWork } from '../../../model/commands.ts';
import type { FinishedRow } from '../../../model/events.ts';
import type { BatchRow, DagRow, GraphRow } from '../../../model/group.ts';
import { activeCount, groupOf } from '../../../model/group.ts';
import { isTerminal, mayBeginAnew, mayTaskBecome } from '../../../model/phases.ts';
import type { RowChange } from '../../../model/rows.ts';
import type { TaskRow } from '../../../model/task.ts';
import { PRIORITIES } from '../../../model/task.ts';
import type { CommandInput } from '../../ports.ts';
import type { ApplyResult } from '../apply/apply.ts';
import type { AssignResult } from '../apply/assign.ts';
import { expiryOf } from '../expiry.ts';
import { plan, toAssignments } from '../placement/plan.ts';
import { nodeHolding } from '../node-loads.ts';
import {
  TestGroup,
  advanceInput,
  batchInput,
  dagInput,
  listOf,
  retryInput,
  scannedCounts,
} from '../testing/groups.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { MIB, reportOf, specOf } from '../testing/values.ts';
import { runs } from '../../../lib/testing/property-runs.ts';

const NODES = ['n1', 'n2'] as const;
const OPEN_STATUSES = ['WAITING', 'PENDING', 'ASSIGNED', 'RUNNING', 'FAILED'] as const;
const ENDS = ['COMPLETED', 'COMPLETED', 'FAILED', 'FAILED', 'LOST', 'CANCELLED'] as const;

const step = fc.record({
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
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function groupsOf(cluster: TestCluster): readonly TestGroup[] {
  return [...cluster.stored.values()].flatMap(({ table, key }) =>
    table === 'batch' || table === 'dag' ? [new TestGroup(cluster, table, key)] : [],
  );
}

/** Acyclic, and in no order: each depends on some of those before it in a random order of all. */
function edgesOf({ size, edges }: Step): number[][] {
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

function workOf({ size, variant, slice }: Step): BatchWork {
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

// One case for each kind of step.
// oxlint-disable-next-line max-lines-per-function
function inputOf(cluster: TestCluster, one: Step): CommandInput | null {
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
      const node = NODES[pick % 2] ?? 'n1';
      const session = state.nodes.get(node)?.session ?? 0;
      return { type: 'nodeOffline', term, node, session };
    }
  }
}

function checkRule(cluster: TestCluster, { table, before, after }: RowChange): void {
  if (table !== 'task' || after === null) return;
  const from = before?.status ?? after.status;
  const isAlone = from === 'COMPLETED' && after.status === 'PENDING';
  const isAllowed = mayTaskBecome(from, after.status) || mayBeginAnew(from, after.status) || isAlone;
  invariant(from === after.status || isAllowed, `${from} → ${after.status} is in the table`);
  const dag = after.dagId;
  const begins = after.status !== 'WAITING' && !isTerminal(after.status);
  if (dag === undefined || dag === null || !begins || before?.status === after.status) return;
  const graph = cluster.stored.get(`graph/${dag}`)?.row as GraphRow;
  // While a group is begun anew nothing of it runs: PENDING is what it was submitted as.
  const group = new TestGroup(cluster, 'dag', dag);
  for (const position of graph.dependencies[after.createdPosition] ?? [])
    expect(group.at(position).status).toBe('COMPLETED');
}

/** The bound on failures is nobody who cancels. */
function isCancelledByHand({ status, statusReason }: TaskRow): boolean {
  return status === 'CANCELLED' && statusReason !== 'too many tasks of its group failed';
}

function checkGroup(group: TestGroup): void {
  const { row } = group;
  expect(row.counts).toEqual(scannedCounts(group));
  expect(activeCount(row)).toBeLessThanOrEqual(row.maxParallel ?? row.size);
  const positions = group.tasks.map(({ createdPosition }) => createdPosition);
  expect(positions).toEqual(Array.from({ length: row.made }, (_, at) => at));
  const open = group.tasks.filter(({ status }) => !isTerminal(status)).length;
  expect(row.finishedAtMs !== null).toBe(
    open === 0 && row.made === row.size && row.sweep === null && ('due' in row ? row.due.length === 0 : true),
  );
  expect(['COMPLETED', 'FAILED', 'CANCELLED'].includes(row.status)).toBe(row.finishedAtMs !== null);
  expect(row.status !== 'FAILED' || /^[1-9]/.test(row.statusReason ?? '')).toBe(true);
  expect(row.status !== 'CANCELLED' || row.stopping === 'cancel' || group.tasks.some(isCancelledByHand)).toBe(
    true,
  );
}

/** What was planned on the state of now is accepted, all of it. */
function refusedOf({ kind }: Step, { outcome }: ApplyResult): AssignResult['refused'] {
  return kind === 'plan' && outcome.type === 'done' ? (outcome.result as AssignResult).refused : [];
}

/** What waits is counted, made or not, and no more of a key runs than may. */
function checkQueue({ state }: TestCluster): void {
  const groups = [...state.batches.values(), ...state.dags.values()];
  const unmade = groups.reduce((sum, { size, made }) => sum + size - made, 0);
  const waiting = [...state.tasks.values()].filter((task) => nodeHolding(task) === null).length;
  expect(state.queuedCount).toBe(waiting + unmade);
  expect(state.unmadeCount).toBe(unmade);
  for (const status of OPEN_STATUSES) {
    const tasks = [...state.tasks.values()].filter((task) => task.status === status);
    expect(state.statusCount(status)).toBe(tasks.length);
  }
  expect(state.keyUse('db')?.holding ?? 0).toBeLessThanOrEqual(2);
}

/** All of what is over is found by its end: nothing of it stays. */
function checkExpiry(cluster: TestCluster): void {
  cluster.atMs += DEFAULT_RETENTION.tasksMs;
  const rows = [...cluster.stored.values()];
  const finished = rows
    .filter(({ table }) => table === 'finished')
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ row }) => row as FinishedRow);
  const dagNames = rows.filter(({ table }) => table === 'dagName').map(({ key }) => key);
  cluster.done({ type: 'expire', term: 1, ...expiryOf({ events: [], finished, usedKeys: [] }), dagNames });
  const left = [...cluster.stored.values()].map(({ table }) => table);
  const kept = new Set(['cluster', 'node', 'idempotency', 'usedKeys', 'event']);
  expect(left.filter((table) => !kept.has(table))).toEqual([]);
  expect(cluster.state.cluster?.retained?.finishedTaskCount).toBe(0);
}

function formed(): TestCluster {
  const cluster = TestCluster.formed();
  for (const node of NODES) cluster.join(node);
  return cluster;
}

function rejoin(cluster: TestCluster): void {
  for (const node of NODES) {
    if (cluster.state.nodes.get(node)?.sessionOpen === true) continue;
    cluster.join(node, { startId: `${node}-${cluster.index}` });
    cluster.done({
      type: 'nodeHealth',
      term: 1,
      node,
      session: cluster.state.nodes.get(node)?.session ?? 0,
      healthy: true,
    });
  }
}

/** Peace: leaders do their work, tasks run and complete. */
function finish(cluster: TestCluster): void {
  for (let round = 0; round < 200; round += 1) {
    const next = cluster.state.nextWorkingGroup();
    if (next !== null) {
      const row =
        cluster.state.batches.get(next.id) ?? (cluster.state.dags.get(next.id) as BatchRow | DagRow);
      invariant(
        cluster.done(advanceInput(cluster, row, next.table)).advanced,
        'a step that was due is taken',
      );
      continue;
    }
    cluster.atMs += 400_000;
    const due = [...cluster.state.retriesDue(cluster.atMs)].map(({ id }) => id);
    cluster.done({ type: 'retryDue', term: 1, taskIds: due });
    const assignments = toAssignments(plan(cluster.state, new Map(), 100).assignments);
    cluster.done({ type: 'assign', term: 1, planIndex: cluster.index, assignments });
    const running = [...cluster.state.tasks.values()].filter((task) => nodeHolding(task) !== null);
    for (const { id } of running) cluster.report(id, 'COMPLETED');
    if (running.length === 0 && cluster.state.tasks.size === 0) return;
  }
  throw new Error(`${cluster.state.tasks.size} tasks never end`);
}

describe('batches and DAGs, given anything', () => {
  it('keep their promises, and come to their end', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const cluster = formed();
        for (const one of steps) {
          const input = inputOf(cluster, one);
          if (input === null) continue;
          cluster.atMs += 100;
          const result = cluster.run(input);
          expect(result.poisoned).toBe(false);
          for (const change of result.changes) checkRule(cluster, change);
          for (const group of groupsOf(cluster)) checkGroup(group);
          expect(refusedOf(one, result)).toEqual([]);
          checkQueue(cluster);
          rejoin(cluster);
        }
        finish(cluster);
        for (const group of groupsOf(cluster)) {
          checkGroup(group);
          expect(group.row.finishedAtMs).not.toBeNull();
        }
        const { state } = cluster;
        expect(state.batches.size + state.dags.size + state.graphs.size + state.specs.size).toBe(0);
        const leftovers = [...cluster.stored.values()].filter(({ table }) => table === 'blueprint');
        expect(leftovers).toEqual([]);
        checkExpiry(cluster);
      }),
      { numRuns: runs(300) },
    );
  });

  it('come to the same rows and outcomes after a restart in between, rows restored in any order', () => {
    const orders = [(rows: unknown[]) => rows, (rows: unknown[]) => rows.toReversed()] as const;
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60, size: 'max' }),
        fc.nat({ max: 60 }),
        fc.constantFrom(...orders),
        (steps, restartAt, order) => {
          const steady = formed();
          const restarted = formed();
          for (const [at, one] of steps.entries()) {
            if (at === restartAt) restarted.state = restarted.restored(order as never);
            const input = inputOf(steady, one);
            if (input === null) continue;
            steady.atMs += 100;
            restarted.atMs += 100;
            expect(JSON.stringify(restarted.run(input))).toBe(JSON.stringify(steady.run(input)));
          }
          expect(JSON.stringify([...restarted.stored])).toBe(JSON.stringify([...steady.stored]));
          expect([...restarted.state.graphs.keys()].sort()).toEqual([...steady.state.graphs.keys()].sort());
          expect([...restarted.state.specs.keys()].sort()).toEqual([...steady.state.specs.keys()].sort());
          expect([...restarted.state.pending()].map(({ id }) => id)).toEqual(
            [...steady.state.pending()].map(({ id }) => id),
          );
        },
      ),
      { numRuns: runs(200) },
    );
  });
});
