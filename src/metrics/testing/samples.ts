/** For tests: a registry, and what it answers as numbers. */
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { MetricsRegistry } from '../registry.ts';

/** `name{label="value"}` → value, as far as the name begins so; buckets left out. */
export async function samplesOf(
  registry: MetricsRegistry,
  prefix = '',
): Promise<Readonly<Record<string, number>>> {
  const lines = (await registry.scrape())
    .split('\n')
    .filter((line) => line.startsWith(prefix) && !line.startsWith('#') && !line.includes('_bucket{'));
  return Object.fromEntries(
    lines
      .filter((line) => line !== '')
      .map((line) => {
        const at = line.lastIndexOf(' ');
        return [line.slice(0, at), Number(line.slice(at + 1))] as const;
      }),
  );
}

export function testRegistry(): MetricsRegistry {
  return new MetricsRegistry({ clock: new VirtualClock(), log: silentLog });
}
