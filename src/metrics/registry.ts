/**
 * The metrics of one node, over prom-client. Counters and histograms are told what happens; gauges are read when somebody
 * asks, by samplers. Several who ask at once share one answer, and a sampler that hangs keeps nobody waiting.
 */
import { Counter, Gauge, Histogram, Registry, type Metric } from 'prom-client';

import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { RepeatedLines } from '../lib/repeated-lines.ts';
import type { Family } from './family.ts';

/** Nothing where the family has no labels. */
type Labels<Label extends string> = [Label] extends [never]
  ? readonly []
  : readonly [labels: Readonly<Record<Label, string>>];

export interface GaugeHandle<Label extends string> {
  set(value: number, ...labels: Labels<Label>): void;
  /** Absent from now on, until it is set. */
  clear(): void;
}

export interface CounterHandle<Label extends string> {
  add(amount: number, ...labels: Labels<Label>): void;
  /** Follows a count that something else keeps: by as much as that has risen. */
  follow(total: number, ...labels: Labels<Label>): void;
}

export interface HistogramHandle<Label extends string> {
  observe(value: number, ...labels: Labels<Label>): void;
}

/** Quantiles as shares (0.99), and all that was ever observed. */
export interface SummaryReading {
  readonly quantiles: ReadonlyMap<number, number>;
  readonly sum: number;
  readonly count: number;
}

interface Sampler {
  readonly name: string;
  readonly sample: () => void | Promise<void>;
  underWay: Promise<void> | null;
}

export class MetricsRegistry {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #registry = new Registry();
  readonly #families: Family[] = [];
  readonly #samplers: Sampler[] = [];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #complaints: RepeatedLines;
  #scrape: Promise<string> | null = null;

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock;
    this.#log = log;
    this.#complaints = new RepeatedLines({ clock, intervalMs: limits.repeatedLineMs, kindsKept: 16 });
  }

  /** All that there are, in the order in which they were made. */
  get families(): readonly Family[] {
    return this.#families;
  }

  /** Absent until it is set. */
  gauge<Label extends string>(family: Family<Label>): GaugeHandle<Label> {
    const made = new Gauge({ ...this.#begin(family) });
    // Without labels prom-client would begin with 0, which says something.
    const clear = (): void => (family.labels.length === 0 ? made.remove() : made.reset());
    clear();
    return {
      set: (value, ...[labels]) => (labels === undefined ? made.set(value) : made.set(labels, value)),
      clear,
    };
  }

  counter<Label extends string>(family: Family<Label>): CounterHandle<Label> {
    const made = new Counter({ ...this.#begin(family) });
    const followed = new Map<string, number>();
    const add: CounterHandle<Label>['add'] = (amount, ...[labels]) =>
      labels === undefined ? made.inc(amount) : made.inc(labels, amount);
    return {
      add,
      follow(total, ...labels) {
        const key = JSON.stringify(labels);
        const before = followed.get(key) ?? 0;
        followed.set(key, total);
        // What has fallen has begun anew.
        add(total < before ? total : total - before, ...labels);
      },
    };
  }

  histogram<Label extends string>(family: Family<Label>): HistogramHandle<Label> {
    const made = new Histogram({ ...this.#begin(family), buckets: [...family.buckets] });
    return {
      observe: (value, ...[labels]) =>
        labels === undefined ? made.observe(value) : made.observe(labels, value),
    };
  }

  /** prom-client would compute quantiles itself; here they are known already. */
  summary(family: Family<'quantile'>, read: () => SummaryReading): void {
    const { name, help } = this.#begin(family);
    const metric = {
      name,
      get: async () => {
        const { quantiles, sum, count } = read();
        const values = [
          ...[...quantiles].map(([quantile, value]) => ({ labels: { quantile: String(quantile) }, value })),
          { metricName: `${name}_sum`, labels: {}, value: sum },
          { metricName: `${name}_count`, labels: {}, value: count },
        ];
        return { name, help, type: 'summary', values };
      },
    };
    this.#registry.registerMetric(metric as unknown as Metric);
  }

  /**
   * Called before each answer, to set gauges. What it throws is logged, and the rest is answered all the same; while an
   * earlier call has not ended there is no other.
   */
  onScrape(name: string, sample: () => void | Promise<void>): void {
    this.#samplers.push({ name, sample, underWay: null });
  }

  /** In the text format of Prometheus ({@link contentType}). */
  async scrape(): Promise<string> {
    this.#scrape ??= this.#sampled().finally(() => {
      this.#scrape = null;
    });
    return await this.#scrape;
  }

  async #sampled(): Promise<string> {
    const under = this.#samplers.map((sampler) => this.#sample(sampler)).filter((one) => one !== null);
    if (under.length > 0) {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const cancel = this.#clock.after(limits.metricsSampleMs, resolve);
      await Promise.race([late, Promise.all(under)]);
      cancel();
    }
    return await this.#registry.metrics();
  }

  /** @returns null where it is done */
  #sample(sampler: Sampler): Promise<void> | null {
    if (sampler.underWay !== null) return sampler.underWay;
    try {
      const done = sampler.sample();
      if (done === undefined) return null;
      sampler.underWay = this.#ending(sampler, done);
      return sampler.underWay;
    } catch (error) {
      this.#complain(sampler, error);
      return null;
    }
  }

  async #ending(sampler: Sampler, done: Promise<void>): Promise<void> {
    try {
      await done;
    } catch (error) {
      this.#complain(sampler, error);
    } finally {
      sampler.underWay = null;
    }
  }

  #complain({ name }: Sampler, error: unknown): void {
    this.#complaints.write(name, (heldBack) =>
      this.#log.error({ metrics: name, error: messageOf(error), heldBack }, 'metrics could not be read'),
    );
  }

  #begin<Label extends string>(family: Family<Label>) {
    this.#families.push(family);
    const { name, help, labels } = family;
    return { name, help, labelNames: [...labels], registers: [this.#registry] };
  }
}
