/** What the autoscaler does as JSON: what the HTTP API returns and `jarvisctl -o json` prints. */
import type {
  AutoscalerStatus,
  ListScalingDecisionsResponse,
  ScalingDecision,
  ScalingInstance,
  ScalingLoad,
  ScalingRule,
} from '../generated/cluster.ts';
import { listToJson } from './json.ts';

export function autoscalerToJson(status: AutoscalerStatus): object {
  const { failure, last_decision: decision } = status;
  return {
    enabled: status.enabled,
    dry_run: status.dry_run,
    provider: status.provider,
    min_nodes: status.min_nodes,
    max_nodes: status.max_nodes,
    load: loadToJson(status.load),
    nodes: {
      active: status.active_nodes,
      joining: status.joining_nodes,
      leaving: status.leaving_nodes,
      desired: status.desired_nodes,
    },
    reason: status.reason,
    rules: status.rules.map(ruleToJson),
    instances: status.instances.map(instanceToJson),
    last_decision: decision === undefined ? null : decisionToJson(decision),
    last_evaluated_at: status.last_evaluated_at ?? null,
    failure:
      failure === undefined
        ? null
        : {
            provider: failure.provider,
            since: failure.since,
            count: failure.count,
            reason: failure.reason,
            held_until: failure.held_until ?? null,
          },
  };
}

export function decisionsToJson({ items, next_cursor: cursor }: ListScalingDecisionsResponse): object {
  return listToJson(items.map(decisionToJson), cursor);
}

function decisionToJson(decision: ScalingDecision): object {
  return {
    number: decision.number,
    time: decision.time,
    action: decision.action,
    count: decision.count,
    desired_nodes: decision.desired_nodes,
    reason: decision.reason,
    dry_run: decision.dry_run,
    load: loadToJson(decision.load),
    rules: decision.rules.map(ruleToJson),
    nodes: decision.nodes,
    done: decision.done,
    failed: decision.failed,
    cancelled: decision.cancelled,
  };
}

function loadToJson(load: ScalingLoad | undefined): object | null {
  if (load === undefined) return null;
  return {
    queue_depth: load.queue_depth,
    average_wait_time: load.average_wait_time,
    longest_wait_time: load.longest_wait_time,
    cluster_utilization: load.cluster_utilization,
    unplaceable_tasks: load.unplaceable_tasks,
    nodes: load.nodes,
  };
}

function ruleToJson({ action, metric, threshold, count, value, fires, held }: ScalingRule): object {
  return { action, metric, threshold, count, value, fires, held: held ?? null };
}

function instanceToJson(instance: ScalingInstance): object {
  return {
    id: instance.id,
    node: instance.node,
    provider: instance.provider,
    host: instance.host ?? null,
    provider_id: instance.provider_id ?? null,
    phase: instance.phase,
    phase_since: instance.phase_since,
    created_at: instance.created_at,
    reason: instance.reason,
    failures: instance.failures,
    error: instance.error ?? null,
    next_try_at: instance.next_try_at ?? null,
  };
}
