/** RFC 3339 in UTC, to the millisecond: pure, the same everywhere. */
export function formatTime(atMs: number): string {
  return new Date(atMs).toISOString();
}

/** The end of the year 9999, the last that RFC 3339 can write. */
const MAX_TIME_MS = Date.UTC(10_000, 0, 1) - 1;

/** Whether it is a time that can be written: milliseconds since 1970 UTC. */
export function isTime(atMs: unknown): boolean {
  return typeof atMs === 'number' && atMs >= 0 && atMs <= MAX_TIME_MS;
}
