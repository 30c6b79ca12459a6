import { readFileSync } from 'node:fs';

/**
 * Milliseconds of CLOCK_BOOTTIME, which goes on while the machine is suspended, rounded down to the ten that the kernel
 * tells (`/proc/uptime`). The same for all processes of a machine, and for each of its containers.
 */
export function bootTimeMs(): number {
  return Math.floor(Number.parseFloat(readFileSync('/proc/uptime', 'latin1')) * 1000);
}

/** What the kernel may have left out of {@link bootTimeMs}: whoever must not be late counts it as passed. */
export const BOOT_TIME_STEP_MS = 10;
