/** Spans of time as kubectl shows them: the two largest units while they are small, one when they are large. */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** For instance `42s`, `3m20s`, `17m`, `5h12m`, `30h`, `12d`. */
export function humanDuration(spanMs: number): string {
  const span = Math.max(0, spanMs);
  if (span < 2 * MINUTE) return `${Math.floor(span / SECOND)}s`;
  if (span < 10 * MINUTE) return twoUnits(span, MINUTE, 'm', SECOND, 's');
  if (span < 3 * HOUR) return `${Math.floor(span / MINUTE)}m`;
  if (span < 8 * HOUR) return twoUnits(span, HOUR, 'h', MINUTE, 'm');
  if (span < 2 * DAY) return `${Math.floor(span / HOUR)}h`;
  if (span < 8 * DAY) return twoUnits(span, DAY, 'd', HOUR, 'h');
  if (span < 2 * YEAR) return `${Math.floor(span / DAY)}d`;
  return twoUnits(span, YEAR, 'y', DAY, 'd');
}

/** Age of an RFC 3339 time; `-` where there is none. */
export function ageOf(time: string | undefined, nowMs: number): string {
  if (time === undefined || time === '') return '-';
  const atMs = Date.parse(time);
  return Number.isNaN(atMs) ? '-' : humanDuration(nowMs - atMs);
}

function twoUnits(span: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((span % large) / small);
  return `${Math.floor(span / large)}${largeName}${rest === 0 ? '' : `${rest}${smallName}`}`;
}
