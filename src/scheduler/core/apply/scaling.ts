/** The autoscaler's word, entry by entry. What a provider is asked for stands here before it is asked. */
import { unreachable } from '../../../lib/assert.ts';
import { encodeId } from '../../../lib/ids.ts';
import { limits } from '../../../lib/limits.ts';
import type {
  AutoscalerDecidedCommand,
  AutoscalerFailedCommand,
  InstanceProgressCommand,
  InstanceStep,
  Outcome,
} from '../../../model/commands.ts';
import { dryRunOf } from '../../../model/earlier-rows.ts';
import type { InstanceRow, ScalingDecisionRow, ScalingRow } from '../../../model/scaling.ts';
import { decisionKey, NEXT_PHASES, NO_SCALING } from '../../../model/scaling.ts';
import { scalingSizeOf } from '../scaling-size.ts';
import { firstBytes } from '../text.ts';
import type { Transaction } from '../transaction.ts';
import { beginDrain, endDrain } from './drain-node.ts';
import { done, refuse } from './outcomes.ts';

export interface AutoscalerDecidedResult {
  readonly sequence: number;
  /** Ids of the instances that it has made. */
  readonly added: readonly string[];
}

export interface InstanceProgressResult {
  /** Ids of the instances whose step was taken, in order. */
  readonly taken: readonly string[];
}

/** Ids of instances, and names of their nodes, are the same but for that. */
const ID_KIND = 'instance';
const NODE_KIND = 'node';

export function autoscalerDecided(
  transaction: Transaction,
  command: AutoscalerDecidedCommand,
): Outcome<AutoscalerDecidedResult> {
  const objection = objectionTo(transaction, command);
  if (objection !== null) return refuse('conflict', objection);
  const { decision, isDryRun } = command;
  const scaling = scalingOf(transaction);
  const sequence = scaling.sequence + 1;
  const kept = isDryRun ? [] : command.keep.map((id) => keep(transaction, id));
  const added = isDryRun ? [] : add(transaction, command, sequence);
  const removed = isDryRun ? [] : command.remove.map((id) => remove(transaction, command, id, sequence));
  const { nowMs } = transaction;
  const row: ScalingDecisionRow = {
    ...decision,
    sequence,
    atMs: nowMs,
    isDryRun,
    nodes: [...kept, ...added, ...removed].map(({ node }) => node),
    done: kept.length,
    failed: 0,
    cancelled: 0,
  };
  transaction.put('scalingDecision', decisionKey(sequence), row);
  transaction.delete('scalingDecision', decisionKey(sequence - limits.scalingDecisions));
  putScaling(transaction, {
    sequence,
    ...(decision.action === 'add_nodes' ? { lastUpAtMs: nowMs } : { lastDownAtMs: nowMs }),
  });
  return done({ sequence, added: added.map(({ id }) => id) });
}

/** What was decided holds only where nothing has changed since that it rests on. */
function objectionTo(transaction: Transaction, command: AutoscalerDecidedCommand): string | null {
  const { after, provider, isDryRun, add: count, keep: kept, remove: removed } = command;
  const settings = transaction.cluster.config.autoscaling;
  if (settings?.enabled !== true) return 'the autoscaler is not enabled';
  if (isDryRun !== dryRunOf(settings)) return 'autoscaling.dry_run has changed';
  if (settings.provider !== provider)
    return `nodes are made by ${settings.provider} now, and not ${provider}`;
  const { sequence } = scalingOf(transaction);
  if (sequence !== after) return `decision ${sequence} was made since ${after}`;
  if (isDryRun) return null;
  if (count + removed.length > limits.scalingNodes)
    return `at most ${limits.scalingNodes} nodes in one decision`;
  const { active, joining } = scalingSizeOf(transaction.state);
  if (count + kept.length > 0 && active + joining + kept.length + count > settings.maxNodes)
    return `${active + joining} nodes and ${kept.length + count} more are above max_nodes, which is ${settings.maxNodes}`;
  if (removed.length > 0 && active + joining - removed.length < settings.minNodes)
    return `${active + joining} nodes less ${removed.length} are below min_nodes, which is ${settings.minNodes}`;
  const phaseOf = (id: string) => transaction.get('instance', id)?.phase;
  const noneToKeep = kept.find((id) => phaseOf(id) !== 'DRAINING');
  if (noneToKeep !== undefined) return `${noneToKeep} is not being drained any more`;
  const noneToRemove = removed.find((id) => phaseOf(id) !== 'JOINED');
  return noneToRemove === undefined ? null : `${noneToRemove} is not a part of the cluster`;
}

function add(
  transaction: Transaction,
  { add: count, provider, decision }: AutoscalerDecidedCommand,
  sequence: number,
): readonly InstanceRow[] {
  const { cluster, entry, nowMs, state } = transaction;
  return Array.from({ length: count }, (_, position) => {
    const id = encodeId(ID_KIND, { epoch: cluster.epoch, index: entry.index, position }, state.idKey);
    const row: InstanceRow = {
      ...fresh(id, nowMs),
      node: NODE_KIND + id.slice(ID_KIND.length),
      provider,
      reason: decision.reason,
      cameBy: sequence,
    };
    transaction.put('instance', id, row);
    return row;
  });
}

function fresh(id: string, nowMs: number): Omit<InstanceRow, 'node' | 'provider'> {
  return {
    id,
    phase: 'REQUESTED',
    phaseSinceMs: nowMs,
    createdAtMs: nowMs,
    revision: 1,
    reason: '',
    host: null,
    providerId: null,
    joinTokenId: null,
    askedAtMs: null,
    isAsked: false,
    isEnded: false,
    failures: 0,
    notBeforeMs: nowMs,
    error: null,
    cameBy: 0,
    leavesBy: null,
  };
}

/** Its node takes work again. */
function keep(transaction: Transaction, id: string): InstanceRow {
  const row = instance(transaction, id);
  const node = transaction.get('node', row.node);
  if (node !== null) endDrain(transaction, node);
  if (row.leavesBy !== null) count(transaction, row.leavesBy, 'cancelled');
  return moveTo(transaction, row, { phase: 'JOINED', reason: 'it is needed after all', leavesBy: null });
}

/** Of a node that is away nothing can be taken over: it leaves as it is. */
function remove(
  transaction: Transaction,
  { drainMs, decision }: AutoscalerDecidedCommand,
  id: string,
  sequence: number,
): InstanceRow {
  const row = instance(transaction, id);
  const node = transaction.get('node', row.node);
  const isThere = node?.sessionOpen === true;
  if (isThere) beginDrain(transaction, node, { withinMs: drainMs, graceMs: null, startId: null });
  const phase = isThere ? 'DRAINING' : 'LEAVING';
  return moveTo(transaction, row, { phase, reason: decision.reason, leavesBy: sequence });
}

/** One that is no news any more is passed over: a leader may say it twice, or too late. */
export function instanceProgress(
  transaction: Transaction,
  { steps, hasRecovered }: InstanceProgressCommand,
): Outcome<InstanceProgressResult> {
  const taken = steps.filter((step) => take(transaction, step)).map(({ id }) => id);
  if (hasRecovered && scalingOf(transaction).failure !== null) putScaling(transaction, { failure: null });
  return done({ taken });
}

/** @returns whether it was news */
function take(transaction: Transaction, step: InstanceStep): boolean {
  const { nowMs } = transaction;
  if (step.type === 'adopted') return adopt(transaction, step);
  const row = transaction.get('instance', step.id);
  if (row === null || row.revision !== step.revision) return false;
  switch (step.type) {
    case 'asking': {
      const { host, joinTokenId } = step;
      change(transaction, row, { host, joinTokenId, askedAtMs: nowMs, isAsked: true });
      return true;
    }
    case 'ended':
      if (row.phase !== 'TERMINATING') return false;
      change(transaction, row, { isEnded: true, askedAtMs: nowMs, failures: 0, error: null });
      return true;
    case 'moved':
      return move(transaction, row, step);
    case 'failed': {
      const error = firstBytes(step.error, limits.errorMessageBytes);
      const notBeforeMs = nowMs + step.retryMs;
      change(transaction, row, { error, notBeforeMs, failures: row.failures + 1 });
      return true;
    }
    case 'gone':
      if (row.phase !== 'TERMINATING' && (row.phase !== 'REQUESTED' || row.isAsked)) return false;
      if (row.phase === 'REQUESTED') count(transaction, row.cameBy, 'cancelled');
      else if (row.leavesBy !== null) count(transaction, row.leavesBy, 'done');
      transaction.delete('instance', row.id);
      return true;
    default:
      return unreachable(step);
  }
}

function move(
  transaction: Transaction,
  row: InstanceRow,
  step: Extract<InstanceStep, { type: 'moved' }>,
): boolean {
  const { phase, providerId = row.providerId, hasFailed = false } = step;
  if (!NEXT_PHASES[row.phase].includes(phase)) return false;
  const isComing = row.phase === 'REQUESTED' || row.phase === 'CREATED';
  if (phase === 'JOINED' && isComing) count(transaction, row.cameBy, 'done');
  if (isComing && hasFailed) count(transaction, row.cameBy, 'failed');
  else if (isComing && phase === 'TERMINATING') count(transaction, row.cameBy, 'cancelled');
  const stays = phase === 'JOINED' && row.leavesBy !== null;
  if (stays && row.leavesBy !== null) count(transaction, row.leavesBy, 'cancelled');
  const reason = firstBytes(step.reason, limits.errorMessageBytes);
  moveTo(transaction, row, { phase, reason, providerId, ...(stays ? { leavesBy: null } : {}) });
  return true;
}

function adopt(transaction: Transaction, step: Extract<InstanceStep, { type: 'adopted' }>): boolean {
  const { id, node, provider, providerId, host, phase } = step;
  if (transaction.get('instance', id) !== null) return false;
  const reason = 'the provider has it, and nothing was known of it here';
  const known = { ...fresh(id, transaction.nowMs), node, provider, providerId, host, phase, reason };
  transaction.put('instance', id, { ...known, isAsked: true });
  return true;
}

function moveTo(transaction: Transaction, row: InstanceRow, changes: Partial<InstanceRow>): InstanceRow {
  const { nowMs } = transaction;
  const anew = { phaseSinceMs: nowMs, askedAtMs: null, failures: 0, notBeforeMs: nowMs, error: null };
  return change(transaction, row, { ...anew, ...changes });
}

function change(transaction: Transaction, row: InstanceRow, changes: Partial<InstanceRow>): InstanceRow {
  const after = { ...row, ...changes, revision: row.revision + 1 };
  transaction.put('instance', row.id, after);
  return after;
}

/** Of decisions that are kept; 0 stands for none. */
function count(transaction: Transaction, sequence: number, what: 'cancelled' | 'done' | 'failed'): void {
  const key = decisionKey(sequence);
  const row = transaction.get('scalingDecision', key);
  if (row !== null) transaction.put('scalingDecision', key, { ...row, [what]: row[what] + 1 });
}

function instance(transaction: Transaction, id: string): InstanceRow {
  const row = transaction.get('instance', id);
  if (row === null) throw new Error(`instance ${id} was looked at before`);
  return row;
}

/** What goes on failing is told once, until there is a word that nothing fails any more. */
export function autoscalerFailed(
  transaction: Transaction,
  { provider, reason: text, holdMs }: AutoscalerFailedCommand,
): Outcome<null> {
  const { nowMs } = transaction;
  const reason = firstBytes(text, limits.errorMessageBytes);
  const before = scalingOf(transaction).failure;
  const known = before?.provider === provider ? before : null;
  const failure = {
    provider,
    sinceMs: known?.sinceMs ?? nowMs,
    newestMs: nowMs,
    count: (known?.count ?? 0) + 1,
    reason,
    heldUntilMs: Math.max(known?.heldUntilMs ?? nowMs, holdMs === undefined ? 0 : nowMs + holdMs),
  };
  putScaling(transaction, { failure });
  if (known === null) {
    const about = { id: provider, name: provider, oldStatus: null, newStatus: 'FAILED', reason };
    transaction.raised.push({ event: 'autoscaler.failed', ...about });
  }
  return done(null);
}

function scalingOf(transaction: Transaction): ScalingRow {
  return transaction.get('scaling', 'scaling') ?? NO_SCALING;
}

function putScaling(transaction: Transaction, changes: Partial<ScalingRow>): void {
  transaction.put('scaling', 'scaling', { ...scalingOf(transaction), ...changes });
}
