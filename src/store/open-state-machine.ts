/**
 * Opens a node's state, whatever a crash or a bad disk has left of it: the store if it is whole and the log reaches
 * back to it, else a new one from the newest snapshot file that is whole, else, where the log is complete, an empty one.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Row } from '../raft/ports.ts';
import { isStorageError } from '../raft/storage-error.ts';
import { storeBounds, type StoreBounds } from './bounds.ts';
import type { StepHook } from './directories.ts';
import { StoreDamagedError } from './errors.ts';
import {
  fillBeside,
  openStore,
  takePlace,
  type ExpectedRows,
  type OpenedStore,
  type RowSource,
} from './open-store.ts';
import type { EntryPosition, ReplicatedCore, RestorableCore, StoredChange } from './replicated-core.ts';
import { StoredStateMachine } from './state-machine.ts';

/** A snapshot file from which a lost store can be rebuilt. */
interface SnapshotSource extends EntryPosition {
  /** Throws out of the iteration where the file is damaged. */
  rows(): AsyncIterable<Row>;
  readonly expected?: ExpectedRows;
}

export interface OpenStateMachineOptions<Core> {
  /** The store's own directory, `state` of the data directory. */
  readonly directory: string;
  /** The node has never had a store: only then is one made where none is. */
  readonly isNew: boolean;
  readonly makeCore: () => Core;
  /** Newest first. */
  readonly snapshots: readonly SnapshotSource[];
  /** Index of the oldest entry that the log still has, or will get next: 1 for a complete or an empty log. */
  readonly logFirstIndex: number;
  readonly clock: Clock;
  readonly logger: Log;
  /** Once: the state can be trusted no longer, or not be kept. */
  readonly onFailure: (error: unknown) => void;
  readonly bounds?: Partial<StoreBounds>;
  readonly yieldTurn?: () => Promise<void>;
  readonly hook?: StepHook;
}

/**
 * @throws StoreDamagedError where the store is lost and nothing is left to rebuild it from; StorageError
 *   directory_refused where another process has it open, storage_failed where the disk takes no new one
 */
export async function openStateMachine<
  Command extends object,
  Outcome,
  Change extends StoredChange,
  Core extends ReplicatedCore<Command, Outcome, Change>,
>(options: OpenStateMachineOptions<Core>): Promise<StoredStateMachine<Command, Outcome, Change, Core>> {
  const { directory, makeCore, clock, logger, onFailure } = options;
  const hook = options.hook ?? (() => {});
  const opened = await openOrRebuild(options, hook);
  const { index, rowCount } = opened.loaded.meta;
  logger.info({ index, rowCount }, 'opened the state');
  return new StoredStateMachine<Command, Outcome, Change, Core>(opened, {
    directory,
    makeCore,
    clock,
    logger,
    onFailure,
    hook,
    bounds: { ...storeBounds, ...options.bounds },
    yieldTurn: options.yieldTurn ?? (() => nextTurn()),
  });
}

async function openOrRebuild<Core extends RestorableCore>(
  options: OpenStateMachineOptions<Core>,
  hook: StepHook,
): Promise<OpenedStore<Core>> {
  try {
    return await openWhole(options);
  } catch (error) {
    if (!(error instanceof StoreDamagedError)) throw error;
    options.logger.error(
      { damage: error.damage, error: error.message },
      'the store cannot be used; it is rebuilt',
    );
    return await rebuild(options, hook, error);
  }
}

async function openWhole<Core extends RestorableCore>(
  options: OpenStateMachineOptions<Core>,
): Promise<OpenedStore<Core>> {
  const opened = await openStore(options.directory, options.makeCore, options);
  const { index } = opened.loaded.meta;
  if (index + 1 >= options.logFirstIndex) return opened;
  await opened.level.close();
  throw new StoreDamagedError(
    'behind',
    options.directory,
    `the store ends at index ${index}, and the log begins at ${options.logFirstIndex}`,
  );
}

async function rebuild<Core extends RestorableCore>(
  options: OpenStateMachineOptions<Core>,
  hook: StepHook,
  damage: StoreDamagedError,
): Promise<OpenedStore<Core>> {
  const { directory, makeCore, logger } = options;
  const failures: unknown[] = [damage];
  for (const { position, rows, expected } of sourcesOf(options)) {
    try {
      const filled = await fillBeside(directory, makeCore, { position, rows: rows(), expected }, hook);
      const opened = await takePlace(directory, makeCore, filled, hook);
      logger.warn({ index: position.index }, 'rebuilt the store');
      return opened;
    } catch (error) {
      // A disk that takes no store will not take another one either.
      if (isStorageError(error, 'storage_failed') || !(error instanceof JarvisError)) throw error;
      failures.push(error);
      logger.error({ index: position.index, error: messageOf(error) }, 'a snapshot cannot rebuild the store');
    }
  }
  throw new StoreDamagedError(
    damage.damage,
    directory,
    `${damage.message}, and no snapshot is left to rebuild it from`,
    { cause: new AggregateError(failures) },
  );
}

/** Snapshots to which the log reaches back, newest first; at last the empty state, if the log has every entry. */
function* sourcesOf<Core>({
  snapshots,
  logFirstIndex,
}: OpenStateMachineOptions<Core>): Generator<Omit<RowSource, 'rows'> & Pick<SnapshotSource, 'rows'>> {
  for (const source of snapshots) {
    if (source.index + 1 < logFirstIndex) continue;
    const position = { index: source.index, term: source.term };
    yield { position, expected: source.expected ?? null, rows: () => source.rows() };
  }
  if (logFirstIndex <= 1) yield { position: { index: 0, term: 0 }, expected: null, rows: noRows };
}

async function* noRows(): AsyncGenerator<Row> {}
