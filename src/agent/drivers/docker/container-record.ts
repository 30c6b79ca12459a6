/**
 * What is on disk of a container attempt: enough for a later daemon to find the container, or to know that none can come.
 * Written before anything is asked of the engine (docs/leases.md, [INVQUEUED]).
 */
import { isAttemptView, withLease } from '../../watchdog/protocol.ts';
import type { AttemptView } from '../driver.ts';

export interface ContainerRecord {
  readonly version: 1;
  readonly view: AttemptView;
  readonly bootId: string;
  /** As the engine was asked for it; empty where that is not known. */
  readonly image: string;
  readonly containerId: string | null;
  readonly cgroupParent: string | null;
  /** From then on it may execute. A container is asked to start at most once, ever. */
  readonly isStartSent: boolean;
  readonly timeoutMs: number | null;
  readonly stopGraceMs: number;
}

/** @returns null where it is none */
export function parseContainerRecord(value: object): ContainerRecord | null {
  const record = value as Partial<Record<keyof ContainerRecord, unknown>>;
  const isValid =
    record.version === 1 &&
    isAttemptView(record.view) &&
    typeof record.bootId === 'string' &&
    typeof record.image === 'string' &&
    isTextOrNull(record.containerId) &&
    isTextOrNull(record.cgroupParent) &&
    typeof record.isStartSent === 'boolean' &&
    (record.timeoutMs === null || typeof record.timeoutMs === 'number') &&
    typeof record.stopGraceMs === 'number';
  if (!isValid) return null;
  const valid = value as ContainerRecord;
  return { ...valid, view: withLease(valid.view) };
}

function isTextOrNull(value: unknown): boolean {
  return value === null || typeof value === 'string';
}
