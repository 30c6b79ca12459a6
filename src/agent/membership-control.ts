/** What an operator does to the membership, carried out by the leader (docs/membership.md). */
import type { BootstrapReply } from '../generated/raft.ts';
import type { ChangeMemberRequest } from '../generated/cluster.ts';
import { splitAddress } from '../lib/address.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { versionTold } from '../lib/cluster-version.ts';
import { isName, NAME_RULE } from '../lib/names.ts';
import { DEFAULT_MEMBERSHIP } from '../model/cluster.ts';
import { COMMAND_VERSIONS } from '../model/command-versions.ts';
import type { MembershipControl } from '../operations/node-port.ts';
import type { RaftId } from '../raft/core/types.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Peer } from '../raft/ports.ts';
import type { Replica } from '../scheduler/ports.ts';
import type { Entrance } from './entrance.ts';

export interface MembershipControlOptions {
  readonly raft: RaftNode;
  readonly clock: Clock;
  /** How many voters the autopilot keeps. */
  readonly targetVoters: () => number;
  readonly replica: Pick<Replica, 'state'>;
  readonly entrance: Entrance;
  /** From then on the certificate of that name lets nobody in. */
  readonly bar: (name: string) => Promise<void>;
  /** Asks the node at the address who it is. @throws JarvisError unavailable, timeout */
  readonly ask: (address: string, signal: AbortSignal) => Promise<BootstrapReply>;
}

const ACTIONS = ['add', 'remove', 'promote', 'demote'] as const;
const TRANSFER_TIMEOUT_MS = 2000;

export class LeaderMembershipControl implements MembershipControl {
  readonly #options: MembershipControlOptions;

  constructor(options: MembershipControlOptions) {
    this.#options = options;
  }

  async change(request: ChangeMemberRequest, signal: AbortSignal): Promise<void> {
    const action = ACTIONS.find((known) => known === request.action);
    if (action === undefined)
      throw new JarvisError(
        'invalid',
        `action: ${JSON.stringify(request.action)}; allowed: ${ACTIONS.join(', ')}`,
      );
    if (action === 'add') return this.#add(request, signal);
    if (action === 'remove') return this.#remove(request.name);
    const member = this.#member(request.name);
    const other = request.other === '' ? null : this.#member(request.other);
    const promoted = action === 'promote' ? member : other;
    const demoted = action === 'promote' ? other : member;
    return this.#exchange(action, { promoted, demoted });
  }

  async transfer(to: string, signal: AbortSignal): Promise<void> {
    const { raft, clock } = this.#options;
    const { id } = raft.status();
    const heir = to === '' ? this.#furthestVoter() : this.#member(to).raftId;
    if (heir === id) return;
    if (!raft.status().confState.voters.includes(heir))
      throw new JarvisError('conflict', `${to} does not vote, and only a voter can lead`);
    if (!raft.isActive(heir)) throw new JarvisError('conflict', `${to} does not answer`);
    await new Promise<void>((resolve, reject) => {
      const settle = (error: JarvisError | null): void => {
        unsubscribe();
        cancelTimer();
        signal.removeEventListener('abort', gone);
        if (error === null) resolve();
        else reject(error);
      };
      const gone = (): void => settle(new JarvisError('outcome_unknown', 'the caller has gone'));
      const unsubscribe = raft.onLeadership(({ leader }) => {
        if (leader !== 0 && leader !== id) settle(null);
      });
      const cancelTimer = clock.after(TRANSFER_TIMEOUT_MS, () =>
        settle(new JarvisError('conflict', 'the leadership was not taken over in time: this node leads on')),
      );
      signal.addEventListener('abort', gone);
      raft.transferLeadership(heir);
    });
  }

  /** A node that waits with --join asks by itself; this one is asked, and told when it asks next. */
  async #add({ name, address }: ChangeMemberRequest, signal: AbortSignal): Promise<void> {
    const { ask, entrance } = this.#options;
    if (!isName(name)) throw new JarvisError('invalid', `name: ${JSON.stringify(name)} is not ${NAME_RULE}`);
    splitAddress(address);
    const found = await ask(address, signal);
    if (found.name !== name)
      throw new JarvisError('conflict', `${address} is node ${JSON.stringify(found.name)}, not ${name}`);
    if (found.cluster_id !== '' && !this.#isKnown(found))
      throw new JarvisError('conflict', `node ${name} belongs to cluster ${found.cluster_id} already`);
    // Builds that know of such nodes can be such.
    const worksWithoutCopy = versionTold(found.known_version) >= COMMAND_VERSIONS.admitCopyless;
    await entrance.letIn({ name, incarnation: found.incarnation, address }, { worksWithoutCopy });
  }

  async #remove(name: string): Promise<void> {
    const { raft, replica, bar, entrance } = this.#options;
    const isCopyless = replica.state.copylessNodes.has(name);
    if (isCopyless && !raft.membership.peers.some((peer) => peer.name === name)) {
      await bar(name);
      return entrance.dismiss(name);
    }
    const member = this.#member(name);
    await bar(name);
    // It would come back by that.
    await entrance.dismiss(name);
    await raft.changeMembership({ type: 'remove', id: member.raftId });
    // The autopilot may have let it in without a copy meanwhile.
    return entrance.dismiss(name);
  }

  async #exchange(
    action: 'promote' | 'demote',
    { promoted, demoted }: { readonly promoted: Peer | null; readonly demoted: Peer | null },
  ): Promise<void> {
    const { raft, targetVoters } = this.#options;
    const { voters } = raft.status().confState;
    const isVoter = (peer: Peer): boolean => voters.includes(peer.raftId);
    if (promoted !== null && demoted !== null) {
      if (isVoter(promoted) && !isVoter(demoted)) return;
      if (isVoter(promoted)) throw new JarvisError('conflict', `${promoted.name} votes already`);
      if (!isVoter(demoted)) throw new JarvisError('conflict', `${demoted.name} does not vote`);
      await raft.changeMembership({
        type: 'together',
        changes: [
          { type: 'addVoter', id: promoted.raftId },
          { type: 'addLearner', id: demoted.raftId },
        ],
      });
      return;
    }
    const member = promoted ?? demoted;
    if (member === null || isVoter(member) === (action === 'promote')) return;
    const target = targetVoters();
    // The autopilot would take it back within seconds.
    if (action === 'promote' && voters.length >= target)
      throw new JarvisError(
        'conflict',
        `${target} voters are kept, and there are ${voters.length}: say whose place ${member.name} takes`,
      );
    if (action === 'demote' && voters.length <= target)
      throw new JarvisError(
        'conflict',
        `${target} voters are kept, and there are ${voters.length}: say who takes the place of ${member.name}`,
      );
    await raft.changeMembership({ type: action, id: member.raftId });
  }

  #isKnown({ name, incarnation }: BootstrapReply): boolean {
    const { raft, replica } = this.#options;
    return (
      raft.membership.peers.some((peer) => peer.incarnation === incarnation) ||
      replica.state.copylessNodes.get(name)?.incarnation === incarnation
    );
  }

  /** @throws JarvisError not_found; conflict where it has no copy of the log */
  #member(name: string): Peer {
    const { raft, replica } = this.#options;
    const { peers } = raft.membership;
    const found = peers.find((peer) => peer.name === name);
    if (found !== undefined) return found;
    const { cluster, copylessNodes } = replica.state;
    if (copylessNodes.has(name)) {
      const { learners } = cluster?.config.membership ?? DEFAULT_MEMBERSHIP;
      throw new JarvisError(
        'conflict',
        `${name} works without a copy of the log, and cannot vote: it becomes a learner by itself once there are fewer ` +
          `than are kept (membership.learners, now ${learners})`,
      );
    }
    const names = peers.map((peer) => peer.name).join(', ');
    throw new JarvisError('not_found', `there is no member ${JSON.stringify(name)}; there are ${names}`);
  }

  #furthestVoter(): RaftId {
    const { raft } = this.#options;
    const heir = raft.heir();
    if (heir === null) throw new JarvisError('conflict', 'no other voter answers');
    return heir;
  }
}
