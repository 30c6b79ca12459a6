/** For tests: `Replica.rowsFrom` over every row, by `table/key`. */
import { entryKey } from '../../model/events.ts';
import type { OrderedTableName, TableName, Tables } from '../../model/rows.ts';

export function orderedRows<T extends OrderedTableName>(
  rows: ReadonlyMap<string, Tables[TableName]>,
  wanted: {
    readonly table: T;
    readonly from: { readonly index: number; readonly part: number };
    readonly count: number;
  },
): readonly Tables[T][] {
  const { table, from, count } = wanted;
  return [...rows]
    .filter(([name]) => name.startsWith(`${table}/`) && name >= `${table}/${entryKey(from.index, from.part)}`)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, count)
    .map(([, row]) => row as Tables[T]);
}
