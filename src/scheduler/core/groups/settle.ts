/**
 * What a command has done to tasks of batches and DAGs, carried on to these: counts, the bound on failures, dependents
 * that may run now or never will, and the status that follows. Runs at the end of every command, within its
 * transaction; what is too much for one command is left as a sweep, or as `due`, for the leader's next one.
 */
import type { DagRow, GroupCounts, GroupRef, GroupRow, GroupStatus } from '../../../model/group.ts';
import { NO_COUNTS, activeCount, hasWork, isWhole, openCount } from '../../../model/group.ts';
import { stoppedBeforeOf } from '../../../model/earlier-rows.ts';
import { isTerminal } from '../../../model/phases.ts';
import type { MemberMove, Transaction } from '../transaction.ts';
import { tellDependents } from './dependents.ts';
import type { Group } from './rows.ts';
import { groupRow, isDag, putGroup, withCompleted } from './rows.ts';
import { cancelSlice } from './sweeps.ts';

/** Dependents that one command looks at. */
const DEPENDENTS_PER_COMMAND = 500;

/** @param named a group that the command itself is about, whether or not tasks of it have moved */
export function settleGroups(transaction: Transaction, named: GroupRef | null = null): void {
  const touched = new Map<string, GroupRef>();
  if (named !== null) touched.set(named.id, named);
  const budget = { left: DEPENDENTS_PER_COMMAND };
  let moves = transaction.takeMoves();
  do {
    for (const [id, { group, moved }] of byGroup(moves)) {
      touched.set(id, group);
      count(transaction, group, moved);
    }
    for (const ref of touched.values()) progress(transaction, ref, budget);
    // What was stopped, skipped or queued by that may concern others.
    moves = transaction.takeMoves();
  } while (moves.length > 0);
  for (const ref of touched.values()) conclude(transaction, ref);
}

/** In the order in which they were touched first: the same on every replica. */
function byGroup(
  moves: readonly MemberMove[],
): ReadonlyMap<string, { readonly group: GroupRef; readonly moved: MemberMove[] }> {
  const groups = new Map<string, { readonly group: GroupRef; readonly moved: MemberMove[] }>();
  for (const move of moves) {
    const known = groups.get(move.group.id);
    if (known === undefined) groups.set(move.group.id, { group: move.group, moved: [move] });
    else known.moved.push(move);
  }
  return groups;
}

function count(transaction: Transaction, ref: GroupRef, moves: readonly MemberMove[]): void {
  const group = groupRow(transaction, ref);
  // Open tasks are of open groups, which memory holds; a command about a task that is over has to name its group.
  if (group === null) return;
  const counts: Record<keyof GroupCounts, number> = { ...group.counts };
  for (const { from, to } of moves) {
    counts[from] -= 1;
    counts[to] += 1;
  }
  const counted: Group = { ...group, counts };
  putGroup(transaction, ref, isDag(counted) ? withEnds(counted, moves) : counted);
}

function withEnds(dag: DagRow, moves: readonly MemberMove[]): DagRow {
  const ended = moves.filter(({ from, to }) => isTerminal(to) && !isTerminal(from));
  if (ended.length === 0) return dag;
  let { completed } = dag;
  for (const { to, position } of ended) {
    if (to === 'COMPLETED') completed = withCompleted(completed, position);
  }
  // Where everything is stopped, nothing waits for them any more.
  const due = dag.stopping === null ? [...dag.due, ...ended.map(({ position }) => position)] : dag.due;
  return { ...dag, completed, due };
}

function progress(transaction: Transaction, ref: GroupRef, budget: { left: number }): void {
  const group = groupRow(transaction, ref);
  if (group === null) return;
  const { maxFailures, counts, stopping, sweep } = group;
  // While it is begun anew, failures of before are still among those that are counted.
  const isJudged = maxFailures !== null && stopping === null && sweep === null;
  if (isJudged && counts.PERMANENTLY_FAILED > maxFailures) stopGroup(transaction, ref, group, 'failures');
  else if (isDag(group) && isWhole(group)) tellDependents(transaction, ref, group, budget);
}

/** Ends what is open of it: the first slice at once, the rest as a sweep. */
export function stopGroup(
  transaction: Transaction,
  ref: GroupRef,
  group: Group,
  stopping: NonNullable<GroupRow['stopping']>,
): void {
  const statusReason =
    stopping === 'cancel'
      ? 'stopping'
      : `stopping: more than ${group.maxFailures} of its tasks failed (max_failures)`;
  const stopped = { ...group, stopping, statusReason, sweep: { type: 'cancel', next: 0 } } as const;
  putGroup(transaction, ref, isDag(group) ? { ...stopped, due: [], dueAt: 0 } : stopped);
  cancelSlice(transaction, ref);
}

/** The status that the counts come to. */
function conclude(transaction: Transaction, ref: GroupRef): void {
  const group = groupRow(transaction, ref);
  if (group === null) return;
  const isOver = openCount(group.counts) === 0 && !hasWork(group);
  const hasBegun = group.startedAtMs !== null || begunCount(group) > 0;
  const status = isOver ? endStatus(group) : hasBegun ? 'RUNNING' : 'PENDING';
  const startedAtMs = hasBegun ? (group.startedAtMs ?? transaction.nowMs) : null;
  const finishedAtMs = isOver ? (group.finishedAtMs ?? transaction.nowMs) : null;
  if (status === group.status && startedAtMs === group.startedAtMs && finishedAtMs === group.finishedAtMs)
    return;
  const statusReason = isOver ? endReason(group, status) : group.statusReason;
  putGroup(transaction, ref, { ...group, status, statusReason, startedAtMs, finishedAtMs });
}

/** Of those that have come as far as a node. */
function begunCount({ counts }: GroupRow): number {
  return activeCount({ counts }) + counts.FAILED + counts.COMPLETED + counts.PERMANENTLY_FAILED;
}

/** CANCELLED only where somebody cancelled it, or some of its tasks. */
function endStatus(group: GroupRow): GroupStatus {
  const { counts, size, stopping } = group;
  if (counts.COMPLETED === size) return 'COMPLETED';
  if (stopping === 'cancel') return 'CANCELLED';
  if (counts.PERMANENTLY_FAILED > 0 || stoppedBeforeOf(group) === 'failures') return 'FAILED';
  return counts.CANCELLED > 0 ? 'CANCELLED' : 'FAILED';
}

function endReason(group: GroupRow, status: GroupStatus): string | null {
  if (status !== 'FAILED') return null;
  const { counts, size, stopping, maxFailures } = group;
  if (counts.PERMANENTLY_FAILED === 0) {
    // What failed was begun anew alone, and has completed.
    if (counts.CANCELLED === 0) return `${counts.SKIPPED} of ${size} tasks were skipped`;
    return `${counts.CANCELLED} of ${size} tasks were cancelled: more than ${maxFailures} had failed (max_failures)`;
  }
  const failed = `${counts.PERMANENTLY_FAILED} of ${size} tasks failed`;
  return stopping === 'failures' ? `${failed}: more than ${maxFailures} (max_failures)` : failed;
}

export function startCounts(waiting: number, size: number): GroupCounts {
  return { ...NO_COUNTS, WAITING: waiting, PENDING: size - waiting };
}
