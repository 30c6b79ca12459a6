/** From counters of an attempt to what it uses. Pure. */
import { NO_COUNTERS, type AttemptCounters } from '../drivers/attempt-counters.ts';

/** Each by itself null where it cannot be told. */
export interface AttemptUse {
  readonly cpuCores: number | null;
  readonly memoryBytes: number | null;
  readonly memoryLimitBytes: number | null;
  readonly pids: number | null;
  readonly readBytesPerSecond: number | null;
  readonly writeBytesPerSecond: number | null;
  readonly receiveBytesPerSecond: number | null;
  readonly transmitBytesPerSecond: number | null;
}

export interface CountersAt {
  /** Monotonic. */
  readonly atMs: number;
  readonly counters: AttemptCounters;
}

/** Of an attempt when it began. @param ageMs how long ago that was */
export function beginning(now: CountersAt, ageMs: number): CountersAt {
  const counters = {
    ...NO_COUNTERS,
    cpuUs: 0,
    readBytes: 0,
    writtenBytes: 0,
    receivedBytes: 0,
    transmittedBytes: 0,
  };
  return { atMs: now.atMs - ageMs, counters };
}

/** Memory and the rest as they are now; rates over the time between. A counter that fell counts as one that stood still. */
export function usedBetween(before: CountersAt, now: CountersAt): AttemptUse {
  const perMs = (name: keyof AttemptCounters): number | null => {
    const [from, to] = [before.counters[name], now.counters[name]];
    if (from === null || to === null || now.atMs <= before.atMs) return null;
    return Math.max(0, to - from) / (now.atMs - before.atMs);
  };
  const perSecond = (name: keyof AttemptCounters): number | null => scaled(perMs(name), 1000);
  const { memoryBytes, memoryLimitBytes, pids } = now.counters;
  return {
    // A microsecond each millisecond is a thousandth of a core.
    cpuCores: scaled(perMs('cpuUs'), 1 / 1000),
    memoryBytes,
    memoryLimitBytes,
    pids,
    readBytesPerSecond: perSecond('readBytes'),
    writeBytesPerSecond: perSecond('writtenBytes'),
    receiveBytesPerSecond: perSecond('receivedBytes'),
    transmitBytesPerSecond: perSecond('transmittedBytes'),
  };
}

function scaled(value: number | null, factor: number): number | null {
  return value === null ? null : value * factor;
}
