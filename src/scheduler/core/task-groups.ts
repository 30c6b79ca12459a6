/** The tasks on a node as those see them that keep apart from others: by batch or DAG and labels, alike ones counted together. */
import { groupIdOf, rowLabelsOf } from '../../model/earlier-rows.ts';
import type { AntiRule } from '../../model/placement.ts';
import { hasLabels } from '../../model/placement.ts';
import type { Pairs, TaskRow } from '../../model/task.ts';

/** What others may keep apart from. */
export type Grouped = Pick<TaskRow, 'batchId' | 'dagId' | 'labels'>;

/** Seen so, a task has a batch or DAG, or none, and labels. */
interface Seen {
  readonly groupId: string | null;
  readonly labels: Pairs;
}

interface TaskGroup extends Seen {
  count: number;
}

export class TaskGroups {
  readonly #groups = new Map<string, TaskGroup>();

  /** Tasks without a batch, DAG and labels, which are most, leave no trace. */
  add(task: Grouped, count: 1 | -1): void {
    const groupId = groupIdOf(task);
    const labels = rowLabelsOf(task);
    if (groupId === null && labels.length === 0) return;
    const key = `${groupId ?? ''} ${labelsKey(labels)}`;
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, { groupId, labels, count });
    else if (group.count + count === 0) this.#groups.delete(key);
    else group.count += count;
  }

  /** Of the rules the first that rules out these tasks. @param groupId of the task that keeps apart */
  meeting(rules: readonly AntiRule[], groupId: string | null): AntiRule | null {
    if (this.#groups.size === 0) return null;
    return (
      rules.find((rule) => {
        for (const group of this.#groups.values()) if (isMeant(group, rule, groupId)) return true;
        return false;
      }) ?? null
    );
  }
}

/** Whether the rule keeps apart from such a task. */
export function meets(task: Grouped, rule: AntiRule, groupId: string | null): boolean {
  return isMeant({ groupId: groupIdOf(task), labels: rowLabelsOf(task) }, rule, groupId);
}

function isMeant(task: Seen, rule: AntiRule, groupId: string | null): boolean {
  if (rule.batch === null) return hasLabels(task.labels, rule.labels);
  return groupId !== null && task.groupId === groupId;
}

/** Rows of one submission share their labels. */
const LABEL_KEYS = new WeakMap<Pairs, string>();

function labelsKey(labels: Pairs): string {
  if (labels.length === 0) return '';
  const known = LABEL_KEYS.get(labels);
  if (known !== undefined) return known;
  const key = JSON.stringify(labels);
  LABEL_KEYS.set(labels, key);
  return key;
}
