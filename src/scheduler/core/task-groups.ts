/** The tasks on a node as those see them that keep apart from others: by batch and labels, alike ones counted together. */
import { batchIdOf, rowLabelsOf } from '../../model/earlier-rows.ts';
import type { AntiRule } from '../../model/placement.ts';
import { hasLabels } from '../../model/placement.ts';
import type { Pairs, TaskRow } from '../../model/task.ts';

/** What others may keep apart from. */
export type Grouped = Pick<TaskRow, 'batchId' | 'labels'>;

interface TaskGroup {
  readonly batchId: string | null;
  readonly labels: Pairs;
  count: number;
}

export class TaskGroups {
  readonly #groups = new Map<string, TaskGroup>();

  /** Tasks without a batch and labels, which are most, leave no trace. */
  add(task: Grouped, count: 1 | -1): void {
    const batchId = batchIdOf(task);
    const labels = rowLabelsOf(task);
    if (batchId === null && labels.length === 0) return;
    const key = `${batchId ?? ''} ${labelsKey(labels)}`;
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, { batchId, labels, count });
    else if (group.count + count === 0) this.#groups.delete(key);
    else group.count += count;
  }

  /** Of the rules the first that rules out these tasks. @param batchId of the task that keeps apart */
  meeting(rules: readonly AntiRule[], batchId: string | null): AntiRule | null {
    if (this.#groups.size === 0) return null;
    return (
      rules.find((rule) => {
        for (const group of this.#groups.values()) if (meets(group, rule, batchId)) return true;
        return false;
      }) ?? null
    );
  }
}

/** Whether the rule keeps apart from such a task. */
export function meets(task: Grouped, rule: AntiRule, batchId: string | null): boolean {
  if (rule.batch === null) return hasLabels(rowLabelsOf(task), rule.labels);
  return batchId !== null && batchIdOf(task) === batchId;
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
