/** The reads of the Replica port that go beyond memory: single rows, ids by prefix, tasks newest first, rows by entry. */
import { JarvisError } from '../lib/errors.ts';
import { entryKey } from '../model/events.ts';
import type { BatchRow, DagRow, GroupTable } from '../model/group.ts';
import type { OrderedTableName, TableName, Tables } from '../model/rows.ts';
import type { SpecRow, TaskRow } from '../model/task.ts';
import type { GroupPage, Replica, TaskPage } from '../scheduler/ports.ts';
import { storeBounds } from './bounds.ts';
import { isCreatedKey } from './layout.ts';
import type { SchedulerMachine } from './scheduler-machine.ts';

/** Rows that are read together: one page of a usual size needs one piece. */
const PIECE_ROWS = 256;
const CURSOR_VERSION = '1:';

type TaskQuery = Parameters<Replica['tasksNewestFirst']>[0];

type GroupQuery = Parameters<Replica['groupsNewestFirst']>[0];

type TaskRead = 'taskIdsWithPrefix' | 'tasksNewestFirst';
type GroupRead = 'groupIdsWithPrefix' | 'groupsNewestFirst';
type Reads = Pick<Replica, 'read' | 'rowsFrom' | TaskRead | GroupRead>;

export class TaskReads implements Reads {
  readonly #machine: SchedulerMachine;
  readonly #rowsPerCall: number;

  constructor(machine: SchedulerMachine, rowsPerCall: number = storeBounds.listRows) {
    this.#machine = machine;
    this.#rowsPerCall = rowsPerCall;
  }

  /** @throws StoreDamagedError; JarvisError unavailable once closed */
  async read<T extends TableName>(table: T, key: string): Promise<Tables[T] | null> {
    return (await this.#machine.read(table, key)) as Tables[T] | null;
  }

  /** See {@link Replica.rowsFrom}. */
  async rowsFrom<T extends OrderedTableName>(
    table: T,
    from: { readonly index: number; readonly part: number },
    count: number,
  ): Promise<{ readonly rows: readonly Tables[T][]; readonly appliedIndex: number }> {
    const { rows, appliedIndex } = await this.#machine.rowsInOrder(
      table,
      entryKey(from.index, from.part),
      count,
    );
    return { rows: rows.map(({ row }) => row as Tables[T]), appliedIndex };
  }

  /** Sorted. @throws JarvisError invalid */
  async taskIdsWithPrefix(prefix: string, limit: number): Promise<readonly string[]> {
    checkLimit(limit);
    return await this.#machine.keysWithPrefix('task', prefix, limit);
  }

  /**
   * A page may hold fewer tasks than asked for, even none, and still have a cursor: it has looked at as many rows as one
   * call may. Tasks that are submitted while pages are read appear on none of the later ones.
   * @throws JarvisError invalid where the cursor is none of ours
   */
  async tasksNewestFirst({ cursor, limit, matches }: TaskQuery): Promise<TaskPage> {
    checkLimit(limit);
    const tasks: { task: TaskRow; spec: SpecRow }[] = [];
    let bound = cursor === '' ? null : decodeCursor(cursor);
    let looked = 0;
    while (looked < this.#rowsPerCall) {
      // One more than the page: whether it is the last is known when it is full.
      const count = Math.min(
        this.#rowsPerCall - looked,
        tasks.length === 0 ? limit + 1 : PIECE_ROWS,
        PIECE_ROWS,
      );
      const created = await this.#machine.createdBefore(bound, count);
      const ids = created.map(({ key }) => key);
      const rows = (await this.#machine.readMany('task', ids)) as Map<string, TaskRow>;
      const specIds = [...new Set([...rows.values()].map(({ specId }) => specId))];
      const specs = (await this.#machine.readMany('spec', specIds)) as Map<string, SpecRow>;
      for (const { createdKey, key } of created) {
        if (tasks.length === limit) return { tasks, nextCursor: encodeCursor(bound) };
        bound = createdKey;
        looked += 1;
        const task = rows.get(key);
        const spec = task === undefined ? undefined : specs.get(task.specId);
        // Absent: it has expired since it was listed.
        if (task !== undefined && spec !== undefined && matches(task, spec)) tasks.push({ task, spec });
      }
      if (created.length < count) return { tasks, nextCursor: '' };
    }
    return { tasks, nextCursor: encodeCursor(bound) };
  }

  /** Sorted. @throws JarvisError invalid */
  async groupIdsWithPrefix(table: GroupTable, prefix: string, limit: number): Promise<readonly string[]> {
    checkLimit(limit);
    return await this.#machine.keysWithPrefix(table, prefix, limit);
  }

  /** Those that are submitted while pages are read appear on none of the later ones. @throws JarvisError invalid */
  async groupsNewestFirst({ table, cursor, limit }: GroupQuery): Promise<GroupPage> {
    checkLimit(limit);
    const bound = cursor === '' ? null : decodeCursor(cursor, table);
    // One more than the page: whether it is the last is known when it is full.
    const created = await this.#machine.createdBefore(bound, limit + 1, table);
    const page = created.slice(0, limit);
    const ids = page.map(({ key }) => key);
    const rows = (await this.#machine.readMany(table, ids)) as Map<string, BatchRow | DagRow>;
    // Absent: it has expired since it was listed.
    const groups = ids.flatMap((id) => rows.get(id) ?? []);
    const last = created.length > limit ? page.at(-1) : undefined;
    return { groups, nextCursor: encodeCursor(last?.createdKey ?? null) };
  }
}

function checkLimit(limit: number): void {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= storeBounds.listItems) return;
  throw new JarvisError(
    'invalid',
    `limit ${limit} is not allowed: a whole number from 1 to ${storeBounds.listItems}`,
  );
}

function encodeCursor(bound: string | null): string {
  return bound === null ? '' : Buffer.from(CURSOR_VERSION + bound).toString('base64url');
}

function decodeCursor(cursor: string, list: string = ''): string {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const bound = text.slice(CURSOR_VERSION.length);
  // The comparison refuses what base64url decoding would pass over.
  if (!text.startsWith(CURSOR_VERSION) || !isCreatedKey(bound, list) || encodeCursor(bound) !== cursor) {
    throw new JarvisError('invalid', 'the cursor is not one that a list has returned');
  }
  return bound;
}
