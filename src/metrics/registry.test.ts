import { describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { silentLog, type Log } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { counter, gauge, histogram, summary } from './family.ts';
import { MetricsRegistry } from './registry.ts';

function begin(log: Log = silentLog) {
  const clock = new VirtualClock();
  return { clock, registry: new MetricsRegistry({ clock, log }) };
}

/** Without what Prometheus is told of the families. */
function samples(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('gauges', () => {
  it('are absent until they are set, and after they were cleared', async () => {
    const { registry } = begin();
    const plain = registry.gauge(gauge({ name: 'jarvis_plain', help: 'One' }));
    const labelled = registry.gauge(gauge({ name: 'jarvis_labelled', help: 'Two', labels: ['status'] }));
    expect(samples(await registry.scrape())).toEqual([]);
    plain.set(3);
    labelled.set(4, { status: 'UP' });
    expect(samples(await registry.scrape())).toEqual(['jarvis_plain 3', 'jarvis_labelled{status="UP"} 4']);
    plain.clear();
    labelled.clear();
    expect(samples(await registry.scrape())).toEqual([]);
  });
});

describe('counters', () => {
  it('begin with 0 and add up', async () => {
    const { registry } = begin();
    const made = registry.counter(counter({ name: 'jarvis_things_total', help: 'Things' }));
    expect(samples(await registry.scrape())).toEqual(['jarvis_things_total 0']);
    made.add(2);
    made.add(1);
    expect(samples(await registry.scrape())).toEqual(['jarvis_things_total 3']);
  });

  it('follow a count that is kept elsewhere, which may begin anew', async () => {
    const { registry } = begin();
    const made = registry.counter(counter({ name: 'jarvis_things_total', help: 'Things', labels: ['kind'] }));
    for (const total of [5, 5, 7, 0, 2]) made.follow(total, { kind: 'a' });
    made.follow(1, { kind: 'b' });
    expect(samples(await registry.scrape())).toEqual([
      'jarvis_things_total{kind="a"} 9',
      'jarvis_things_total{kind="b"} 1',
    ]);
  });
});

it('histograms have their own buckets', async () => {
  const { registry } = begin();
  const made = registry.histogram(histogram({ name: 'jarvis_wait_seconds', help: 'Wait', buckets: [1, 10] }));
  made.observe(0.5);
  made.observe(5);
  expect(samples(await registry.scrape())).toEqual([
    'jarvis_wait_seconds_bucket{le="1"} 1',
    'jarvis_wait_seconds_bucket{le="10"} 2',
    'jarvis_wait_seconds_bucket{le="+Inf"} 2',
    'jarvis_wait_seconds_sum 5.5',
    'jarvis_wait_seconds_count 2',
  ]);
});

it('summaries tell what they are told', async () => {
  const { registry } = begin();
  const quantiles = new Map([
    [0.5, 0.001],
    [1, 0.25],
  ]);
  const family = summary({ name: 'jarvis_lag_seconds', help: 'Lag' });
  registry.summary(family, () => ({ quantiles, sum: 3, count: 40 }));
  expect((await registry.scrape()).trim().split('\n')).toEqual([
    '# HELP jarvis_lag_seconds Lag',
    '# TYPE jarvis_lag_seconds summary',
    'jarvis_lag_seconds{quantile="0.5"} 0.001',
    'jarvis_lag_seconds{quantile="1"} 0.25',
    'jarvis_lag_seconds_sum 3',
    'jarvis_lag_seconds_count 40',
  ]);
});

describe('a scrape', () => {
  it('reads before it answers, once for all who ask at the same time', async () => {
    const { registry } = begin();
    const made = registry.gauge(gauge({ name: 'jarvis_reads', help: 'Reads' }));
    let reads = 0;
    registry.onScrape('reads', () => made.set((reads += 1)));
    const [first, second] = await Promise.all([registry.scrape(), registry.scrape()]);
    expect(samples(first)).toEqual(['jarvis_reads 1']);
    expect(second).toBe(first);
    expect(samples(await registry.scrape())).toEqual(['jarvis_reads 2']);
  });

  it('goes on where something cannot be read, and says so once', async () => {
    const lines: unknown[] = [];
    const log = { ...silentLog, error: (fields: unknown) => void lines.push(fields) } as unknown as Log;
    const { registry } = begin(log);
    const made = registry.gauge(gauge({ name: 'jarvis_good', help: 'Good' }));
    registry.onScrape('bad', () => {
      throw new Error('no such thing');
    });
    registry.onScrape('worse', async () => await Promise.reject(new Error('gone')));
    registry.onScrape('good', () => made.set(1));
    for (let round = 0; round < 3; round += 1)
      expect(samples(await registry.scrape())).toEqual(['jarvis_good 1']);
    expect(lines).toEqual([
      { metrics: 'bad', error: 'no such thing', heldBack: 0 },
      { metrics: 'worse', error: 'gone', heldBack: 0 },
    ]);
  });

  it('does not wait for what hangs, and asks it no second time', async () => {
    const { clock, registry } = begin();
    const made = registry.gauge(gauge({ name: 'jarvis_slow', help: 'Slow' }));
    const { promise: hanging, resolve } = Promise.withResolvers<void>();
    let asked = 0;
    registry.onScrape('slow', async () => {
      asked += 1;
      await hanging;
      made.set(asked);
    });
    for (let round = 0; round < 2; round += 1) {
      const answer = registry.scrape();
      await clock.advance(limits.metricsSampleMs);
      expect(samples(await answer)).toEqual([]);
    }
    expect(asked).toBe(1);
    resolve();
    const answer = registry.scrape();
    expect(samples(await answer)).toEqual(['jarvis_slow 1']);
  });
});
