/** What a control group has counted. Null, each for itself: it is gone, or nothing is counted there. */
import path from 'node:path';

import { subfolders } from './hierarchies.ts';
import { readSmall } from './small-file.ts';

/** Microseconds on processors since it was made. */
export function cpuUsedUs(folder: string, version: 1 | 2): number | null {
  if (version === 2) return field(readSmall(path.join(folder, 'cpu.stat')), 'usage_usec');
  const nanoseconds = numberOrNull(readSmall(path.join(folder, 'cpuacct.usage')));
  return nanoseconds === null ? null : nanoseconds / 1000;
}

/** Without the part of the page cache that is given up first, as Kubernetes counts it. */
export function memoryUsed(folder: string, version: 1 | 2): number | null {
  const [file, low] =
    version === 2 ? ['memory.current', 'inactive_file'] : ['memory.usage_in_bytes', 'total_inactive_file'];
  const used = numberOrNull(readSmall(path.join(folder, file)));
  if (used === null) return null;
  const cache = field(readSmall(path.join(folder, 'memory.stat')), low) ?? 0;
  if (used > 0 || version === 2) return Math.max(0, used - cache);
  // Kernels before 5.11 may count in version 1 for each group by itself: the one that an engine makes is below.
  const below = subfolders(folder).map((name) => memoryUsed(path.join(folder, name), version) ?? 0);
  return below.reduce((sum, bytes) => sum + bytes, 0);
}

/** `max`, or nothing: null. */
export function numberOrNull(text: string | null): number | null {
  const digits = text === null ? undefined : /^\d+/.exec(text)?.[0];
  return digits === undefined ? null : Number(digits);
}

/** Of a file with lines `name value`. */
function field(text: string | null, name: string): number | null {
  const digits = text === null ? undefined : new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1];
  return digits === undefined ? null : Number(digits);
}
