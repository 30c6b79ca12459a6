/** Lets the autopilot decide again and again while this node leads, and carries out what it says (docs/autopilot.md). */
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { ClusterRow } from '../model/cluster.ts';
import { DEFAULT_MEMBERSHIP } from '../model/cluster.ts';
import { clusterKnows } from '../model/command-versions.ts';
import { zoneOf } from '../model/node.ts';
import { errorOfRefusal } from '../operations/refusals.ts';
import { isJoint } from '../raft/core/confchange.ts';
import type { RaftId } from '../raft/core/types.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Peer } from '../raft/ports.ts';
import type { CommandInput, Replica } from '../scheduler/ports.ts';
import {
  AUTOPILOT_DEFAULTS,
  decide,
  learnersWanted,
  type AutopilotInput,
  type AutopilotMember,
  type MembershipAction,
} from './leader/autopilot.ts';
import { LEADER_LIMITS } from './leader/limits.ts';

export interface VoterKeeperOptions {
  readonly raft: RaftNode;
  readonly replica: Pick<Replica, 'propose' | 'state'>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Life {
  readonly isAlive: boolean;
  /** Monotonic. */
  readonly sinceMs: number;
}

export class VoterKeeper {
  readonly #options: VoterKeeperOptions;
  /** Of each member, as seen in this term. */
  readonly #lives = new Map<RaftId, Life>();
  #cancelTimer: () => void = () => {};
  #isChanging = false;

  constructor(options: VoterKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.stop();
    this.#wait();
  }

  stop(): void {
    this.#cancelTimer();
    this.#lives.clear();
  }

  #wait(): void {
    const { clock, log } = this.#options;
    const dueMs = clock.monotonicMs() + limits.autopilotIntervalMs;
    this.#cancelTimer = clock.after(limits.autopilotIntervalMs, () => {
      const lateMs = clock.monotonicMs() - dueMs;
      // What the others said meanwhile is still to be read: it would take all of them for dead.
      if (lateMs <= LEADER_LIMITS.stallMs) this.#look();
      else log.warn({ lateMs }, 'this process stood still; the members are looked at a little later');
      this.#wait();
    });
  }

  /**
   * Up to which number nodes without a copy become learners: one more for a voter only once that is dead for good, or each
   * short absence of one would have another node start again, and again.
   */
  learnersWanted(): number {
    const { cluster } = this.#options.replica.state;
    return cluster === null ? 0 : learnersWanted(this.#input(cluster));
  }

  #look(): void {
    const { replica, log } = this.#options;
    const { cluster } = replica.state;
    if (cluster === null) return;
    const input = this.#input(cluster);
    const action = decide(input);
    if (action !== null) {
      log.info({ action: action.kind, reason: action.reason }, 'the membership is changed');
      this.#change(action.kind, () => this.#carryOut(action, input));
      return;
    }
    if (input.isChangeUnderWay) return;
    const name = this.#superseded();
    if (name !== null)
      this.#change('dismissCopyless', () => this.#propose({ type: 'dismissCopyless', name }));
  }

  /** One at a time. */
  #change(kind: string, carryOut: () => Promise<void>): void {
    const { log } = this.#options;
    this.#isChanging = true;
    carryOut()
      .catch((error: unknown) => log.warn({ action: kind, error: messageOf(error) }, 'it was not changed'))
      .finally(() => {
        this.#isChanging = false;
      });
  }

  async #carryOut({ kind, changes }: MembershipAction, input: AutopilotInput): Promise<void> {
    const { raft, replica } = this.#options;
    if (kind === 'removeLearner' && clusterKnows(replica.state.cluster, 'admitCopyless'))
      for (const { id } of changes) await this.#keepWithoutCopy(id, input);
    await raft.changeMembership({ type: 'together', changes });
  }

  /**
   * A living learner is removed because there are too many: it may come back, and what it runs goes on. One that is silent
   * for a moment may just be starting again, having been told that it is a learner.
   */
  async #keepWithoutCopy(id: RaftId, { members, nowMs, deadVoterGraceMs }: AutopilotInput): Promise<void> {
    const { raft } = this.#options;
    const learner = members.find((member) => member.id === id);
    const peer = raft.membership.peers.find(({ raftId }) => raftId === id);
    if (learner === undefined || peer === undefined) return;
    const { name, incarnation, address } = peer;
    if (!learner.isAlive && nowMs - learner.sinceMs >= deadVoterGraceMs) return;
    await this.#propose({ type: 'admitCopyless', name, incarnation, address });
  }

  /** The name of a node that became a member, and is still let in as one without a copy. */
  #superseded(): string | null {
    const { raft, replica } = this.#options;
    const { copylessNodes } = replica.state;
    return raft.membership.peers.find(({ name }) => copylessNodes.has(name))?.name ?? null;
  }

  async #propose(command: CommandInput): Promise<void> {
    const outcome = await this.#options.replica.propose(command);
    if (outcome.type === 'refused') throw errorOfRefusal(outcome);
  }

  #input({ config }: ClusterRow): AutopilotInput {
    const { raft, replica, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const members = this.#members(nowMs);
    const { learners, voterGraceMs } = config.membership ?? DEFAULT_MEMBERSHIP;
    return {
      ...AUTOPILOT_DEFAULTS,
      targetVoters: targetVotersOf(replica.state.cluster, members.length),
      learnersKept: learners,
      deadVoterGraceMs: voterGraceMs,
      nowMs,
      isChangeUnderWay: this.#isChanging || isJoint(raft.membership.confState),
      members,
    };
  }

  #members(nowMs: number): readonly AutopilotMember[] {
    const { raft, replica } = this.#options;
    const { id, confState } = raft.status();
    const { peers } = raft.membership;
    for (const known of this.#lives.keys())
      if (!peers.some(({ raftId }) => raftId === known)) this.#lives.delete(known);
    return peers.map((peer: Peer) => {
      const { raftId, name } = peer;
      const isLeader = raftId === id;
      const isAlive = isLeader || raft.isActive(raftId);
      const life = this.#lives.get(raftId);
      const { sinceMs } = life?.isAlive === isAlive ? life : { sinceMs: nowMs };
      this.#lives.set(raftId, { isAlive, sinceMs });
      return {
        id: raftId,
        name,
        zone: zoneOf(replica.state.nodes.get(name)),
        incoming: confState.voters.includes(raftId),
        outgoing: confState.votersOutgoing.includes(raftId),
        isAlive,
        sinceMs,
        isCaughtUp: isLeader || raft.isCaughtUp(raftId),
        isLeader,
        isGone: false,
      };
    });
  }
}

/** How many learners may be let in: the autopilot removes those beyond the ones kept and one for each voter that is missing. */
export function learnersAllowed(cluster: ClusterRow | null, raft: RaftNode): number {
  const { id, confState } = raft.status();
  const living = confState.voters.filter((voter) => voter === id || raft.isActive(voter)).length;
  const target = targetVotersOf(cluster, raft.membership.peers.length);
  const { learners } = cluster?.config.membership ?? DEFAULT_MEMBERSHIP;
  return learners + Math.max(0, target - living);
}

/** @param members what there is, for clusters that formed before the number was a setting */
export function targetVotersOf(cluster: ClusterRow | null, members: number): number {
  return cluster?.config.membership?.voters ?? Math.min(members, 3);
}
