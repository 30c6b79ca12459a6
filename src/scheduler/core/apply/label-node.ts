import { limits } from '../../../lib/limits.ts';
import type { LabelNodeCommand, Outcome } from '../../../model/commands.ts';
import { operatorLabelsOf } from '../../../model/earlier-rows.ts';
import type { LabelChanges } from '../../../model/node.ts';
import type { Pairs } from '../../../model/task.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';

/** What an operator says of a label stays, whatever the node says of it when it registers again. */
export function labelNode(transaction: Transaction, command: LabelNodeCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const node = transaction.get('node', command.node);
    if (node === null) return refuse('not_found', `there is no node ${command.node}`);
    const said = new Map(operatorLabelsOf(node));
    for (const [key, value] of command.labels) said.set(key, value);
    if (said.size > limits.labels)
      return refuse(
        'conflict',
        `operators would have spoken of ${said.size} labels of node ${node.name}: at most ${limits.labels}`,
      );
    const operatorLabels = sorted(said);
    const labels = labelled(node.labels, operatorLabels);
    transaction.put('node', node.name, { ...node, labels, operatorLabels });
    return done(null);
  });
}

/** Labels with the changes made, by UTF-16 code units of their keys. */
export function labelled(labels: Pairs, changes: LabelChanges): Pairs {
  if (changes.length === 0) return labels;
  const after = new Map(labels);
  for (const [key, value] of changes) {
    if (value === null) after.delete(key);
    else after.set(key, value);
  }
  return sorted(after);
}

function sorted<Value>(pairs: ReadonlyMap<string, Value>): readonly (readonly [string, Value])[] {
  return [...pairs].sort(([a], [b]) => (a < b ? -1 : 1));
}
