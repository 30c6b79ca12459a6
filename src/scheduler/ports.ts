/**
 * The replicated state as the shells of a node see it: what has been applied here, how to change it, and how to know
 * that it is current. One per node, made by the daemon from Raft and the store.
 */
import type { Command, Outcome } from '../model/commands.ts';
import type { BatchRow, DagRow, GroupTable } from '../model/group.ts';
import type { OrderedTableName, RowChange, TableName, Tables } from '../model/rows.ts';
import type { SpecRow, TaskRow } from '../model/task.ts';
import type { StateView } from './core/state-view.ts';

export type { StateView } from './core/state-view.ts';

export interface TaskPage {
  readonly tasks: readonly { readonly task: TaskRow; readonly spec: SpecRow }[];
  /** Opaque; empty at the end. */
  readonly nextCursor: string;
}

export interface GroupPage {
  readonly groups: readonly (BatchRow | DagRow)[];
  /** Opaque; empty at the end. */
  readonly nextCursor: string;
}

export interface Applied {
  readonly index: number;
  readonly term: number;
  readonly command: Command;
  readonly outcome: Outcome;
  readonly changes: readonly RowChange[];
}

export interface Leadership {
  /** This node leads and has applied an entry of its own term: the state is its predecessors' last word. */
  readonly isLeader: boolean;
  readonly term: number;
  /** The leader as far as this node knows; null during elections. */
  readonly leader: { readonly name: string; readonly address: string } | null;
}

type WithoutStamp<C> = C extends Command ? Omit<C, 'atMs'> : never;
/** A command before the leader has stamped it. */
export type CommandInput = WithoutStamp<Command>;

/** Who leads, as this node knows it. A node without a copy of the state knows that much, too. */
export interface Leaders {
  readonly nodeName: string;
  leadership(): Leadership;
  onLeadership(listener: (leadership: Leadership) => void): () => void;
}

export interface Replica extends Leaders {
  readonly state: StateView;
  readonly appliedIndex: number;
  /** Called synchronously after each applied command, in log order, on every node. */
  onApplied(listener: (applied: Applied) => void): () => void;
  /**
   * Stamps, replicates and applies; resolves with apply's outcome (a refusal is a value).
   * @throws JarvisError no_leader where this node does not lead; too_many under back-pressure; outcome_unknown where
   *   leadership was lost before the outcome was known.
   */
  propose(command: CommandInput): Promise<Outcome>;
  /** Resolves once the applied state is at least as new as the moment of the call (ReadIndex). Leader only. */
  readBarrier(signal: AbortSignal): Promise<void>;
  /**
   * Resolves with the term that this node leads in, once a quorum has acknowledged a round of it that began after the
   * call. Reads by lease do not count.
   */
  confirmLeadership(signal: AbortSignal): Promise<number>;
  /** One row as of the applied state, from memory or the store. */
  read<T extends TableName>(table: T, key: string): Promise<Tables[T] | null>;
  /** Called after each applied command, and when a snapshot has replaced the state: there may be news. */
  onAdvanced(listener: () => void): () => void;
  /**
   * Rows of entries in the order of the log, from a part of one on. All of them up to `appliedIndex` where there are fewer
   * than `count`. Costs as much as it returns.
   */
  rowsFrom<T extends OrderedTableName>(
    table: T,
    from: { readonly index: number; readonly part: number },
    count: number,
  ): Promise<{ readonly rows: readonly Tables[T][]; readonly appliedIndex: number }>;
  /** Ids that begin so, at most `limit`, from memory and the store. */
  taskIdsWithPrefix(prefix: string, limit: number): Promise<readonly string[]>;
  /** Open and finished tasks, newest first, for which `matches` holds; looks at a bounded number of rows a call. */
  tasksNewestFirst(query: {
    readonly cursor: string;
    readonly limit: number;
    readonly matches: (task: TaskRow, spec: SpecRow) => boolean;
  }): Promise<TaskPage>;
  /** The same of batches or DAGs. */
  groupIdsWithPrefix(table: GroupTable, prefix: string, limit: number): Promise<readonly string[]>;
  /** Batches or DAGs, open and finished, newest first. */
  groupsNewestFirst(query: {
    readonly table: GroupTable;
    readonly cursor: string;
    readonly limit: number;
  }): Promise<GroupPage>;
}
