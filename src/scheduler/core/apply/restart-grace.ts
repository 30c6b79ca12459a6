import { limits } from '../../../lib/limits.ts';
import type { GraceOverCommand, GrantGraceCommand, Outcome } from '../../../model/commands.ts';
import { graceOf } from '../../../model/earlier-rows.ts';
import { leaseMsOf, timeoutMsFor } from '../../../model/lease.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';
import { openSession } from './sessions.ts';

/**
 * The node's own longer T, and with it, in the session that asks, the longer lease: one entry for both [EXTCOMMIT]. A
 * longer T of an earlier restart that still counts stays: leases of that length may be held.
 */
export function grantGrace(transaction: Transaction, command: GrantGraceCommand): Outcome {
  const opened = openSession(transaction, command);
  if (opened.type === 'refused') return opened;
  const { node } = opened;
  const leaseMs = Math.min(command.leaseMs, limits.restartGraceMs);
  const before = graceOf(node);
  if (leaseMs <= leaseMsOf(transaction.cluster.config.heartbeat.timeoutMs)) return done(null);
  const timeoutMs = Math.max(timeoutMsFor(leaseMs), before?.timeoutMs ?? 0);
  transaction.put('node', node.name, { ...node, grace: { timeoutMs, session: node.session } });
  return done(null);
}

/** The longer lease was granted in an earlier session, and is over: from now on the node has the T of all others. */
export function graceOver(transaction: Transaction, command: GraceOverCommand): Outcome {
  const opened = openSession(transaction, command);
  if (opened.type === 'refused') return opened;
  const { node } = opened;
  const grace = graceOf(node);
  if (grace === null || grace.session !== command.graceSession || grace.session === node.session)
    return refuse('conflict', `node ${node.name} has no grace of session ${command.graceSession} to end`);
  transaction.put('node', node.name, withoutGrace(node));
  return done(null);
}

export function withoutGrace({ grace: _grace, ...node }: NodeRow): NodeRow {
  return node;
}
