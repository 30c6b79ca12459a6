/** How a node of the autoscaler leaves members and list, a step at a time; whoever leads by then takes the next one. */
import { heirOf, type OtherNode } from '../autoscaler/core/victims.ts';
import type { Departures } from '../autoscaler/ports.ts';
import { JarvisError } from '../lib/errors.ts';
import { drainOf } from '../model/earlier-rows.ts';
import { zoneOf, type NodeRow } from '../model/node.ts';
import { expectStopped } from '../operations/nodes.ts';
import { errorOfRefusal } from '../operations/refusals.ts';
import type { RaftId } from '../raft/core/types.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Peer } from '../raft/ports.ts';
import type { CommandInput, Replica } from '../scheduler/ports.ts';
import type { LeaderDuties } from './leader/leader-duties.ts';
import { targetVotersOf } from './voter-keeper.ts';

export interface NodeDeparturesOptions {
  readonly replica: Pick<Replica, 'leadership' | 'propose' | 'state'>;
  readonly raft: RaftNode;
  readonly silentMs: LeaderDuties['silentMs'];
}

export const AUTOSCALER_PRINCIPAL = 'autoscaler';
/** What came back while it was to leave may end its tasks by itself for so long. */
const DRAIN_MS = 3_600_000;

interface Heir extends OtherNode {
  readonly raftId: RaftId;
}

/**
 * Drained where it lives, then out of the members, or not let in without a copy any more, which ends its daemon, and off the
 * list once that is silent.
 */
export class NodeDepartures implements Departures {
  readonly #options: NodeDeparturesOptions;
  #isChanging = false;

  constructor(options: NodeDeparturesOptions) {
    this.#options = options;
  }

  async leave(name: string, isGone: boolean): Promise<boolean> {
    const { replica, raft } = this.#options;
    const node = replica.state.nodes.get(name);
    const member = raft.membership.peers.find((peer) => peer.name === name);
    if (node?.sessionOpen === true && node.status !== 'DRAINED' && !isGone) {
      const drain = {
        type: 'drainNode',
        node: name,
        withinMs: DRAIN_MS,
        graceMs: null,
        startId: null,
      } as const;
      if (drainOf(node) === null) await this.#propose({ ...drain, idempotency: null });
      return false;
    }
    // First, so that no member that leaves goes on without a copy: its row may be from before it became one, or from just now.
    if (replica.state.copylessNodes.has(name)) {
      await this.#dismiss(name);
      return false;
    }
    if (member !== undefined) {
      await this.#inTurn(() => this.#expel(member));
      return false;
    }
    if (node === undefined) return true;
    return this.#strike(node, isGone);
  }

  /** The members change one at a time: of several that leave at once, the others have their turn later. */
  async #inTurn(change: () => Promise<void>): Promise<void> {
    if (this.#isChanging) return;
    this.#isChanging = true;
    try {
      await change();
    } finally {
      this.#isChanging = false;
    }
  }

  /** It hears of that with its next question. */
  async #dismiss(name: string): Promise<void> {
    await this.#propose({ type: 'barMember', name });
    await this.#propose({ type: 'dismissCopyless', name });
  }

  /** Where it leads, another one does; where it votes, another one takes its vote; and then it goes. */
  async #expel(member: Peer): Promise<void> {
    const { raft } = this.#options;
    const { id, confState } = raft.status();
    if (member.raftId === id) return this.#handOver(member);
    if (confState.voters.includes(member.raftId) && (await this.#hasGivenVote(member))) return undefined;
    // Its certificate, where it has one, is good for some time yet.
    await this.#propose({ type: 'barMember', name: member.name });
    await raft.changeMembership({ type: 'remove', id: member.raftId });
    return undefined;
  }

  /** Rather to one that stays: else two that leave could hand it to each other. */
  async #handOver(leader: Peer): Promise<void> {
    const { raft } = this.#options;
    const to = raft.heir((id) => this.#stays(id)) ?? raft.heir();
    if (to !== null) return raft.transferLeadership(to);
    const heir = this.#heirOf(leader);
    if (heir === null) throw new JarvisError('conflict', `${leader.name} leads, and no other voter answers`);
    // It is the only voter that answers: there have to be two before one can go.
    await raft.changeMembership({ type: 'promote', id: heir.raftId });
    return undefined;
  }

  /**
   * In one change, so that there are never fewer voters; the change that removes it is the next.
   * @returns whether another one has it now; false: there are more voters than are kept
   */
  async #hasGivenVote(voter: Peer): Promise<boolean> {
    const { raft, replica } = this.#options;
    const heir = this.#heirOf(voter);
    if (heir !== null) {
      await raft.changeMembership({
        type: 'together',
        changes: [
          { type: 'addVoter', id: heir.raftId },
          { type: 'addLearner', id: voter.raftId },
        ],
      });
      return true;
    }
    const { peers, confState } = raft.membership;
    const kept = targetVotersOf(replica.state.cluster, peers.length);
    if (confState.voters.length > kept) return false;
    throw new JarvisError(
      'conflict',
      `${voter.name} votes, and no member is there that could take its vote: ${kept} voters are kept`,
    );
  }

  #heirOf(voter: Peer): Heir | null {
    const { raft, replica } = this.#options;
    const { id, confState } = raft.status();
    const staying: Heir[] = [];
    for (const { raftId, name } of raft.membership.peers) {
      if (raftId !== voter.raftId && !this.#stays(raftId)) continue;
      staying.push({
        raftId,
        zone: zoneOf(replica.state.nodes.get(name)),
        isVoter: confState.voters.includes(raftId),
        isCaughtUp: raftId === id || raft.isCaughtUp(raftId),
      });
    }
    const own = staying.find(({ raftId }) => raftId === voter.raftId);
    return own === undefined ? null : heirOf(own, staying, new Set());
  }

  /** It has a node that is not about to leave itself. */
  #stays(id: RaftId): boolean {
    const { raft, replica } = this.#options;
    const name = raft.membership.peers.find(({ raftId }) => raftId === id)?.name ?? '';
    const node = replica.state.nodes.get(name);
    return node !== undefined && drainOf(node) === null;
  }

  async #strike(node: NodeRow, isGone: boolean): Promise<boolean> {
    const { replica, silentMs } = this.#options;
    if (!isGone) {
      try {
        expectStopped(replica.state, { silentMs, members: () => [] }, node);
      } catch (error) {
        // Its daemon is about to end.
        if (error instanceof JarvisError && error.code === 'conflict') return false;
        throw error;
      }
    }
    const { name, session } = node;
    const { term } = replica.leadership();
    const asked = { type: 'removeNode', term, node: name, session, dead: isGone } as const;
    await this.#propose({ ...asked, principal: AUTOSCALER_PRINCIPAL, idempotency: null });
    return !replica.state.nodes.has(name);
  }

  async #propose(command: CommandInput): Promise<void> {
    const outcome = await this.#options.replica.propose(command);
    if (outcome.type === 'refused' && outcome.code !== 'not_found') throw errorOfRefusal(outcome);
  }
}
