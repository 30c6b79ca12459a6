/** Committed entries as `apply` takes them: in chunks of bounded size, decoded, with the rows that they name. */
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Entry } from '../raft/core/types.ts';
import type { StoreBounds } from './bounds.ts';
import { decodeCommand } from './codec.ts';
import type { ReplicatedCore, RowName, StoredChange } from './replicated-core.ts';

export interface DecodedEntry<Command> {
  readonly entry: Entry;
  /** Null where the entry holds none; `reason` says why. */
  readonly command: Command | null;
  readonly reason: string;
  readonly names: readonly RowName[];
}

export function decodeEntry<Command>(
  core: Pick<ReplicatedCore<Command, unknown, StoredChange>, 'isCommand' | 'rowsNamedBy'>,
  entry: Entry,
): DecodedEntry<Command> {
  const decoded = decodeCommand(entry.data);
  if (decoded.type === 'undecodable') return { entry, command: null, reason: decoded.reason, names: [] };
  const { value } = decoded;
  if (!core.isCommand(value)) return { entry, command: null, reason: 'it is no known command', names: [] };
  try {
    return { entry, command: value, reason: '', names: namesOf(core, value) };
  } catch (error) {
    // Of a known type, and not of its shape: every replica finds the same.
    return { entry, command: null, reason: messageOf(error), names: [] };
  }
}

/**
 * What a leader asks before a command may get into the log, where it would be refused by every replica for ever.
 * @throws JarvisError internal: a bug
 */
export function expectCommand<Command>(
  core: Pick<ReplicatedCore<Command, unknown, StoredChange>, 'isCommand' | 'rowsNamedBy'>,
  value: unknown,
): asserts value is Command {
  if (!core.isCommand(value)) throw new JarvisError('internal', 'what is to be proposed is no known command');
  try {
    namesOf(core, value);
  } catch (error) {
    throw new JarvisError('internal', `a command is not of its shape: ${messageOf(error)}`, { cause: error });
  }
}

/** A key that is no text would only be met where rows are loaded, and a fault there ends a replica. */
function namesOf<Command>(
  core: Pick<ReplicatedCore<Command, unknown, StoredChange>, 'rowsNamedBy'>,
  command: Command,
): readonly RowName[] {
  const names = core.rowsNamedBy(command);
  for (const { table, key } of names) {
    if (typeof key !== 'string') throw new TypeError(`a key of ${table} is ${typeof key}, no text`);
  }
  return names;
}

export function* chunksOf(
  entries: readonly Entry[],
  bounds: Pick<StoreBounds, 'chunkEntries' | 'chunkBytes'>,
): Generator<readonly Entry[]> {
  let chunk: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    chunk.push(entry);
    bytes += entry.data.byteLength;
    if (chunk.length < bounds.chunkEntries && bytes < bounds.chunkBytes) continue;
    yield chunk;
    chunk = [];
    bytes = 0;
  }
  if (chunk.length > 0) yield chunk;
}
