/** What happens to a worker, and what it does about it: the vocabulary between `worker-core.ts` and its shell. */
import type { LeaderMessage, Usage, WorkerMessage } from '../../generated/worker.ts';
import type { AttemptReport } from '../../model/commands.ts';
import type {
  AttemptKey,
  AttemptSpec,
  AttemptStop,
  AttemptView,
  DriverName,
  Exit,
} from '../drivers/driver.ts';

export interface InventoryEntry {
  readonly driver: DriverName;
  readonly view: AttemptView;
}

export type WorkerEvent =
  | { readonly type: 'connected'; readonly connection: number }
  | { readonly type: 'disconnected'; readonly connection: number }
  | { readonly type: 'received'; readonly connection: number; readonly message: LeaderMessage }
  /** Every driver was told the session, and then answered with everything that it knows. */
  | {
      readonly type: 'inventoried';
      readonly connection: number;
      readonly session: number;
      readonly entries: readonly InventoryEntry[];
    }
  /** What one driver knows, asked before the first inventory (`lookForLeased`). */
  | { readonly type: 'found'; readonly entries: readonly InventoryEntry[] }
  /** What a start that is under way does at present, for people. */
  | { readonly type: 'progress'; readonly key: AttemptKey; readonly note: string }
  | { readonly type: 'started'; readonly key: AttemptKey; readonly view: AttemptView }
  /** FAILED: it cannot work; LOST: refused for good. Either way it never runs. */
  | {
      readonly type: 'startRefused';
      readonly key: AttemptKey;
      readonly status: 'FAILED' | 'LOST';
      readonly message: string;
    }
  /** It is being ended before its time. */
  | { readonly type: 'stopping'; readonly key: AttemptKey; readonly stop: AttemptStop }
  | { readonly type: 'ended'; readonly key: AttemptKey; readonly exit: Exit }
  /** The answer to a stop: nothing of it runs any more; null where no driver has known it. */
  | { readonly type: 'stopped'; readonly key: AttemptKey; readonly exit: Exit | null }
  /** A driver that knew the attempt no longer does. */
  | { readonly type: 'vanished'; readonly key: AttemptKey }
  /** The final report is on disk. */
  | { readonly type: 'persisted'; readonly key: AttemptKey }
  /** Driver and disk have forgotten the attempt. */
  | { readonly type: 'forgotten'; readonly key: AttemptKey }
  /** The watchdog has the deadline on disk, and will keep it. */
  | { readonly type: 'leaseConfirmed'; readonly deadlineMs: number }
  /** This daemon is about to be stopped, and to be started again: a lease of that length is asked for. */
  | { readonly type: 'restarting'; readonly leaseMs: number }
  /** The clock has reached a deadline that was handed out (`extendLease`). */
  | { readonly type: 'leaseDue'; readonly bootMs: number }
  /** The answer to `gatherReports`. */
  | { readonly type: 'reportsDue' }
  /** Comes once per heartbeat interval, connected or not. */
  | {
      readonly type: 'tick';
      readonly monotonicMs: number;
      /** CLOCK_BOOTTIME, read before what comes of it is sent. */
      readonly bootMs: number;
      readonly usage: Usage | null;
    };

export type WorkerEffect =
  | { readonly type: 'send'; readonly connection: number; readonly message: WorkerMessage }
  | { readonly type: 'hangUp'; readonly connection: number; readonly reason: string }
  /** Tell every driver the session, then list: answered with `inventoried`. Starts of older sessions are given up. */
  | {
      readonly type: 'takeInventory';
      readonly connection: number;
      readonly session: number;
      readonly heartbeatIntervalMs: number;
    }
  | { readonly type: 'start'; readonly driver: DriverName; readonly spec: AttemptSpec }
  /** Wait for the end; where it does not run yet, say so once it does (`started`). */
  | {
      readonly type: 'watch';
      readonly driver: DriverName;
      readonly key: AttemptKey;
      readonly isRunning: boolean;
    }
  /** `driver` null: whichever knows it; the others remember that it must not start. */
  | {
      readonly type: 'stop';
      readonly driver: DriverName | null;
      readonly key: AttemptKey;
      readonly graceMs: number;
    }
  /** Hand the deadline to the watchdog until it is confirmed or a later one takes its place; say when it is due. */
  | {
      readonly type: 'extendLease';
      readonly session: number;
      readonly deadlineMs: number;
      /** What was granted: the length of it, from when the heartbeat was sent. */
      readonly leaseMs: number;
    }
  /** The leader wants heartbeats as often as that; one goes out at once. */
  | { readonly type: 'beat'; readonly heartbeatIntervalMs: number }
  /** The watchdog keeps the lease that was asked for before a restart, up to then. */
  | { readonly type: 'mayStop'; readonly deadlineMs: number }
  /** For the log: the lease is over, and so many attempts with it. */
  | { readonly type: 'leaseOver'; readonly attempts: number }
  /**
   * The lease is over before any inventory: ask each driver by itself what it knows, the others may not answer; each
   * answers with `found`.
   */
  | { readonly type: 'lookForLeased' }
  | { readonly type: 'persist'; readonly report: AttemptReport }
  | { readonly type: 'forget'; readonly driver: DriverName | null; readonly key: AttemptKey }
  /** There is something to report: answered with `reportsDue` once all that happened at the same moment was told. */
  | { readonly type: 'gatherReports' }
  | { readonly type: 'synced'; readonly session: number }
  /** For the log: a start that must not be executed. */
  | { readonly type: 'refused'; readonly key: AttemptKey; readonly reason: string };
