import { JarvisError } from '../lib/errors.ts';

export type StoreDamage =
  /** There should be a store, and there is none. */
  | 'missing'
  /** LevelDB cannot open or read it. */
  | 'unreadable'
  /** Rows were lost, or are older or newer than the checkpoint says: count or digest disagree. */
  | 'incomplete'
  /** A value is not the one that was written under its key. */
  | 'checksum'
  /** Whole, but older than the log's first entry: what lies between is nowhere in it. */
  | 'behind';

/**
 * What the store holds cannot be trusted, so nothing of it is served: it is rebuilt from a snapshot file and the log.
 * Tell the reasons apart by `damage`, never by the message.
 */
export class StoreDamagedError extends JarvisError {
  readonly damage: StoreDamage;
  /** The store's directory. */
  readonly path: string;

  constructor(damage: StoreDamage, path: string, message: string, options: { cause?: unknown } = {}) {
    super('unavailable', `${message} (${path})`, options);
    this.damage = damage;
    this.path = path;
  }
}
