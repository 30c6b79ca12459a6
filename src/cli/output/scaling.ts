/** The autoscaler in a few lines. */
import type { AutoscalerStatus, ScalingLoad } from '../../generated/cluster.ts';
import { printable } from '../terminal.ts';
import { ageOf, humanDuration } from './age.ts';

const SECOND_MS = 1000;

/** One line for each thing that is known. */
export function scalingSummary(status: AutoscalerStatus, nowMs: number): string {
  const { last_decision: decision, failure } = status;
  const lines: (readonly [string, string])[] = [
    ['autoscaler', modeOf(status)],
    ['provider', printable(status.provider)],
    ['nodes', nodesOf(status)],
    ['load', loadOf(status.load)],
    ['now', printable(status.reason)],
  ];
  const evaluated = status.last_evaluated_at;
  if (evaluated !== undefined) lines.push(['evaluated', `${ageOf(evaluated, nowMs)} ago`]);
  if (decision !== undefined)
    lines.push([
      'last decision',
      `${decision.action === 'add_nodes' ? '+' : '-'}${decision.count}, ${ageOf(decision.time, nowMs)} ago: ${printable(decision.reason)}`,
    ]);
  if (failure !== undefined)
    lines.push([
      'failing',
      `for ${ageOf(failure.since, nowMs)}, ${failure.count} times: ${printable(failure.reason)}`,
    ]);
  const width = Math.max(...lines.map(([name]) => name.length)) + 1;
  return lines.map(([name, text]) => `${`${name}:`.padEnd(width)} ${text}`).join('\n');
}

function modeOf({ enabled, dry_run: isDryRun }: AutoscalerStatus): string {
  if (!enabled) return 'not enabled';
  return isDryRun ? 'enabled, dry run: nothing is done' : 'enabled';
}

function nodesOf(status: AutoscalerStatus): string {
  const { active_nodes: active, joining_nodes: joining, leaving_nodes: leaving } = status;
  const parts = [`${active} active`];
  if (joining > 0) parts.push(`${joining} joining`);
  if (leaving > 0) parts.push(`${leaving} leaving`);
  return `${parts.join(', ')}; ${status.desired_nodes} desired, ${status.min_nodes} to ${status.max_nodes} allowed`;
}

function loadOf(load: ScalingLoad | undefined): string {
  if (load === undefined) return '-';
  const wait = humanDuration(load.average_wait_time * SECOND_MS);
  const parts = [
    `${load.queue_depth} tasks wait`,
    ...(load.queue_depth > 0 ? [`for ${wait} on average`] : []),
    `${Math.round(load.cluster_utilization)} % in use`,
    ...(load.unplaceable_tasks > 0 ? [`${load.unplaceable_tasks} fit no node`] : []),
  ];
  return parts.join(', ');
}
