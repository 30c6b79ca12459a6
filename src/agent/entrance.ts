/**
 * The one door to the cluster, on the leader: who comes in holds a copy of the log, as long as fewer learners are there than
 * are wanted, and else works without one, where it can (docs/adr/0013). Whether it may come in at all others have looked at.
 */
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { clusterKnows } from '../model/command-versions.ts';
import { copylessNode, type CopylessNodeRow } from '../model/copyless-node.ts';
import { drainOf } from '../model/earlier-rows.ts';
import { errorOfRefusal } from '../operations/refusals.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Peer } from '../raft/ports.ts';
import type { Replica } from '../scheduler/ports.ts';

export interface EntranceOptions {
  readonly raft: Pick<RaftNode, 'changeMembership' | 'confirmLeadership' | 'membership'>;
  readonly replica: Pick<Replica, 'propose' | 'state'>;
  /** How many learners there may be, with one for each voter that is silent at present. */
  readonly learnersAllowed: () => number;
  /** Up to which number those become learners that could work without a copy; not more than may be there. */
  readonly learnersWanted: () => number;
  /** For how long nothing has been heard of the node; null: not known. */
  readonly silentMs: (name: string) => number | null;
}

/** So many heartbeats that did not come. */
const SILENT_INTERVALS = 2;

type Newcomer = Omit<Peer, 'raftId'>;

interface Abilities {
  readonly worksWithoutCopy: boolean;
  /** False: it does not know all that may be in the log. Default: it does. */
  readonly mayHoldLog?: boolean;
  /** It says itself that it has no log. Default: false. */
  readonly hasNoLog?: boolean;
}

/** As what it is in. */
export interface Entered {
  /** Null: it works without a copy. */
  readonly peer: Peer | null;
  /** False: so it was before. */
  readonly isNew: boolean;
}

export class Entrance {
  readonly #options: EntranceOptions;

  constructor(options: EntranceOptions) {
    this.#options = options;
  }

  /**
   * Again for the same node it changes nothing, unless there is a place among the learners for one that works without a copy.
   * @throws JarvisError not_found, conflict, forbidden, no_leader, too_many, outcome_unknown, unavailable
   */
  async letIn(
    node: Newcomer,
    { worksWithoutCopy, mayHoldLog = true, hasNoLog = false }: Abilities,
  ): Promise<Entered> {
    const { raft, replica, learnersAllowed, learnersWanted } = this.#options;
    const { peers, confState } = raft.membership;
    const { state } = replica;
    const member = peers.find(({ incarnation }) => incarnation === node.incarnation);
    if (member !== undefined || peers.some(({ name }) => name === node.name)) {
      if (member?.address !== node.address) this.#checkAddress(node);
      return this.#becomeMember(node, learnersAllowed(), hasNoLog);
    }
    const before = this.#rowOf(node);
    if (before?.address !== node.address) this.#checkAddress(node);
    const canDoWithout =
      before !== null || (worksWithoutCopy && clusterKnows(state.cluster, 'admitCopyless'));
    if (!canDoWithout) return this.#becomeMember(node, learnersAllowed());
    const places = learnersWanted();
    if (mayHoldLog && confState.learners.length < places && !this.#isLeaving(node.name)) {
      const entered = await this.#tryMember(node, places, before);
      if (entered !== null) return entered;
    }
    if (before?.address === node.address) return { peer: null, isNew: false };
    const outcome = await replica.propose({ type: 'admitCopyless', ...fieldsOf(node) });
    if (outcome.type === 'refused') throw errorOfRefusal(outcome);
    return { peer: null, isNew: true };
  }

  /** From now on it is nobody, unless it is a member. */
  async dismiss(name: string): Promise<void> {
    const { replica } = this.#options;
    if (!replica.state.copylessNodes.has(name)) return;
    const outcome = await replica.propose({ type: 'dismissCopyless', name });
    if (outcome.type === 'refused') throw errorOfRefusal(outcome);
  }

  /**
   * Its own row; null where it has none, also where it takes the place of one that has gone, under the same name.
   * @throws JarvisError conflict where another has that name, or it had another one
   */
  #rowOf({ name, incarnation }: Newcomer): CopylessNodeRow | null {
    const { raft, replica } = this.#options;
    const { peers } = raft.membership;
    const { copylessNodes, nodes } = replica.state;
    const row = copylessNode(replica.state, peers, name);
    if (row?.incarnation === incarnation) return row;
    for (const other of copylessNodes.values())
      if (other.incarnation === incarnation)
        throw new JarvisError('conflict', `this data directory is node ${other.name}, not ${name}`);
    if (row !== null && nodes.get(name)?.sessionOpen === true && this.#mayAnswer(name))
      throw new JarvisError(
        'conflict',
        `a node named ${name} is there and answers (${row.address}): give this node another name`,
      );
    return null;
  }

  /**
   * As of a member that has lost its disk, a short silence will do: whoever comes waits no longer than `joinConflictMs`, which
   * may be less than it takes to call a node OFFLINE. What it ran stays where it is until then.
   */
  #mayAnswer(name: string): boolean {
    const { replica, silentMs } = this.#options;
    const beatMs = replica.state.cluster?.config.heartbeat.intervalMs ?? 0;
    const neededMs = Math.min(SILENT_INTERVALS * beatMs, limits.joinConflictMs / 2);
    return (silentMs(name) ?? 0) < neededMs;
  }

  /** It is about to go: as a member it would only have to be removed again. */
  #isLeaving(name: string): boolean {
    const node = this.#options.replica.state.nodes.get(name);
    return node !== undefined && drainOf(node) !== null;
  }

  /** @returns null where one without a copy stays so: the members cannot change like that at this moment, and it asks again in seconds. */
  async #tryMember(
    node: Newcomer,
    learnersAllowed: number,
    before: CopylessNodeRow | null,
  ): Promise<Entered | null> {
    const { raft, replica } = this.#options;
    const former = replica.state.formerMembers.get(node.name);
    let entered: Entered;
    try {
      entered = await this.#becomeMember(node, learnersAllowed);
    } catch (error) {
      if (before !== null && error instanceof JarvisError && error.code === 'conflict') return null;
      throw error;
    }
    // An operator's removal of it, as one without a copy, may have come in between: it must not come back by this.
    if (before === null || replica.state.formerMembers.get(node.name) === former) return entered;
    if (entered.peer !== null) await raft.changeMembership({ type: 'remove', id: entered.peer.raftId });
    throw new JarvisError('forbidden', `${node.name} was removed from the cluster`);
  }

  /** Of a member its address may be new, or its Raft id, where it has lost what it had under the one before. */
  async #becomeMember(node: Newcomer, learnersAllowed: number, hasNoLog = false): Promise<Entered> {
    const { raft } = this.#options;
    const { name, incarnation, address } = node;
    const before = raft.membership.peers.find((peer) => peer.incarnation === incarnation);
    if (before?.address === address && !hasNoLog) return await this.#confirmed(before);
    const change = { type: 'add', node: fieldsOf(node), learnersAllowed, hasNoLog } as const;
    const { peers } = await raft.changeMembership(change);
    const peer = peers.find((one) => one.incarnation === incarnation);
    if (peer === undefined) throw new JarvisError('conflict', `${name} was removed while it was added`);
    // A member's own row may be there for when it is removed: the autopilot has made it so.
    if (before === undefined) await this.dismiss(name);
    if (before?.address === address && before.raftId === peer.raftId) return await this.#confirmed(peer);
    return { peer, isNew: true };
  }

  /** Nothing is to change, by which it would show that this node leads no more, and knows of a former membership only. */
  async #confirmed({ incarnation, name }: Peer): Promise<Entered> {
    const { raft } = this.#options;
    await raft.confirmLeadership(new AbortController().signal);
    const peer = raft.membership.peers.find((one) => one.incarnation === incarnation);
    if (peer === undefined) throw new JarvisError('conflict', `${name} was removed while it asked`);
    return { peer, isNew: false };
  }

  /** Raft itself looks at the addresses of members. @throws JarvisError conflict */
  #checkAddress({ name, address }: Newcomer): void {
    const { raft, replica } = this.#options;
    const { peers } = raft.membership;
    const member = peers.find((peer) => peer.address === address && peer.name !== name);
    if (member !== undefined)
      throw new JarvisError('conflict', `${address} is the address of member ${member.name}`);
    for (const row of replica.state.copylessNodes.values()) {
      if (row.address !== address || row.name === name) continue;
      if (copylessNode(replica.state, peers, row.name) === null) continue;
      throw new JarvisError('conflict', `${address} is the address of node ${row.name}`);
    }
  }
}

function fieldsOf({ name, incarnation, address }: Newcomer): Newcomer {
  return { name, incarnation, address };
}
