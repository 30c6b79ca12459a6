/**
 * What is to be done next of each instance, from what is written down, the nodes, what providers list, and the time. Pure:
 * whoever leads comes to the same, so that what one leader has begun the next one goes on with.
 */
import { unreachable } from '../../lib/assert.ts';
import { drainOf } from '../../model/earlier-rows.ts';
import type { InstanceStep } from '../../model/commands.ts';
import type { NodeRow } from '../../model/node.ts';
import type { InstancePhase, InstanceRow } from '../../model/scaling.ts';
import type { Sighting, Sightings, Stray } from './sightings.ts';

export const LIFECYCLE_LIMITS = {
  /** From when an instance is wanted until its node is a part of the cluster; then it is ended. */
  bootMs: 600_000,
  /** A node that is away for so long, and has nothing to do, is given up. */
  awayMs: 600_000,
  /** An instance that nobody knows is left alone for so long, and for so many lists. */
  strayMs: 300_000,
  strayLists: 3,
  /** So many lists in a row without it: it is gone. */
  missingLists: 3,
  /** One that was asked for, and of which nothing is known, is waited for that long before it counts as never made. */
  unmadeMs: 330_000,
  /** Lists that have never shown what was made are not believed for so long. */
  lateMs: 300_000,
  /** A provider that has begun to end an instance is asked again after so long. */
  endingMs: 600_000,
} as const;

export interface LifecycleInput {
  /** The cluster's. */
  readonly nowMs: number;
  /** Whether more nodes may be asked for. */
  readonly mayBegin: boolean;
  readonly instances: ReadonlyMap<string, InstanceRow>;
  readonly nodes: ReadonlyMap<string, NodeRow>;
  /** Attempts on a node. */
  readonly tasksOn: (node: string) => number;
  readonly isMember: (node: string) => boolean;
  /** Since when it is OFFLINE, as far as this leader has seen it; null: it is not. */
  readonly offlineSinceMs: (node: string) => number | null;
  readonly sightings: Sightings;
}

export type LifecycleAction =
  /** To be written down; with a failure that a person may have to know of. */
  | { readonly type: 'step'; readonly step: InstanceStep; readonly failure: string | null }
  | { readonly type: 'create'; readonly row: InstanceRow }
  /** Its node is to leave the members and the list. */
  | { readonly type: 'leave'; readonly row: InstanceRow; readonly isGone: boolean }
  | { readonly type: 'terminate'; readonly row: InstanceRow; readonly providerId: string };

export function nextActions(input: LifecycleInput): readonly LifecycleAction[] {
  const actions: LifecycleAction[] = [];
  for (const row of input.instances.values()) {
    const action = nextOf(row, input);
    if (action !== null) actions.push(action);
  }
  for (const stray of input.sightings.strays.values()) {
    const step = adoptionOf(stray, input);
    if (step !== null) actions.push({ type: 'step', step, failure: null });
  }
  return actions;
}

/** Null: it is let be. */
function adoptionOf(
  { provider, host, seen, lists, sinceMs }: Stray,
  { nowMs, nodes, instances }: LifecycleInput,
): InstanceStep | null {
  const { strayLists, strayMs, endingMs } = LIFECYCLE_LIMITS;
  // What ends by itself is given the time for it; a machine that was only stopped costs on.
  const waitMs = seen.state === 'stopping' ? endingMs : strayMs;
  if (lists < strayLists || nowMs - sinceMs < waitMs) return null;
  // Nobody reaches what is there, and no list will say what becomes of it.
  if (host !== null && !nodes.has(host)) return null;
  const of = seen.clientToken === null ? undefined : instances.get(seen.clientToken);
  const isSecond = of !== undefined && of.providerId !== null && of.providerId !== seen.id;
  const id = seen.clientToken === null || isSecond ? `found-${seen.id}` : seen.clientToken;
  // Taken in already, and not listed since.
  if (instances.has(id)) return null;
  // The node of that name is on the first one with its token.
  const node = (isSecond ? null : seen.node) ?? seen.id;
  const phase = nodes.has(node) ? 'JOINED' : 'TERMINATING';
  return { type: 'adopted', id, node, provider, providerId: seen.id, host, phase };
}

function nextOf(row: InstanceRow, input: LifecycleInput): LifecycleAction | null {
  const sighting = input.sightings.known.get(row.id) ?? { seen: null, missing: 0, wasSeen: false };
  switch (row.phase) {
    case 'REQUESTED':
      return ofRequested(row, sighting, input);
    case 'CREATED':
      return ofCreated(row, sighting, input);
    case 'JOINED':
      return ofJoined(row, sighting, input);
    case 'DRAINING':
      return ofDraining(row, sighting, input);
    case 'LEAVING':
      return ofLeaving(row, sighting, input);
    case 'TERMINATING':
      return ofTerminating(row, sighting, input);
    default:
      return unreachable(row.phase);
  }
}

function ofRequested(row: InstanceRow, { seen }: Sighting, input: LifecycleInput): LifecycleAction | null {
  const { nowMs, nodes, mayBegin } = input;
  if (nodes.has(row.node)) return moved(row, 'JOINED', 'its node is there', seen?.id);
  if (seen?.state === 'gone' || seen?.state === 'stopping')
    return failed(
      row,
      `instance ${seen.id} has ended before its node came: ${seen.message ?? 'no reason is known'}`,
    );
  // On a machine of a node: it was written down or made there, and not begun before that node went down.
  const isBegun = seen !== null && (seen.state !== 'pending' || row.host === null);
  if (isBegun) return moved(row, 'CREATED', 'the provider has made it', seen.id);
  if (nowMs - row.createdAtMs >= LIFECYCLE_LIMITS.bootMs)
    return failed(row, `it was not made in time: ${row.error ?? 'the provider was not asked'}`);
  if (!mayBegin) return row.isAsked ? moved(row, 'TERMINATING', 'it is not wanted any more') : gone(row);
  return nowMs < row.notBeforeMs ? null : { type: 'create', row };
}

function ofCreated(
  row: InstanceRow,
  { seen, missing, wasSeen }: Sighting,
  input: LifecycleInput,
): LifecycleAction | null {
  const { nowMs } = input;
  if (input.nodes.has(row.node)) return moved(row, 'JOINED', 'its node is there');
  if (seen?.state === 'gone' || seen?.state === 'stopping')
    return failed(row, `it has ended before its node came: ${seen.message ?? 'no reason is known'}`);
  const isLate = !wasSeen && nowMs - row.phaseSinceMs < LIFECYCLE_LIMITS.lateMs;
  if (missing >= LIFECYCLE_LIMITS.missingLists && !isLate)
    return failed(row, 'the provider does not have it any more, and its node has not come');
  const minutes = LIFECYCLE_LIMITS.bootMs / 60_000;
  if (nowMs - row.createdAtMs >= LIFECYCLE_LIMITS.bootMs)
    return failed(row, `its node has not come within ${minutes} minutes`);
  return null;
}

function ofJoined(row: InstanceRow, { seen }: Sighting, input: LifecycleInput): LifecycleAction | null {
  const node = input.nodes.get(row.node);
  if (node === undefined) return moved(row, 'TERMINATING', 'its node was removed');
  if (node.status !== 'OFFLINE') return null;
  const isEmpty = input.tasksOn(row.node) === 0;
  if (seen?.state === 'gone' && (isEmpty || isFinal(row)))
    return moved(row, 'LEAVING', `it has ended by itself: ${seen.message ?? 'no reason is known'}`);
  const sinceMs = input.offlineSinceMs(row.node);
  const isLost = sinceMs !== null && input.nowMs - sinceMs >= LIFECYCLE_LIMITS.awayMs;
  // What waits for an operator's word is not ended by a timer.
  return isLost && isEmpty ? moved(row, 'LEAVING', 'its node is away') : null;
}

function ofDraining(row: InstanceRow, { seen }: Sighting, input: LifecycleInput): LifecycleAction | null {
  const node = input.nodes.get(row.node);
  if (node === undefined) return moved(row, 'TERMINATING', 'its node was removed');
  const isEmpty = input.tasksOn(row.node) === 0;
  if (seen?.state === 'gone' && node.status === 'OFFLINE' && (isEmpty || isFinal(row)))
    return moved(row, 'LEAVING', 'it has ended by itself');
  if (node.status === 'OFFLINE') return isEmpty ? moved(row, 'LEAVING', 'its node is away') : null;
  if (drainOf(node) === null) return moved(row, 'JOINED', 'its drain was ended by an operator');
  return node.status === 'DRAINED' && isEmpty ? moved(row, 'LEAVING', 'it is drained') : null;
}

function ofLeaving(row: InstanceRow, { seen }: Sighting, input: LifecycleInput): LifecycleAction | null {
  if (!input.nodes.has(row.node) && !input.isMember(row.node))
    return moved(row, 'TERMINATING', 'its node has left');
  return leave(row, seen?.state === 'gone' && isFinal(row), input);
}

function ofTerminating(row: InstanceRow, sighting: Sighting, input: LifecycleInput): LifecycleAction | null {
  const { nowMs, nodes, isMember } = input;
  const { seen, missing } = sighting;
  // A node that came too late, or that the provider's word finds.
  const isKnown = nodes.has(row.node) || isMember(row.node);
  const finish = (isGone: boolean) => (isKnown ? leave(row, isGone, input) : gone(row));
  // Also where it has ended by itself: what is left of it goes, and other leaders know that it was asked for.
  if (seen?.state === 'gone') return row.isEnded ? finish(isFinal(row)) : terminate(row, seen.id, input);
  if (!row.isAsked || (row.host !== null && !nodes.has(row.host))) return finish(false);
  if (row.isEnded) {
    if (missing > 0) return finish(false);
    const isLate = nowMs - (row.askedAtMs ?? nowMs) >= LIFECYCLE_LIMITS.endingMs;
    return isLate && seen !== null ? terminate(row, seen.id, input) : null;
  }
  const providerId = row.providerId ?? seen?.id ?? null;
  if (providerId !== null) return terminate(row, providerId, input);
  const isUnmade =
    missing >= LIFECYCLE_LIMITS.missingLists && nowMs - row.phaseSinceMs >= LIFECYCLE_LIMITS.unmadeMs;
  return isUnmade ? finish(false) : null;
}

/**
 * Whether its provider's word that it has gone proves that nothing of it runs [FINAL]. It does of machines and containers; what a
 * daemon had begun outlives its process, on the machine or in its engine.
 */
function isFinal({ provider }: InstanceRow): boolean {
  return provider !== 'process';
}

function terminate(row: InstanceRow, providerId: string, { nowMs }: LifecycleInput): LifecycleAction | null {
  return nowMs < row.notBeforeMs ? null : { type: 'terminate', row, providerId };
}

function leave(row: InstanceRow, isGone: boolean, { nowMs }: LifecycleInput): LifecycleAction | null {
  return nowMs < row.notBeforeMs ? null : { type: 'leave', row, isGone };
}

function moved(
  { id, revision }: InstanceRow,
  phase: InstancePhase,
  reason: string,
  providerId?: string,
): LifecycleAction {
  const step = { type: 'moved', id, revision, phase, reason } as const;
  return { type: 'step', step: providerId === undefined ? step : { ...step, providerId }, failure: null };
}

/** Where a provider was asked it is seen to that nothing is left there. */
function failed(row: InstanceRow, reason: string): LifecycleAction {
  const { id, revision, node } = row;
  const phase = 'TERMINATING' as const;
  const step = { type: 'moved', id, revision, phase, reason, hasFailed: true } as const;
  return { type: 'step', step, failure: `node ${node}: ${reason}` };
}

function gone({ id, revision }: InstanceRow): LifecycleAction {
  return { type: 'step', step: { type: 'gone', id, revision }, failure: null };
}
