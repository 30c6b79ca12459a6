/** CLOCK_BOOTTIME, which every process of the machine reads alike, containers too: in hundredths of a second. */
import { readFileSync } from 'node:fs';

export function bootTimeMs(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
}
