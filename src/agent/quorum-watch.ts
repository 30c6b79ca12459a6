/**
 * While this node leads: says in the log when the cluster cannot lose one more voter, though it has enough of them to, and
 * when it can again. It is said once in an episode, whoever leads meanwhile: what was said last is part of the state.
 */
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { clusterKnows } from '../model/command-versions.ts';
import { quorumRiskOf } from '../model/earlier-rows.ts';
import type { VotingMember } from '../model/quorum.ts';
import { failureTolerance } from '../model/quorum.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Replica } from '../scheduler/ports.ts';
import { LEADER_LIMITS } from './leader/limits.ts';

export interface NamedMember extends VotingMember {
  readonly name: string;
}

/** Null: it can lose a voter, or could not with all of them. */
export function riskOf(members: readonly NamedMember[]): string | null {
  const voters = members.filter(({ incoming, outgoing }) => incoming || outgoing);
  if (failureTolerance(voters) > 0) return null;
  if (failureTolerance(voters.map((voter) => ({ ...voter, isAlive: true }))) === 0) return null;
  const silent = voters.filter(({ isAlive }) => !isAlive).map(({ name }) => name);
  const living = voters.length - silent.length;
  return `${living} of ${voters.length} voters are alive, and the loss of one more stops the cluster; not heard of: ${silent.sort().join(', ')}`;
}

export interface QuorumWatchOptions {
  readonly raft: Pick<RaftNode, 'status' | 'membership' | 'isActive'>;
  readonly replica: Pick<Replica, 'state' | 'propose'>;
  readonly clock: Clock;
  readonly log: Log;
}

export class QuorumWatch {
  readonly #options: QuorumWatchOptions;
  #term: number | null = null;
  /** Since when it is otherwise than was said last; monotonic. Null: it is not. */
  #sinceMs: number | null = null;
  #isProposing = false;
  #cancelTimer: () => void = () => {};

  constructor(options: QuorumWatchOptions) {
    this.#options = options;
  }

  start(term: number): void {
    this.stop();
    this.#term = term;
    this.#wait();
  }

  stop(): void {
    this.#term = null;
    this.#sinceMs = null;
    this.#cancelTimer();
  }

  #wait(): void {
    const { clock } = this.#options;
    const dueMs = clock.monotonicMs() + limits.quorumLookMs;
    this.#cancelTimer = clock.after(limits.quorumLookMs, () => {
      // What the others said while this process stood still is yet to be read: it would take all of them for dead.
      if (clock.monotonicMs() - dueMs > LEADER_LIMITS.stallMs) this.#sinceMs = null;
      else this.#look();
      this.#wait();
    });
  }

  #look(): void {
    const { replica, clock } = this.#options;
    const { cluster } = replica.state;
    if (cluster === null || !clusterKnows(cluster, 'quorumRisk')) return;
    const risk = riskOf(this.#members());
    if ((risk === null) === (quorumRiskOf(cluster) === null)) {
      this.#sinceMs = null;
      return;
    }
    const nowMs = clock.monotonicMs();
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs >= limits.quorumRiskMs) void this.#say(risk);
  }

  /** Never throws. Said again at the next look, where it came to nothing. */
  async #say(risk: string | null): Promise<void> {
    const { replica, log } = this.#options;
    if (this.#isProposing || this.#term === null) return;
    this.#isProposing = true;
    try {
      const command = {
        type: 'quorumRisk',
        term: this.#term,
        atRisk: risk !== null,
        reason: risk ?? '',
      } as const;
      const outcome = await replica.propose(command);
      if (outcome.type === 'refused') log.info({ code: outcome.code }, 'the word on the quorum was refused');
      else if (risk === null) log.info({}, 'the cluster can lose a voter again');
      else log.warn({ reason: risk }, 'the quorum is at risk');
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'the word on the quorum is not in the log yet');
    } finally {
      this.#isProposing = false;
    }
  }

  #members(): readonly NamedMember[] {
    const { raft } = this.#options;
    const { id, confState } = raft.status();
    return raft.membership.peers.map(({ raftId, name }) => ({
      name,
      incoming: confState.voters.includes(raftId),
      outgoing: confState.votersOutgoing.includes(raftId),
      isAlive: raftId === id || raft.isActive(raftId),
    }));
  }
}
