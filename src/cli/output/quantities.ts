/** Amounts for people: cores, and bytes in binary units. Never read back by a program; `-o json` has the exact values. */

export function formatCpu(cpuMillis: number): string {
  return String(Math.round(cpuMillis) / 1000);
}

const UNITS = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'] as const;

/** At most one decimal: `512Mi`, `1.5Gi`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : Math.round(value * 10) / 10}${UNITS[unit] ?? ''}`;
}
