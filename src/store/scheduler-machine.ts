/** The scheduler's state, kept by the store: binds the pure core to it, and reads tasks in the ways users ask for. */
import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { JarvisError } from '../lib/errors.ts';
import { isTime } from '../lib/times.ts';
import { COMMAND_VERSIONS } from '../model/command-versions.ts';
import type { Command, Outcome } from '../model/commands.ts';
import type { GroupRow } from '../model/group.ts';
import type { RowChange, RowKey, TableName, Tables } from '../model/rows.ts';
import { ORDERED_TABLES } from '../model/rows.ts';
import type { TaskRow } from '../model/task.ts';
import { apply, rowsNamedBy } from '../scheduler/core/apply/apply.ts';
import { ClusterState } from '../scheduler/core/state.ts';
import type { LoadedRows } from '../scheduler/core/transaction.ts';
import { openStateMachine, type OpenStateMachineOptions } from './open-state-machine.ts';
import type {
  CoreResult,
  Creation,
  EntryPosition,
  LoadedRows as LoadedRowValues,
  ReplicatedCore,
  RowValue,
} from './replicated-core.ts';
import type { StoredStateMachine } from './state-machine.ts';

/**
 * A spec is kept in memory for as long as an open task needs it, so tasks are restored first; the same goes for graphs
 * and DAGs.
 */
const TABLES: readonly TableName[] = [
  ...([
    'cluster',
    'node',
    'logHolder',
    'token',
    'joinToken',
    'alert',
    'alertChannel',
    'scaling',
    'instance',
    'scalingDecision',
    'formerMember',
    'copylessNode',
    'batch',
    'dag',
    'graph',
    'blueprint',
    'dagName',
  ] as const),
  ...(['task', 'spec', 'idempotency', 'event', 'finished', 'usedKeys'] as const),
];

const CHANGING_TABLES: readonly TableName[] = ['cluster', 'node', 'task', 'batch', 'dag'];

export class SchedulerCore implements ReplicatedCore<Command, Outcome, RowChange> {
  readonly tables = TABLES;
  readonly orderedTables: ReadonlySet<string> = new Set(ORDERED_TABLES);
  readonly changingTables: ReadonlySet<string> = new Set(CHANGING_TABLES);
  readonly state = new ClusterState();

  isCommand(value: unknown): value is Command {
    if (typeof value !== 'object' || value === null) return false;
    const { type, atMs } = value as { type?: unknown; atMs?: unknown };
    return typeof type === 'string' && Object.hasOwn(COMMAND_VERSIONS, type) && isTime(atMs);
  }

  rowsNamedBy(command: Command): readonly RowKey[] {
    return rowsNamedBy(command);
  }

  inMemory(table: string, key: string): RowValue | null {
    return this.state.inMemory(table as TableName, key);
  }

  /** @throws JarvisError unavailable where later commands follow than this build knows: it must not go on */
  apply(command: Command, entry: EntryPosition, loaded: LoadedRowValues): CoreResult<Outcome, RowChange> {
    if (command.type === 'raiseVersion') expectKnownVersion(command.version);
    return apply(this.state, command, entry, loaded as LoadedRows);
  }

  undecodable(reason: string): Outcome {
    return { type: 'refused', code: 'internal', message: `the command cannot be read: ${reason}` };
  }

  restore(table: string, key: string, row: RowValue): void {
    this.state.restore(table as TableName, key, row as Tables[TableName]);
  }

  holdsInMemory(table: string, row: RowValue): boolean {
    return this.state.holdsInMemory(table as TableName, row as Tables[TableName]);
  }

  creationOf(table: string, row: RowValue): Creation | null {
    switch (table as TableName) {
      case 'task': {
        const { createdIndex, createdPosition } = row as TaskRow;
        return { list: '', index: createdIndex, position: createdPosition };
      }
      case 'batch':
        return { list: 'batch', index: (row as GroupRow).createdIndex, position: 0 };
      case 'dag':
        return { list: 'dag', index: (row as GroupRow).createdIndex, position: 0 };
      default:
        return null;
    }
  }
}

/** @throws JarvisError unavailable */
export function expectKnownVersion(version: number): void {
  if (version <= CLUSTER_VERSION) return;
  throw new JarvisError(
    'unavailable',
    `the cluster is at version ${version}, and this build knows version ${CLUSTER_VERSION} only: start a later one`,
  );
}

export type SchedulerMachine = StoredStateMachine<Command, Outcome, RowChange, SchedulerCore>;

/** See {@link openStateMachine}. */
export async function openSchedulerMachine(
  options: Omit<OpenStateMachineOptions<SchedulerCore>, 'makeCore'>,
): Promise<SchedulerMachine> {
  return await openStateMachine<Command, Outcome, RowChange, SchedulerCore>({
    ...options,
    makeCore: () => new SchedulerCore(),
  });
}
