/** Messages to webhooks. */
import type { AlertRow } from '../../model/alert-outbox.ts';
import { ALERT_EVENTS } from '../../model/alerts.ts';
import type { RowChange } from '../../model/rows.ts';
import { counter, gauge } from '../family.ts';
import type { CounterHandle, GaugeHandle, MetricsRegistry } from '../registry.ts';

const exposure = 'leader';

export const ALERT_FAMILIES = {
  deliveries: counter({
    name: 'jarvis_alert_deliveries_total',
    help: 'Requests to webhooks: delivered, failed (made again), or given_up (the last one failed as well)',
    labels: ['event', 'outcome'],
    unit: 'requests',
    exposure,
  }),
  pending: gauge({
    name: 'jarvis_alerts_pending',
    help: 'Messages to webhooks that gather or are to be sent',
    unit: 'messages',
    exposure,
  }),
} as const;

const OUTCOMES = ['delivered', 'failed', 'given_up'] as const;
type Outcome = (typeof OUTCOMES)[number];

export interface AlertsPort {
  isLeading(): boolean;
  /** Also those that are over. */
  messages(): Iterable<AlertRow>;
}

export class AlertMetrics {
  readonly #deliveries: CounterHandle<'event' | 'outcome'>;
  readonly #pending: GaugeHandle<never>;
  readonly #registry: MetricsRegistry;
  /** The newest term that this node has led in. */
  #term: number | null = null;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    this.#deliveries = registry.counter(ALERT_FAMILIES.deliveries);
    for (const event of ALERT_EVENTS)
      for (const outcome of OUTCOMES) this.#deliveries.add(0, { event, outcome });
    this.#pending = registry.gauge(ALERT_FAMILIES.pending);
  }

  follow(port: AlertsPort): void {
    this.#registry.onScrape('alerts', () => {
      this.#pending.clear();
      if (!port.isLeading()) return;
      let open = 0;
      for (const { endedAtMs } of port.messages()) open += endedAtMs === null ? 1 : 0;
      this.#pending.set(open);
    });
  }

  /** This node leads in the term. */
  leads(term: number): void {
    this.#term = term;
  }

  /** To be called of each entry. */
  applied({ term, changes }: { readonly term: number; readonly changes: readonly RowChange[] }): void {
    if (term !== this.#term) return;
    for (const change of changes) {
      if (change.table !== 'alert' || change.after === null) continue;
      const outcome = outcomeOf(change.before, change.after);
      if (outcome !== null) this.#deliveries.add(1, { event: change.after.event, outcome });
    }
  }
}

function outcomeOf(before: AlertRow | null, after: AlertRow): Outcome | null {
  if (before === null || after.attempts === before.attempts) return null;
  if (after.status === 'DELIVERED') return 'delivered';
  return after.status === 'GIVEN_UP' ? 'given_up' : 'failed';
}
