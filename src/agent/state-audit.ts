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
import { judgeDigests, type DigestSample, type Replica } from './digest-judge.ts';
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

  /** For the others. */
  service(): Service {
    const { clusterId, raft, samples, log } = this.#options;
    const handlers: StateDigestsServer = {
      get: unaryHandler((request) => {
        if (request.cluster_id !== clusterId)
          throw new JarvisError('conflict', `this is cluster ${clusterId}, not ${request.cluster_id}`);
        return { raft_id: raft.status().id, digests: [...samples()] };
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
    const { raft, samples, clock, log, onMinority } = this.#options;
    const { id, confState } = raft.status();
    const others = await this.#others(id);
    if (this.#isClosed) return;
    const verdict = judgeDigests({ id, samples: samples() }, others, confState.voters);
    if (verdict.type === 'agrees') this.#agreedIndex = Math.max(this.#agreedIndex, verdict.index);
    if (verdict.type === 'split')
      log.error(
        { index: verdict.index, digests: Object.fromEntries(verdict.digests) },
        'the states of the replicas differ, and no majority agrees on one: what they answer cannot be trusted',
      );
    if (verdict.type !== 'minority') return;
    this.close();
    await handOver(raft, clock);
    onMinority(
      `at index ${verdict.index} its state has the digest ${verdict.own}, that of the majority ${verdict.majority}; ` +
        `they agreed up to ${this.#agreedIndex}`,
    );
  }

  async #others(ownId: number): Promise<readonly Replica[]> {
    const { raft, ask, log } = this.#options;
    const peers = raft.membership.peers.filter(({ raftId }) => raftId !== ownId && raft.isActive(raftId));
    const replies = await Promise.allSettled(peers.map((peer) => ask(peer)));
    return replies.flatMap((reply, at) => {
      const peer = peers[at];
      if (peer === undefined) return [];
      if (reply.status === 'rejected') {
        log.debug({ peer: peer.name, error: messageOf(reply.reason) }, 'a member does not tell its digests');
        return [];
      }
      // Whoever has taken over an address answers for itself.
      if (reply.value.raft_id !== peer.raftId) return [];
      return [{ id: peer.raftId, samples: reply.value.digests }];
    });
  }
}
