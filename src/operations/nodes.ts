/** Nodes as requests name them, and what the leader knows of them that stands in no state machine. */
import type { Usage } from '../generated/worker.ts';
import { JarvisError } from '../lib/errors.ts';
import { copylessNode } from '../model/copyless-node.ts';
import type { NodeRow } from '../model/node.ts';
import type { Load } from '../scheduler/core/placement/planner.ts';
import type { StateView } from '../scheduler/ports.ts';
import { show } from '../spec/faults.ts';
import { closest } from '../spec/suggest.ts';
import type { ClusterInsight } from './insight.ts';

/** So many heartbeats that did not come: it has stopped. */
const SILENT_INTERVALS = 2;

/** @throws JarvisError not_found, with what may have been meant */
export function namedNode({ nodes }: Pick<StateView, 'nodes'>, name: string): NodeRow {
  const node = nodes.get(name);
  if (node !== undefined) return node;
  const meant = closest(name, nodes.keys());
  const hint = meant === null ? '' : `; did you mean ${meant}?`;
  throw new JarvisError('not_found', `there is no node ${show(name)}${hint}`);
}

/** As what it is let in, with a copy of the state or without; undefined: it is not. */
export function roleOf(
  name: string,
  { copylessNodes }: Pick<StateView, 'copylessNodes'>,
  insight: Pick<ClusterInsight, 'members'>,
): 'learner' | 'voter' | 'worker' | undefined {
  const members = insight.members();
  const member = members.find((one) => one.name === name);
  if (member !== undefined) return member.role;
  return copylessNode({ copylessNodes }, members, name) === null ? undefined : 'worker';
}

/** What a heartbeat told, as placement takes it: what is no share says nothing, and must not upset the order of other nodes. */
export function measuredLoadOf(usage: Usage | null): Load | null {
  if (usage === null || !Number.isFinite(usage.cpu_percent)) return null;
  return { busy: Math.min(1, Math.max(0, usage.cpu_percent / 100)), scope: usage.cpu_scope };
}

/**
 * Whether an operator's word that the node is dead can be true: it is OFFLINE, or the leader has heard nothing of it for
 * so long that it warns of it.
 * @throws JarvisError conflict, saying when it was heard of last
 */
export function expectSilent(
  { cluster }: Pick<StateView, 'cluster'>,
  insight: Pick<ClusterInsight, 'silentMs' | 'lastHeartbeatMs'>,
  { name, sessionOpen }: NodeRow,
): void {
  const warningMs = cluster?.config.heartbeat.warningMs ?? 0;
  const silentMs = insight.silentMs(name) ?? 0;
  if (!sessionOpen || silentMs >= warningMs) return;
  const heardMs = insight.lastHeartbeatMs(name);
  const found =
    heardMs === null
      ? `may answer yet: its leader has listened for ${seconds(silentMs)} s only`
      : `still answers: it was heard of ${seconds(silentMs)} s ago, at ${new Date(heardMs).toISOString()}`;
  throw new JarvisError(
    'conflict',
    `node ${name} ${found}; it can be called dead once it has been silent for ${seconds(warningMs)} s`,
  );
}

/**
 * Whether the daemon of a node that is DRAINED has ended: one that lives would register again, as a node that nobody
 * knows, and take work. Nothing is there to be lost, so a short silence will do.
 * @throws JarvisError conflict, with what ends it
 */
export function expectStopped(
  state: Pick<StateView, 'cluster' | 'copylessNodes'>,
  insight: Pick<ClusterInsight, 'silentMs' | 'members'>,
  { name, sessionOpen, status }: NodeRow,
): void {
  if (!sessionOpen || status !== 'DRAINED') return;
  const neededMs = SILENT_INTERVALS * (state.cluster?.config.heartbeat.intervalMs ?? 0);
  const silentMs = insight.silentMs(name) ?? 0;
  if (silentMs >= neededMs) return;
  const end =
    roleOf(name, state, insight) === undefined
      ? 'stop its daemon'
      : `stop its daemon, or end its membership (cluster remove ${name})`;
  throw new JarvisError(
    'conflict',
    `node ${name} is DRAINED, and its daemon runs: it was heard of ${seconds(silentMs)} s ago, and would register again; ` +
      `${end}, and remove it once it has been silent for ${seconds(neededMs)} s`,
  );
}

function seconds(ms: number): string {
  return String(Math.round(ms / 100) / 10);
}
