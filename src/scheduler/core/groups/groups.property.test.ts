/**
 * Batches and DAGs under random commands: nothing throws, counts are what a scan finds, a task of a DAG begins only once
 * all that it depends on has COMPLETED, bounds hold, no task is lost or doubled, and what is restored from rows goes on
 * as if nothing had happened. In the end, left alone, everything comes to its end.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { invariant } from '../../../lib/assert.ts';
import { DEFAULT_RETENTION } from '../../../model/cluster.ts';
import type { FinishedRow } from '../../../model/events.ts';
import type { BatchRow, DagRow, GraphRow } from '../../../model/group.ts';
import { activeCount } from '../../../model/group.ts';
import { isTerminal, mayBeginAnew, mayTaskBecome } from '../../../model/phases.ts';
import type { RowChange } from '../../../model/rows.ts';
import type { TaskRow } from '../../../model/task.ts';
import type { ApplyResult } from '../apply/apply.ts';
import type { AssignResult } from '../apply/assign.ts';
import { expiryOf } from '../expiry.ts';
import { plan, toAssignments } from '../placement/plan.ts';
import { nodeHolding } from '../node-loads.ts';
import { TestGroup, advanceInput, scannedCounts } from '../testing/groups.ts';
import {
  formedForGroups,
  GROUP_NODES,
  groupInputOf,
  groupsOf,
  groupStep,
  type GroupStep,
} from '../testing/random-group-commands.ts';
import type { TestCluster } from '../testing/test-cluster.ts';
import { runs } from '../../../lib/testing/property-runs.ts';

const OPEN_STATUSES = ['WAITING', 'PENDING', 'ASSIGNED', 'RUNNING', 'FAILED'] as const;
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
function refusedOf({ kind }: GroupStep, { outcome }: ApplyResult): AssignResult['refused'] {
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

function rejoin(cluster: TestCluster): void {
  for (const node of GROUP_NODES) {
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
      fc.property(fc.array(groupStep, { maxLength: 60, size: 'max' }), (steps) => {
        const cluster = formedForGroups();
        for (const one of steps) {
          const input = groupInputOf(cluster, one);
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
        fc.array(groupStep, { maxLength: 60, size: 'max' }),
        fc.nat({ max: 60 }),
        fc.constantFrom(...orders),
        (steps, restartAt, order) => {
          const steady = formedForGroups();
          const restarted = formedForGroups();
          for (const [at, one] of steps.entries()) {
            if (at === restartAt) restarted.state = restarted.restored(order as never);
            const input = groupInputOf(steady, one);
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
