/** What only a leader knows of members and nodes, put together from Raft and the leader's duties. */
import type { Usage } from '../generated/worker.ts';
import type { ClusterInsight, MemberInsight } from '../operations/port.ts';
import type { RaftNode } from '../raft/node.ts';
import type { LeaderDuties } from './leader/leader-duties.ts';

export class NodeInsight implements ClusterInsight {
  readonly #raft: RaftNode;
  readonly #duties: LeaderDuties;

  constructor(options: { raft: RaftNode; duties: LeaderDuties }) {
    this.#raft = options.raft;
    this.#duties = options.duties;
  }

  lastHeartbeatMs(node: string): number | null {
    return this.#duties.lastHeartbeatMs(node);
  }

  usage(node: string): Usage | null {
    return this.#duties.usage(node);
  }

  commitIndex(): number {
    return this.#raft.status().commit;
  }

  members(): readonly MemberInsight[] {
    const { id, progress, confState } = this.#raft.status();
    return this.#raft.membership.peers.map(({ raftId, name, address }) => {
      const known = progress.find((candidate) => candidate.id === raftId);
      const isSelf = raftId === id;
      return {
        name,
        raftId,
        address,
        role: confState.voters.includes(raftId) ? 'voter' : 'learner',
        matchIndex: known?.match ?? 0,
        state: isSelf ? 'leader' : (known?.state ?? 'probe'),
        active: isSelf || this.#raft.isActive(raftId),
      };
    });
  }
}
