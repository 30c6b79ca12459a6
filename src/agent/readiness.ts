/** Whether a node is in service. */
import type { Readiness } from '../operations/port.ts';
import type { RaftNode } from '../raft/node.ts';
import type { WorkerAgent } from './worker/worker-agent.ts';

/** Applied so far behind what is committed, a node still counts as caught up. */
const CAUGHT_UP_ENTRIES = 1000;

/** In contact with a leader, caught up, the node's own worker registered (docs/contract.md, section 1). */
export function readinessOf(raft: RaftNode, worker: WorkerAgent): Readiness {
  const { leader } = raft.leadership();
  if (leader === 0) return { ready: false, reason: 'no leader is known' };
  const { commit, applied } = raft.status();
  if (commit - applied > CAUGHT_UP_ENTRIES) {
    return { ready: false, reason: `the state is ${commit - applied} entries behind` };
  }
  if (!worker.status().isSynced)
    return { ready: false, reason: 'the worker of this node is not registered yet' };
  return { ready: true, reason: '' };
}
