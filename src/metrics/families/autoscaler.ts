/** The autoscaler of the node that leads. */
import type { Autoscaling } from '../../model/autoscaling.ts';
import { counter, gauge } from '../family.ts';
import type { CounterHandle, GaugeHandle, MetricsRegistry } from '../registry.ts';

const exposure = 'leader';

export const AUTOSCALER_FAMILIES = {
  decisions: counter({
    name: 'jarvis_autoscaler_decisions_total',
    help: 'What the rules came to each time they were looked at: add_nodes, remove_nodes or none',
    labels: ['action'],
    unit: 'decisions',
    exposure,
  }),
  failures: counter({
    name: 'jarvis_autoscaler_failures_total',
    help: 'What the autoscaler has asked for in vain: of providers, or of nodes that did not come or go',
    unit: 'failures',
    exposure,
  }),
  nodes: gauge({
    name: 'jarvis_autoscaler_nodes',
    help: 'Nodes as the autoscaler counts them: active, joining or leaving',
    labels: ['state'],
    unit: 'nodes',
    exposure,
  }),
  lastEvaluation: gauge({
    name: 'jarvis_autoscaler_last_evaluation_timestamp_seconds',
    help: 'When the rules were looked at last, since 1970 UTC; only while the autoscaler is enabled',
    unit: 'seconds',
    exposure,
  }),
  overdue: gauge({
    name: 'jarvis_autoscaler_overdue_seconds',
    help: 'For how long the rules ought to have been looked at already, 0 in time; only while the autoscaler is enabled',
    exposure,
  }),
} as const;

const ACTIONS = ['add_nodes', 'remove_nodes', 'none'] as const;
type Action = (typeof ACTIONS)[number];

export interface AutoscalerPort {
  isLeading(): boolean;
  settings(): Pick<Autoscaling, 'enabled'> | null;
  size(): { readonly active: number; readonly joining: number; readonly leaving: number };
  /** Wall time; null: not since this node leads. */
  evaluatedAtMs(): number | null;
  /** Null: nobody is to look. */
  overdueMs(): number | null;
}

export class AutoscalerMetrics {
  readonly #registry: MetricsRegistry;
  readonly #decisions: CounterHandle<'action'>;
  readonly #failures: CounterHandle<never>;
  readonly #nodes: GaugeHandle<'state'>;
  readonly #lastEvaluation: GaugeHandle<never>;
  readonly #overdue: GaugeHandle<never>;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    this.#decisions = registry.counter(AUTOSCALER_FAMILIES.decisions);
    for (const action of ACTIONS) this.#decisions.add(0, { action });
    this.#failures = registry.counter(AUTOSCALER_FAMILIES.failures);
    this.#failures.add(0);
    this.#nodes = registry.gauge(AUTOSCALER_FAMILIES.nodes);
    this.#lastEvaluation = registry.gauge(AUTOSCALER_FAMILIES.lastEvaluation);
    this.#overdue = registry.gauge(AUTOSCALER_FAMILIES.overdue);
  }

  follow(port: AutoscalerPort): void {
    this.#registry.onScrape('autoscaler', () => {
      for (const each of [this.#nodes, this.#lastEvaluation, this.#overdue]) each.clear();
      if (!port.isLeading() || port.settings()?.enabled !== true) return;
      const { active, joining, leaving } = port.size();
      this.#nodes.set(active, { state: 'active' });
      this.#nodes.set(joining, { state: 'joining' });
      this.#nodes.set(leaving, { state: 'leaving' });
      const evaluatedAtMs = port.evaluatedAtMs();
      if (evaluatedAtMs !== null) this.#lastEvaluation.set(evaluatedAtMs / 1000);
      const overdueMs = port.overdueMs();
      if (overdueMs !== null) this.#overdue.set(overdueMs / 1000);
    });
  }

  decided(action: Action): void {
    this.#decisions.add(1, { action });
  }

  failed(): void {
    this.#failures.add(1);
  }
}
