/** What the autoscaler sees and does, as users see it. */
import type {
  AutoscalerStatus,
  GetAutoscalerRequest,
  ListScalingDecisionsRequest,
  ListScalingDecisionsResponse,
  ScalingDecision,
  ScalingFailure,
  ScalingInstance,
  ScalingLoad as ScalingLoadMessage,
  ScalingRule,
} from '../generated/cluster.ts';
import { limits } from '../lib/limits.ts';
import { formatTime } from '../lib/times.ts';
import { dryRunOf } from '../model/earlier-rows.ts';
import type {
  InstanceRow,
  ScalingDecisionRow,
  ScalingFailure as Failure,
  ScalingLoad,
  ScalingVerdict,
} from '../model/scaling.ts';
import { decisionKey } from '../model/scaling.ts';
import type { Replica, StateView } from '../scheduler/ports.ts';
import { invalidInput, show } from '../spec/faults.ts';
import { defaultSettings } from '../spec/settings/settings.ts';
import type { ScalingInsight } from './insight.ts';
import type { CallContext, ScalingOperations } from './port.ts';

export interface LocalScalingOptions {
  readonly replica: Pick<Replica, 'state'>;
  readonly barrier: (context: Pick<CallContext, 'isStale' | 'signal'>) => Promise<void>;
  readonly insight: ScalingInsight;
}

const DEFAULT_LIMIT = 100;
const CURSOR = /^\d{1,15}$/;

export class LocalScaling implements ScalingOperations {
  readonly #options: LocalScalingOptions;

  constructor(options: LocalScalingOptions) {
    this.#options = options;
  }

  async getAutoscaler(_request: GetAutoscalerRequest, context: CallContext): Promise<AutoscalerStatus> {
    const { replica, barrier, insight } = this.#options;
    await barrier(context);
    const { cluster, instances, scaling, scalingDecisions } = replica.state;
    const settings = cluster?.config.autoscaling ?? defaultSettings(1).autoscaling;
    const { load, size, decision } = insight.preview(settings);
    const newest = scalingDecisions.get(decisionKey(scaling?.sequence ?? 0));
    const { evaluatedAtMs } = insight;
    const failure = scaling?.failure ?? null;
    return {
      enabled: settings.enabled,
      dry_run: dryRunOf(settings),
      provider: settings.provider,
      min_nodes: settings.minNodes,
      max_nodes: settings.maxNodes,
      load: loadView(load),
      active_nodes: size.active,
      joining_nodes: size.joining,
      leaving_nodes: size.leaving,
      desired_nodes: settings.enabled ? decision.desired : size.active + size.joining,
      reason: settings.enabled ? decision.reason : 'it is not enabled',
      rules: decision.rules.map(ruleView),
      instances: [...instances.values()].sort(byAge).map((row) => instanceView(row, replica.state)),
      last_decision: newest === undefined ? undefined : decisionView(newest),
      last_evaluated_at: evaluatedAtMs === null ? undefined : formatTime(evaluatedAtMs),
      failure: failure === null ? undefined : failureView(failure),
    };
  }

  /** @throws JarvisError invalid */
  async listScalingDecisions(
    { limit: asked, cursor }: ListScalingDecisionsRequest,
    context: CallContext,
  ): Promise<ListScalingDecisionsResponse> {
    const { replica, barrier } = this.#options;
    const limit = asked === 0 ? DEFAULT_LIMIT : asked;
    if (limit > limits.scalingDecisions) {
      const message = `${limit} is not allowed: 1 to ${limits.scalingDecisions}`;
      throw invalidInput([{ path: 'limit', message }]);
    }
    if (cursor !== '' && !CURSOR.test(cursor)) {
      const message = `${show(cursor)} is no cursor of this list: take next_cursor of an answer`;
      throw invalidInput([{ path: 'cursor', message }]);
    }
    await barrier(context);
    const before = cursor === '' ? Infinity : Number(cursor);
    const rows = [...replica.state.scalingDecisions.values()].filter(({ sequence }) => sequence < before);
    rows.sort((a, b) => b.sequence - a.sequence);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const hasMore = last !== undefined && rows.length > page.length;
    return { items: page.map(decisionView), next_cursor: hasMore ? String(last.sequence) : '' };
  }
}

function byAge(a: InstanceRow, b: InstanceRow): number {
  return a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1);
}

function loadView(load: ScalingLoad): ScalingLoadMessage {
  return {
    queue_depth: load.queueDepth,
    average_wait_time: load.averageWaitTime,
    longest_wait_time: load.longestWaitTime,
    cluster_utilization: load.utilization,
    unplaceable_tasks: load.unplaceable,
    nodes: load.nodes,
  };
}

function ruleView({ action, metric, threshold, count, value, fires, held }: ScalingVerdict): ScalingRule {
  return { action, metric, threshold, count, value, fires, held: held ?? undefined };
}

/** What stands in its way that no provider can help with; null: nothing. */
function whatHolds({ phase, node }: InstanceRow, state: Pick<StateView, 'nodes' | 'tasksOn'>): string | null {
  const tasks = state.tasksOn(node).size;
  if (phase === 'TERMINATING' || tasks === 0 || state.nodes.get(node)?.status !== 'OFFLINE') return null;
  const wait = tasks === 1 ? '1 task waits' : `${tasks} tasks wait`;
  return `its node is OFFLINE, and ${wait} for its return, or for an operator's word (node remove --dead)`;
}

function instanceView(row: InstanceRow, state: Pick<StateView, 'nodes' | 'tasksOn'>): ScalingInstance {
  return {
    id: row.id,
    node: row.node,
    provider: row.provider,
    host: row.host ?? undefined,
    provider_id: row.providerId ?? undefined,
    phase: row.phase,
    phase_since: formatTime(row.phaseSinceMs),
    created_at: formatTime(row.createdAtMs),
    reason: row.reason,
    failures: row.failures,
    error: row.error ?? whatHolds(row, state) ?? undefined,
    next_try_at: row.failures > 0 ? formatTime(row.notBeforeMs) : undefined,
  };
}

function failureView({ provider, sinceMs, count, reason, heldUntilMs }: Failure): ScalingFailure {
  const heldUntil = heldUntilMs > sinceMs ? formatTime(heldUntilMs) : undefined;
  return { provider, since: formatTime(sinceMs), count, reason, held_until: heldUntil };
}

function decisionView(row: ScalingDecisionRow): ScalingDecision {
  return {
    number: row.sequence,
    time: formatTime(row.atMs),
    action: row.action,
    count: row.count,
    desired_nodes: row.desired,
    reason: row.reason,
    dry_run: row.isDryRun,
    load: loadView(row.load),
    rules: row.rules.map(ruleView),
    nodes: [...row.nodes],
    done: row.done,
    failed: row.failed,
    cancelled: row.cancelled,
  };
}
