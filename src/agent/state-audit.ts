/**
 * Replicas prove that they agree: each asks the others for the digests of their states now and then, and judges itself
 * (`digest-judge.ts`). One in the minority serves wrong data and stops; if it leads, it hands its leadership over first.
 */
import {
  StateDigestsService,
  type DigestsReply,
  type StateDigestsServer,
} from '../generated/state_digests.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Peer } from '../raft/ports.ts';
import { unaryHandler } from '../rpc/handlers.ts';
import type { Service } from '../rpc/server.ts';
import {
  findDifference,
  judgeDigests,
  type DigestSample,
  type DigestVerdict,
  type Replica,
  type StateDifference,
} from './digest-judge.ts';
import { handOver } from './hand-over.ts';

export interface StateAuditOptions {
  readonly clusterId: string;
  readonly raft: RaftNode;
  readonly samples: () => readonly DigestSample[];
  /** @throws JarvisError */
  readonly ask: (peer: Peer) => Promise<DigestsReply>;
  /** This replica is wrong; called once. */
  readonly onMinority: (reason: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export class StateAudit {
  readonly #options: StateAuditOptions;
  #cancelTimer: () => void = () => {};
  #isClosed = false;
  #agreedIndex = 0;
  #difference: StateDifference | null = null;
  /** Monotonic; of the newest complaint about a difference. */
  #complainedMs = Number.NEGATIVE_INFINITY;
  #clockOffsets: readonly number[] = [];

  constructor(options: StateAuditOptions) {
    this.#options = options;
  }

  start(): void {
    this.#cancelTimer = this.#options.clock.after(limits.auditIntervalMs, () => {
      void this.#look();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
  }

  /** Up to where the majority is known to have made the same of the log. */
  get agreedIndex(): number {
    return this.#agreedIndex;
  }

  /** Replicas that differ, until all that answer agree again. */
  get difference(): StateDifference | null {
    return this.#difference;
  }

  /** How far the clocks of the members that answered last are ahead of this one's, milliseconds. */
  get clockOffsets(): readonly number[] {
    return this.#clockOffsets;
  }

  /** For the others. */
  service(): Service {
    const { clusterId, raft, samples, clock, log } = this.#options;
    const handlers: StateDigestsServer = {
      get: unaryHandler((request) => {
        if (request.cluster_id !== clusterId)
          throw new JarvisError('conflict', `this is cluster ${clusterId}, not ${request.cluster_id}`);
        const { id, commit } = raft.status();
        return { raft_id: id, digests: [...samples()], wall_ms: clock.wallMs(), commit_index: commit };
      }, log),
    };
    return { definition: StateDigestsService, handlers };
  }

  async #look(): Promise<void> {
    try {
      await this.#judge();
    } catch (error) {
      this.#options.log.error({ error: messageOf(error) }, 'the states of the replicas were not compared');
    }
    if (!this.#isClosed) this.start();
  }

  async #judge(): Promise<void> {
    const { raft, samples, clock, onMinority } = this.#options;
    const { id, confState } = raft.status();
    const others = await this.#others(id);
    if (this.#isClosed) return;
    const own = { id, samples: samples() };
    const verdict = judgeDigests(own, others, confState.voters);
    if (verdict.type === 'agrees') this.#agreedIndex = Math.max(this.#agreedIndex, verdict.index);
    this.#noteDifference(findDifference([own, ...others]), verdict);
    if (verdict.type !== 'minority') return;
    this.close();
    await handOver(raft, clock);
    onMinority(
      `at index ${verdict.index} its state has the digest ${verdict.own}, that of the majority ${verdict.majority}; ` +
        `they agreed up to ${this.#agreedIndex}`,
    );
  }

  #noteDifference(found: StateDifference | null, verdict: DigestVerdict): void {
    const { clock, log } = this.#options;
    const known = this.#difference;
    if (found !== null) this.#difference = found;
    else if (known !== null && verdict.type === 'agrees' && verdict.index >= known.index)
      this.#difference = null;
    const nowMs = clock.monotonicMs();
    if (found === null || nowMs - this.#complainedMs < limits.auditNoticeMs) return;
    this.#complainedMs = nowMs;
    log.error(
      { index: found.index, digests: Object.fromEntries(found.digests) },
      verdict.type === 'split'
        ? 'the states of the replicas differ, and no majority agrees on one: what they answer cannot be trusted'
        : 'the states of the replicas differ: not all of what they answer can be trusted',
    );
  }

  async #others(ownId: number): Promise<readonly Replica[]> {
    const { raft, log } = this.#options;
    const peers = raft.membership.peers.filter(({ raftId }) => raftId !== ownId && raft.isActive(raftId));
    const replies = await Promise.allSettled(peers.map((peer) => this.#ask(peer)));
    const offsets: number[] = [];
    const others = replies.flatMap((reply, at) => {
      const peer = peers[at];
      if (peer === undefined) return [];
      if (reply.status === 'rejected') {
        log.debug({ peer: peer.name, error: messageOf(reply.reason) }, 'a member does not tell its digests');
        return [];
      }
      // Whoever has taken over an address answers for itself.
      const { told, offsetMs } = reply.value;
      if (told.raft_id !== peer.raftId) return [];
      if (offsetMs !== null) offsets.push(offsetMs);
      return [{ id: peer.raftId, samples: told.digests }];
    });
    this.#clockOffsets = offsets;
    return others;
  }

  /** The clock is taken to have been read half way between question and answer. */
  async #ask(peer: Peer): Promise<{ told: DigestsReply; offsetMs: number | null }> {
    const { ask, clock } = this.#options;
    const askedMs = clock.wallMs();
    const told = await ask(peer);
    const offsetMs = told.wall_ms === 0 ? null : told.wall_ms - (askedMs + clock.wallMs()) / 2;
    return { told, offsetMs };
  }
}
