/** What can go wrong with the files that a node's memory of the cluster depends on: log, snapshots, data directory. */
import { JarvisError } from '../lib/errors.ts';

export type StorageErrorKind =
  /** The log has lost or changed something that it once held durably: never vote from it again. */
  | 'log_corrupt'
  /** The log belongs to another cluster or to another incarnation, or a snapshot to another cluster. */
  | 'log_foreign'
  /** There should be a log, and there is none. */
  | 'log_missing'
  /** A snapshot file is damaged or incomplete. */
  | 'snapshot_corrupt'
  /** No room for a snapshot that another node sends, or it cannot be written: it is given up, and the node goes on. */
  | 'snapshot_unwritable'
  /** Written by another version of Jarvis. */
  | 'format_unknown'
  /** A write or a sync failed: its outcome is unknown, and nothing is acknowledged from here on. */
  | 'storage_failed'
  /** Not a data directory, or another node's; nothing was changed. */
  | 'directory_refused'
  /** Another process has it open. */
  | 'directory_in_use'
  /** The data directory belongs to a cluster, and something of it is gone: a lost disk, not a new node. */
  | 'store_lost';

const CODES = {
  log_corrupt: 'unavailable',
  log_foreign: 'invalid',
  log_missing: 'unavailable',
  snapshot_corrupt: 'unavailable',
  snapshot_unwritable: 'unavailable',
  format_unknown: 'invalid',
  storage_failed: 'unavailable',
  directory_refused: 'invalid',
  directory_in_use: 'conflict',
  store_lost: 'unavailable',
} as const satisfies Record<StorageErrorKind, string>;

/** Tell them apart by `kind`, never by the message. */
export class StorageError extends JarvisError {
  readonly kind: StorageErrorKind;
  /** The file or directory that it is about. */
  readonly path: string;

  constructor(kind: StorageErrorKind, path: string, message: string, options: { cause?: unknown } = {}) {
    super(CODES[kind], `${message} (${path})`, options);
    this.kind = kind;
    this.path = path;
  }
}

export function isStorageError(error: unknown, kind?: StorageErrorKind): error is StorageError {
  return error instanceof StorageError && (kind === undefined || error.kind === kind);
}
