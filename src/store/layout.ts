/**
 * Names in LevelDB: `meta`, the rows as `table/key`, and for listed tables one index row per row, `created/` and the
 * position in the log at which it was made, which holds the row's key. Index rows follow from the rows: they are part
 * of neither count, digest nor snapshots; loading checks them against the rows.
 */
import type { Creation } from './replicated-core.ts';

export const META_NAME = 'meta';
const CREATED_PREFIX = 'created/';

/** Wide enough for every safe integer, so that text sorts as the numbers do. */
const INDEX_DIGITS = 16;
const POSITION_DIGITS = 10;
const CREATED_KEY = /^\d{16}\.\d{10}$/;

/** Sorts by creation, within a list. */
export function createdKey(creation: Creation): string {
  const index = String(creation.index).padStart(INDEX_DIGITS, '0');
  return `${listPrefix(creation.list ?? '')}${index}.${String(creation.position).padStart(POSITION_DIGITS, '0')}`;
}

export function isCreatedKey(text: string, list: string = ''): boolean {
  const prefix = listPrefix(list);
  return text.startsWith(prefix) && CREATED_KEY.test(text.slice(prefix.length));
}

/** That of tasks has none, as before there were others. */
function listPrefix(list: string): string {
  return list === '' ? '' : `${list}.`;
}

/** The keys of one list, and of no other: digits, and what the name of a list begins with, sort apart. */
export function createdKeysOf(list: string): NameRange {
  // The characters after `9` and `.`.
  return list === '' ? { gt: '', lt: ':' } : { gt: `${list}.`, lt: `${list}/` };
}

export function createdName(key: string): string {
  return CREATED_PREFIX + key;
}

export function createdKeyOfName(name: string): string {
  return name.slice(CREATED_PREFIX.length);
}

/** A row of a table, as opposed to what the store keeps for itself. */
export function isRowName(name: string): boolean {
  return name !== META_NAME && !name.startsWith(CREATED_PREFIX);
}

export interface NameRange {
  readonly gt: string;
  readonly lt: string;
}

/** Everything under `table/`: the character after `/` is `0`. */
export function namesOfTable(table: string): NameRange {
  return { gt: `${table}/`, lt: `${table}0` };
}

/** Index rows of what a list has from before the position; of all of it for null. */
export function createdBefore(bound: string | null, list: string): NameRange {
  const { gt, lt } = createdKeysOf(list);
  return { gt: createdName(gt), lt: createdName(bound ?? lt) };
}

/** Of every list. */
export function allCreated(): NameRange {
  return namesOfTable('created');
}

/** Every name that begins so, whatever valid text follows. */
export function namesWithPrefix(prefix: string): { readonly gte: string; readonly lt: string } {
  return { gte: prefix, lt: `${prefix}\u{10ffff}` };
}
