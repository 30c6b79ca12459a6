/** Quantities as users write them: Kubernetes' for cpu and memory, and durations. Parsed to whole base units. */
import { JarvisError } from './errors.ts';
import { quoted } from './quoted.ts';

/** 1,000,000 cores: beyond any machine, and exact in every sum that is made of it. */
const MAX_CPU_MILLIS = 1_000_000_000;
/** 1 EiB would not be exact; 4 PiB are, and so are sums over a thousand nodes. */
const MAX_MEMORY_BYTES = 2 ** 52;
const MAX_DURATION_MS = 10 * 365 * 24 * 3600 * 1000;

const MEMORY_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};
const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Longer values are shown by their beginning. */
const SHOWN_CHARACTERS = 64;

function invalid(what: string, value: string | number, allowed: string): JarvisError {
  const text = String(value);
  const shown = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
  return new JarvisError('invalid', `${what} ${quoted(shown)} is not allowed: ${allowed}`);
}

/** Whole thousandths of a core, rounded up: `500m`, `2`, `0.5`. @throws JarvisError invalid */
export function parseCpuMillis(text: string | number): number {
  const match = /^(\d+(?:\.\d+)?)(m?)$/.exec(String(text));
  const allowed = 'a number of cores such as 2, 0.5 or 500m, above 0 and at most 1000000';
  if (match === null) throw invalid('cpu', text, allowed);
  const millis = Math.ceil(roundedProduct(Number(match[1]), match[2] === 'm' ? 1 : 1000));
  if (!(millis > 0) || millis > MAX_CPU_MILLIS) throw invalid('cpu', text, allowed);
  return millis;
}

/** Whole bytes, rounded up: `64Mi`, `1G`, `1048576`. @throws JarvisError invalid */
export function parseMemoryBytes(text: string | number): number {
  const allowed = 'a number of bytes such as 64Mi, 1G or 1048576, above 0 and at most 4Pi';
  const bytes = sizeBytes(String(text));
  if (bytes === null) throw invalid('memory', text, allowed);
  return bytes;
}

/** Whole bytes per second, written as a size: `64MB/s`, `100MiB/s`, `1Gi`. @throws JarvisError invalid */
export function parseBytesPerSecond(text: string | number, leastBytes: number): number {
  const least = formatMemoryBytes(leastBytes);
  const allowed = `bytes per second such as 64MB/s, 100MiB/s or 1Gi, at least ${least} and at most 4Pi`;
  const bytes = sizeBytes(String(text).replace(/\/s$/, '').replace(/B$/, ''));
  if (bytes === null || bytes < leastBytes) throw invalid('rate', text, allowed);
  return bytes;
}

/** Null where it is no size, or none from 1 byte to 4 PiB. */
function sizeBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)([kMGTP]|[KMGTP]i)?$/.exec(text);
  const unit = match === null ? undefined : MEMORY_UNITS[match[2] ?? ''];
  if (match === null || unit === undefined) return null;
  const bytes = Math.ceil(roundedProduct(Number(match[1]), unit));
  return bytes > 0 && bytes <= MAX_MEMORY_BYTES ? bytes : null;
}

/** Whole milliseconds: a number of seconds, or `500ms`, `10s`, `1h30m`, `7d`. @throws JarvisError invalid */
export function parseDurationMs(value: string | number): number {
  const text = String(value);
  const allowed = 'seconds such as 30, or a duration such as 500ms, 10s, 5m, 1h30m or 7d, at most ten years';
  const milliseconds = /^\d+(\.\d+)?$/.test(text) ? roundedProduct(Number(text), 1000) : compoundMs(text);
  if (milliseconds === null || !(milliseconds <= MAX_DURATION_MS)) throw invalid('duration', value, allowed);
  return Math.ceil(milliseconds);
}

function compoundMs(text: string): number | null {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return null;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    sum += roundedProduct(Number(amount), DURATION_UNITS_MS[unit ?? ''] ?? Number.NaN);
  }
  return sum;
}

/** 0.1 · 1000 and the like are whole in decimal: what binary fractions add is taken off before rounding up. */
function roundedProduct(amount: number, unit: number): number {
  const product = amount * unit;
  const nearest = Math.round(product);
  return Math.abs(product - nearest) < 1e-6 * Math.max(1, unit / 1000) && nearest > 0 ? nearest : product;
}

/** `2` for whole cores, else `500m`: canonical, and parsed back to the same. */
export function formatCpuMillis(cpuMillis: number): string {
  return cpuMillis % 1000 === 0 && cpuMillis > 0 ? String(cpuMillis / 1000) : `${cpuMillis}m`;
}

/** In the largest binary unit that is exact: `64Mi`, `1500`. */
export function formatMemoryBytes(memoryBytes: number): string {
  for (const unit of ['Pi', 'Ti', 'Gi', 'Mi', 'Ki'] as const) {
    const size = MEMORY_UNITS[unit] ?? 1;
    if (memoryBytes >= size && memoryBytes % size === 0) return `${memoryBytes / size}${unit}`;
  }
  return String(memoryBytes);
}

/** `1h30m`, `500ms`, `0s`: canonical, and parsed back to the same. */
export function formatDurationMs(durationMs: number): string {
  let left = durationMs;
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms'] as const) {
    const size = DURATION_UNITS_MS[unit] ?? 1;
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text === '' ? '0s' : text;
}
