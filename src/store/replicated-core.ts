/**
 * What the store needs to know of the replicated state, which lives in memory and is pure: the store decodes, loads,
 * keeps and restores rows, and never knows what a task is. `scheduler-machine.ts` binds the scheduler's core to it.
 */

/** Rows are immutable plain objects: a change makes a new one. */
export type RowValue = object;

export interface RowName {
  readonly table: string;
  readonly key: string;
}

/** One row before and after a command; null where there was, or is, none. */
export interface StoredChange extends RowName {
  readonly before: RowValue | null;
  readonly after: RowValue | null;
}

/** Rows that memory does not hold, by {@link nameOf}. */
export type LoadedRows = ReadonlyMap<string, RowValue>;

export interface EntryPosition {
  readonly term: number;
  readonly index: number;
}

export interface CoreResult<Outcome, Change extends StoredChange> {
  readonly outcome: Outcome;
  /** Taken over already: memory holds what they say. */
  readonly changes: readonly Change[];
  /** The command threw and changed nothing: a bug, which every replica shares. */
  readonly poisoned?: boolean;
}

/** The order in which rows of a listed table were created, which is also that of their log positions. */
export interface Creation {
  /** Rows of different lists do not meet. Absent or empty: that of tasks. */
  readonly list?: string;
  readonly index: number;
  readonly position: number;
}

/** What the loading of a store needs of a core. */
export interface RestorableCore {
  /** Every table, in the order in which `restore` wants their rows. */
  readonly tables: readonly string[];
  restore(table: string, key: string, row: RowValue): void;
  holdsInMemory(table: string, row: RowValue): boolean;
  /** Tables whose rows are made in the order of their keys: each new one sorts behind all that there ever were. */
  readonly orderedTables: ReadonlySet<string>;
  /** Null for rows of tables that are not listed by age. */
  creationOf(table: string, row: RowValue): Creation | null;
}

export interface ReplicatedCore<Command, Outcome, Change extends StoredChange> extends RestorableCore {
  /** Tables whose rows are changed again soon, most of them: it pays to wait for that before they are coded. */
  readonly changingTables: ReadonlySet<string>;
  isCommand(value: unknown): value is Command;
  rowsNamedBy(command: Command): readonly RowName[];
  inMemory(table: string, key: string): RowValue | null;
  /** Carries out one command, synchronously; a refusal is a value, a throw leaves nothing that may be trusted. */
  apply(command: Command, entry: EntryPosition, loaded: LoadedRows): CoreResult<Outcome, Change>;
  /** The outcome of an entry that does not decode to a command. */
  undecodable(reason: string): Outcome;
}

/** The row's name as overlay, LevelDB and snapshots know it: `table/key`. */
export function nameOf(table: string, key: string): string {
  return `${table}/${key}`;
}
