/**
 * What a node without a copy knows of its cluster (docs/adr/0013): it asks the leader, as it did to be let in, again and again.
 * The answer says who leads, who the nodes are, and what this one is: without a copy, a member from now on, or removed.
 */
import type { ClusterView, JoinReply, JoinRequest } from '../../generated/raft.ts';
import { Backoff } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/random.ts';
import { RepeatedLines } from '../../lib/repeated-lines.ts';
import type { ClusterRecord } from '../../raft/data-directory.ts';
import { peerFromWire } from '../../raft/form-cluster.ts';
import { askLeader, placeOf, type AskToJoin } from '../../raft/join-cluster.ts';
import type { Peer } from '../../raft/ports.ts';
import type { Leadership } from '../../scheduler/ports.ts';
import { COPYLESS_LIMITS } from './limits.ts';

export interface ClusterWatchOptions {
  /** `view_digest` is filled in. */
  readonly request: Omit<JoinRequest, 'view_digest'>;
  /** As last known. */
  readonly members: readonly Peer[];
  /** Where else somebody may be found. */
  readonly addresses: readonly string[];
  readonly ask: AskToJoin;
  /** It is a member now, with that Raft id. */
  readonly onMember: (record: ClusterRecord) => void;
  /** It is not wanted any more. */
  readonly onRemoved: (reason: string) => void;
  /** Also who is a node may be new. */
  readonly onView: (view: ClusterView) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

type LeadershipListener = (leadership: Leadership) => void;

export class ClusterWatch {
  readonly #options: ClusterWatchOptions;
  readonly #retry: Backoff;
  readonly #lines: RepeatedLines;
  readonly #listeners = new Set<LeadershipListener>();
  #members: readonly Peer[];
  /** Which of all is asked next, after the leader: not each node begins with the same member. */
  #turn: number;
  #view: ClusterView | null = null;
  #leader: Leadership['leader'] = null;
  #cancelTimer: () => void = () => {};
  #isAsking = false;
  /** The next question is to come as soon as may be: it was asked for since the last one began. */
  #isHurried = false;
  #isClosed = false;

  constructor(options: ClusterWatchOptions) {
    this.#options = options;
    this.#members = options.members;
    this.#turn = Math.floor(options.random() * options.members.length);
    const { retryMinMs: minMs, askMs: maxMs } = COPYLESS_LIMITS;
    this.#retry = new Backoff({ minMs, maxMs, random: options.random });
    this.#lines = new RepeatedLines({
      clock: options.clock,
      intervalMs: limits.repeatedLineMs,
      kindsKept: limits.repeatedLineKinds,
    });
  }

  get nodeName(): string {
    return this.#options.request.name;
  }

  /** Null before the first answer. */
  get view(): ClusterView | null {
    return this.#view;
  }

  /** As last heard. */
  members(): readonly Peer[] {
    return this.#members;
  }

  /** The term is not known: 0. */
  leadership(): Leadership {
    return { isLeader: false, term: 0, leader: this.#leader };
  }

  onLeadership(listener: LeadershipListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  start(): void {
    void this.#ask();
  }

  /** What is known may be over: asks as soon as may be. Said again it puts nothing off, however many calls say so. */
  hurry(): void {
    if (this.#isHurried) return;
    this.#isHurried = true;
    if (!this.#isAsking) this.#askIn(COPYLESS_LIMITS.hurryMs + this.#spreadMs());
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
  }

  #askIn(delayMs: number): void {
    this.#cancelTimer();
    if (!this.#isClosed) this.#cancelTimer = this.#options.clock.after(delayMs, () => void this.#ask());
  }

  /** Among thousands, so that whoever may know is not asked by all of them at once. */
  #spreadMs(): number {
    const nodes = this.#view?.nodes_without_copy.length ?? 0;
    return Math.floor(this.#options.random() * nodes * COPYLESS_LIMITS.spreadPerNodeMs);
  }

  /** Never throws: what fails is tried again. */
  async #ask(): Promise<void> {
    this.#isAsking = true;
    this.#isHurried = false;
    const isAnswered = await this.#round();
    this.#isAsking = false;
    if (isAnswered) this.#retry.reset();
    const spread = 0.75 + this.#options.random() / 2;
    const delayMs = isAnswered ? COPYLESS_LIMITS.askMs * spread : this.#retry.next() + this.#spreadMs();
    this.#askIn(this.#isHurried ? Math.min(delayMs, COPYLESS_LIMITS.hurryMs + this.#spreadMs()) : delayMs);
  }

  /** One after the other, until one leads. */
  async #round(): Promise<boolean> {
    const { request, ask, log } = this.#options;
    const asked = { ...request, view_digest: this.#view?.digest ?? '' };
    let told = '';
    for (const address of this.#addresses()) {
      try {
        const { reply, address: leader } = await askLeader({ request: asked, ask }, address);
        if (!this.#isClosed) this.#take(reply, leader);
        return true;
      } catch (error) {
        if (this.#isClosed) return false;
        if (error instanceof JarvisError && error.code === 'forbidden') {
          this.#options.onRemoved(error.message);
          return true;
        }
        told = messageOf(error);
      }
    }
    this.#lead(null);
    this.#turn += COPYLESS_LIMITS.askedAtOnce;
    this.#lines.write(told, (heldBack) => log.warn({ error: told, heldBack }, 'nobody answers who leads'));
    return false;
  }

  /** The likeliest first; then some, and with each round that nobody answers others. */
  #addresses(): readonly string[] {
    const known = [...new Set([...this.#members.map(({ address }) => address), ...this.#options.addresses])];
    const at = this.#turn % Math.max(1, known.length);
    const inTurn = [...known.slice(at), ...known.slice(0, at)].slice(0, COPYLESS_LIMITS.askedAtOnce);
    return [...new Set([...(this.#leader === null ? [] : [this.#leader.address]), ...inTurn])];
  }

  #take(reply: JoinReply, address: string): void {
    const { onMember, onView } = this.#options;
    const isUnchanged = reply.raft_id === 0 && reply.view === undefined && this.#view !== null;
    if (!isUnchanged) {
      const { record, view } = placeOf(reply);
      if (view === null) return onMember(record);
      this.#view = view;
      this.#members = view.members.map(peerFromWire);
      onView(view);
    }
    const name = this.#members.find((member) => member.address === address)?.name;
    // Under an address that the cluster does not know it by: it is found again when it is asked next.
    this.#lead(name === undefined ? null : { name, address });
  }

  #lead(leader: Leadership['leader']): void {
    const before = this.#leader;
    if (before?.name === leader?.name && before?.address === leader?.address) return;
    this.#leader = leader;
    for (const listener of this.#listeners) listener(this.leadership());
  }
}
