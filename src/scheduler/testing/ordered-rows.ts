/** For tests: `Replica.rowsFrom` over every row, by `table/key`. */
import { indexKey } from '../../model/events.ts';
import type { OrderedTableName, TableName, Tables } from '../../model/rows.ts';

export function orderedRows<T extends OrderedTableName>(
  rows: ReadonlyMap<string, Tables[TableName]>,
  wanted: { readonly table: T; readonly index: number; readonly count: number },
): readonly Tables[T][] {
  const { table, index, count } = wanted;
  return [...rows]
    .filter(([name]) => name.startsWith(`${table}/`) && name >= `${table}/${indexKey(index)}`)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, count)
    .map(([, row]) => row as Tables[T]);
}
