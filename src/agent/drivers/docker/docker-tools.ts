import type { Log } from '../../../lib/log.ts';
import type { Slots } from '../../../lib/slots.ts';
import type { Cgroups } from '../../cgroups/cgroups.ts';
import type { RecordStore } from '../../watchdog/record-store.ts';
import type { OutputCounters } from '../../watchdog/output-counters.ts';
import type { AttemptGuard } from './attempt-guard.ts';
import type { ContainerRecord } from './container-record.ts';
import type { Engine } from './engine.ts';
import type { Outage } from './engine-monitor.ts';
import type { Images } from './images.ts';
import type { ContainerOwner, DockerPolicy } from './options.ts';

/** What attempts share. */
export interface DockerTools {
  readonly dataDirectory: string;
  readonly bootId: string;
  readonly owner: ContainerOwner;
  readonly policy: DockerPolicy;
  readonly output: OutputCounters;
  readonly engine: Engine;
  readonly images: Images;
  readonly cgroups: Cgroups;
  readonly guard: AttemptGuard;
  readonly store: RecordStore<ContainerRecord>;
  /** Creates and starts at the same time. */
  readonly startSlots: Slots;
  /** Looks at containers at the same time. */
  readonly inspectSlots: Slots;
  /** Of the engine, the newest ones. */
  readonly outages: () => readonly Outage[];
  /** Removals under way. */
  readonly cleanings: Set<Promise<void>>;
  /** Aborted when the driver is closed: attempts run on, and are no longer followed. */
  readonly closing: AbortSignal;
  readonly log: Log;
}
