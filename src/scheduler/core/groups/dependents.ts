/** When a task of a DAG may run: the rule, and who is looked at after something has ended. */
import { notBeforeOf } from '../../../model/earlier-rows.ts';
import type { DagRow, GraphRow, GroupRef } from '../../../model/group.ts';
import { isTerminal } from '../../../model/phases.ts';
import { move } from '../apply/task-changes.ts';
import { waitOf } from '../new-task.ts';
import { whyNowhere } from '../placement/why-nowhere.ts';
import type { Transaction } from '../transaction.ts';
import { graphOf, isCompleted, putGroup } from './rows.ts';

/** Looks at the dependents of what has ended, as far as the budget goes; the rest stays due. */
export function tellDependents(
  transaction: Transaction,
  ref: GroupRef,
  dag: DagRow,
  budget: { left: number },
): void {
  if (dag.due.length === 0) return;
  const graph = graphOf(transaction, dag.id);
  let { dueAt } = dag;
  let told = 0;
  for (const position of dag.due) {
    const dependents = dependentsOf(graph, position);
    for (; dueAt < dependents.length && budget.left > 0; dueAt += 1) {
      budget.left -= 1;
      evaluate(transaction, dag, graph, dependents[dueAt] ?? 0);
    }
    if (dueAt < dependents.length) break;
    told += 1;
    dueAt = 0;
  }
  putGroup(transaction, ref, { ...dag, due: dag.due.slice(told), dueAt });
}

/**
 * PENDING once all that it depends on has COMPLETED, SKIPPED once one of them has ended otherwise. Asking again changes
 * nothing, so nobody counts who has been told of what.
 */
export function evaluate(
  transaction: Transaction,
  dag: DagRow,
  { dependencies }: GraphRow,
  position: number,
): void {
  const task = transaction.member(dag.id, position);
  if (task?.status !== 'WAITING') return;
  let isReady = true;
  for (const dependency of dependencies[position] ?? []) {
    if (isCompleted(dag, dependency)) continue;
    isReady = false;
    const other = transaction.member(dag.id, dependency);
    if (other !== null && !isTerminal(other.status)) continue;
    transaction.putTask(
      move(task, 'SKIPPED', {
        finishedAtMs: transaction.nowMs,
        statusReason: 'something that it depends on did not complete',
      }),
    );
    return;
  }
  if (!isReady) return;
  const wait = waitOf(notBeforeOf(task), transaction.nowMs);
  const statusReason = whyNowhere(task, transaction.state.nodes.values(), transaction.cluster);
  transaction.putTask(move(task, 'PENDING', { ...wait, statusReason }));
}

/** Made of a graph once: rows never change. */
const dependentsOfGraphs = new WeakMap<GraphRow, readonly (readonly number[])[]>();

/** In the order of their positions. */
export function dependentsOf(graph: GraphRow, position: number): readonly number[] {
  let all = dependentsOfGraphs.get(graph);
  if (all === undefined) {
    const made: number[][] = graph.dependencies.map(() => []);
    for (const [at, dependencies] of graph.dependencies.entries()) {
      for (const dependency of dependencies) made[dependency]?.push(at);
    }
    all = made;
    dependentsOfGraphs.set(graph, all);
  }
  return all[position] ?? [];
}
