import { invariant } from '../../../lib/assert.ts';
import type { Outcome, RegisterNodeCommand } from '../../../model/commands.ts';
import {
  bootSessionOf,
  drainOf,
  graceOf,
  operatorLabelsOf,
  policyOf,
  pressureOf,
  startCounterOf,
} from '../../../model/earlier-rows.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Transaction } from '../transaction.ts';
import { withoutDrain } from './drain-node.ts';
import { labelled } from './label-node.ts';
import { done, refuse } from './outcomes.ts';

const SESSIONS_PER_EPOCH = 2 ** 29;

export interface RegisterNodeResult {
  readonly session: number;
}

/**
 * A session is one start of a daemon [BUMP]: the same start keeps its session over any number of
 * connections, another start ends it. What ran for earlier sessions is judged by the inventory that follows: also after
 * another boot, which proves that it runs no more, for only the inventory knows of ends that were not reported yet. The
 * proof counts where no inventory comes, when that session is ended too.
 */
export function registerNode(
  transaction: Transaction,
  command: RegisterNodeCommand,
): Outcome<RegisterNodeResult> {
  const known = transaction.get('node', command.name);
  if (known !== null && !isSame(known, command)) {
    // Another incarnation or machine proves nothing about what the earlier one runs [INC, MACHINE].
    const openTasks = transaction.state.tasksOn(command.name).size;
    if (known.sessionOpen || openTasks > 0) {
      return refuse('conflict', whyAnother(known, command, openTasks));
    }
  }
  if (known !== null && isSame(known, command)) {
    const [counter, newest] = [startCounterOf(command), startCounterOf(known)];
    // It was on its way for long, or its data directory is an older copy.
    if (counter > 0 && counter < newest)
      return refuse('conflict', `start ${newest} of node ${known.name} is known: start ${counter} is over`);
  }
  const sameStart = known !== null && known.sessionOpen && known.startId === command.startId;
  const session = sameStart ? known.session : nextSession(transaction);
  const kept = known === null ? null : withoutOldDrain(known, command);
  const operatorLabels = known === null ? [] : operatorLabelsOf(known);
  const drain = kept === null ? null : drainOf(kept);
  // Until its next heartbeat says otherwise: or all of them would get work whenever they change the leader.
  const pressure = known === null ? [] : pressureOf(known);
  const row: NodeRow = {
    name: command.name,
    incarnation: command.incarnation,
    machineId: command.machineId,
    bootId: command.bootId,
    startId: command.startId,
    startCounter: startCounterOf(command),
    session,
    bootSession: bootSessionAfter(known, command, session),
    sessionOpen: true,
    reconciled: sameStart && known.reconciled,
    status: kept?.status ?? 'AVAILABLE',
    schedulable: known?.schedulable ?? true,
    version: command.version,
    address: command.address,
    http: command.http,
    labels: labelled(command.labels, operatorLabels),
    drivers: command.drivers,
    policy: policyOf(command),
    isolation: command.isolation,
    capacity: command.capacity,
    joinedAtMs: known?.joinedAtMs ?? transaction.nowMs,
  };
  // A new session is granted no longer lease, but the watchdog keeps the one before: the longer T goes on [SHORTWAIT].
  const grace = known === null ? null : graceOf(known);
  transaction.put('node', command.name, {
    ...row,
    ...(grace === null ? {} : { grace }),
    ...(drain === null ? {} : { drain }),
    ...(operatorLabels.length === 0 ? {} : { operatorLabels }),
    ...(pressure.length === 0 ? {} : { pressure }),
  });
  return done({ session });
}

/** A daemon that drained itself before it stopped has stopped: its next start takes work again. */
function withoutOldDrain(known: NodeRow, { startId }: RegisterNodeCommand): NodeRow {
  const drain = drainOf(known);
  return drain === null || drain.startId === null || drain.startId === startId ? known : withoutDrain(known);
}

/** Another boot id alone does not say which of the two boots was the earlier one; the numbers of the starts do. */
function bootSessionAfter(known: NodeRow | null, command: RegisterNodeCommand, session: number): number {
  if (known === null || !isSame(known, command)) return 0;
  // Machines without an id cannot be told apart.
  if (known.bootId === command.bootId || command.machineId === '') return bootSessionOf(known);
  const before = startCounterOf(known);
  return before > 0 && startCounterOf(command) > before ? session : bootSessionOf(known);
}

/** A data directory that is found on another machine is another incarnation. */
function isSame(known: NodeRow, command: RegisterNodeCommand): boolean {
  return known.incarnation === command.incarnation && known.machineId === command.machineId;
}

function whyAnother(known: NodeRow, command: RegisterNodeCommand, openTasks: number): string {
  const other =
    known.incarnation === command.incarnation
      ? `on another machine (machine id ${known.machineId}, not ${command.machineId})`
      : `with another data directory (incarnation ${known.incarnation}, not ${command.incarnation})`;
  const remedy = known.sessionOpen
    ? 'until it is OFFLINE'
    : `while tasks wait for it (${openTasks}), unless an operator vouches that nothing of it runs (node remove --dead)`;
  return `node ${known.name} is known ${other}, and its name is kept ${remedy}`;
}

function nextSession(transaction: Transaction): number {
  const { epoch, sessionCounter } = transaction.cluster;
  const counter = sessionCounter + 1;
  invariant(counter < SESSIONS_PER_EPOCH, 'sessions of one epoch stay below those of the next');
  transaction.putCluster({ sessionCounter: counter });
  return epoch * SESSIONS_PER_EPOCH + counter;
}
