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
import type { OrderedTableName, RowChange } from '../../model/rows.ts';
import { PRIORITIES } from '../../model/task.ts';
import { grantedMs, timeoutMsOf } from '../../model/timeouts.ts';
import type { Attempt, SpecRow, TaskRow } from '../../model/task.ts';
import type { CommandInput } from '../ports.ts';
import { compareInQueue, headsOf } from './placement/heads.ts';
import type { ClusterState } from './state.ts';
import { nodeHolding } from './node-loads.ts';
import { dueMsOf } from './retry-timers.ts';
import { formed, inputOf, NODES, step, storedTasks, taskStep } from './testing/random-commands.ts';
import type { TestCluster } from './testing/test-cluster.ts';
import { NODE_CAPACITY } from './testing/values.ts';
import { runs } from '../../lib/testing/property-runs.ts';

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
