import { limits } from '../../../lib/limits.ts';
import { logRetentionOf } from '../../../model/cluster.ts';
import type { LogsHandedOverCommand, Outcome } from '../../../model/commands.ts';
import type { LogHolderRow, LogSpan } from '../../../model/log-holder.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';

/**
 * From now on the output of all attempts that have run on the node is on the holder, as is what the node held of others.
 * Said again it replaces what the same data directory said before. What is past its retention is forgotten.
 */
export function logsHandedOver(transaction: Transaction, command: LogsHandedOverCommand): Outcome {
  const { node, incarnation, holder } = command;
  if (node === holder) return refuse('invalid', `node ${node} cannot hand its logs over to itself`);
  if (transaction.get('node', holder) === null) return refuse('not_found', `there is no node ${holder}`);
  const { nowMs } = transaction;
  const keptMs = logRetentionOf(transaction.cluster.config).logsMs;
  const own: LogSpan = { upTo: transaction.cluster.assignmentCounter, holder, sinceMs: nowMs, incarnation };
  const rows = new Map(transaction.state.logHolders);
  for (const row of rows.values()) {
    const spans = row.spans
      .filter(({ sinceMs }) => sinceMs + keptMs > nowMs)
      .map((span) => (span.holder === node ? { ...span, holder, sinceMs: nowMs } : span));
    change(transaction, row, spans);
  }
  const before = transaction.get('logHolder', node);
  const kept = (before?.spans ?? []).filter((span) => span.incarnation !== incarnation);
  change(transaction, before ?? { node, spans: [] }, [...kept, own].slice(-limits.logSpansPerNode));
  if (before === null && rows.size >= limits.logHolders) forgetOldest(transaction, node);
  return done(null);
}

function change(transaction: Transaction, row: LogHolderRow, spans: readonly LogSpan[]): void {
  const isSame = spans.length === row.spans.length && spans.every((span, at) => span === row.spans[at]);
  if (isSame) return;
  if (spans.length === 0) transaction.delete('logHolder', row.node);
  else transaction.put('logHolder', row.node, { node: row.node, spans });
}

/** But never what was just put. */
function forgetOldest(transaction: Transaction, just: string): void {
  let oldest: { readonly node: string; readonly sinceMs: number } | null = null;
  for (const { node } of transaction.state.logHolders.values()) {
    const sinceMs = transaction.get('logHolder', node)?.spans.at(-1)?.sinceMs;
    if (node === just || sinceMs === undefined) continue;
    if (oldest === null || sinceMs < oldest.sinceMs) oldest = { node, sinceMs };
  }
  if (oldest !== null) transaction.delete('logHolder', oldest.node);
}
