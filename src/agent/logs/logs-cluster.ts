/** What a node knows of its cluster, as far as the output of tasks goes. */
import type { RecordRequest } from '../../generated/log_hand_over.ts';
import { JarvisError } from '../../lib/errors.ts';
import { logRetentionOf, type LogRetention } from '../../model/cluster.ts';
import { pressureOf } from '../../model/earlier-rows.ts';
import type { NodeRow } from '../../model/node.ts';
import type { Leadership, Replica } from '../../scheduler/ports.ts';
import type { Candidate } from './log-hand-over.ts';

export interface LogsCluster {
  readonly nodeName: string;
  leadership(): Pick<Leadership, 'leader'>;
  /** Null: not known yet. */
  logRetention(): LogRetention | null;
  /** Who may take the logs of this node, as far as it knows by itself. */
  candidates(): readonly Candidate[];
  /** Takes down who has the logs of a node that leaves. @throws JarvisError no_leader where this node does not lead */
  recordHolder(request: RecordRequest): Promise<void>;
}

/** Of a node that has a copy of the state. */
export function logsClusterOf(
  replica: Pick<Replica, 'nodeName' | 'state' | 'leadership' | 'propose'>,
): LogsCluster {
  return {
    nodeName: replica.nodeName,
    leadership: () => replica.leadership(),
    logRetention: () => {
      const { cluster } = replica.state;
      return cluster === null ? null : logRetentionOf(cluster.config);
    },
    candidates: () => candidatesOf(replica.state.nodes.values(), replica.nodeName),
    recordHolder: (request) => recordHolder(replica, request),
  };
}

/** Those that take new work, but for the one that leaves. */
export function candidatesOf(nodes: Iterable<NodeRow>, leaving: string): readonly Candidate[] {
  return [...nodes].filter(
    (node) =>
      node.name !== leaving &&
      node.status === 'AVAILABLE' &&
      node.schedulable &&
      !pressureOf(node).includes('disk'),
  );
}

/** @throws JarvisError no_leader where this node does not lead; what stands against it */
async function recordHolder(replica: Pick<Replica, 'propose'>, request: RecordRequest): Promise<void> {
  const { node, incarnation, holder } = request;
  const outcome = await replica.propose({ type: 'logsHandedOver', node, incarnation, holder });
  if (outcome.type === 'done') return;
  const { code, message } = outcome;
  if (code === 'not_found' || code === 'invalid' || code === 'internal') throw new JarvisError(code, message);
  throw new JarvisError('conflict', message);
}
