/** RFC 3339 in UTC, to the millisecond: pure, the same everywhere. */
export function formatTime(atMs: number): string {
  return new Date(atMs).toISOString();
}
