/**
 * The shell around the Raft core: gives it time and messages, and carries out what it wants done, in the order that
 * it asks for. Writes to disk never block it: an append is handed out, and its completion comes back as an event.
 */
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/random.ts';
import { Applier, type SnapshotBounds } from './applier.ts';
import type { RaftCore } from './core/raft-core.ts';
import type { RaftStatus } from './core/status.ts';
import type { Message, PersistRequest, RaftId, Ready, SnapshotMeta, SoftState } from './core/types.ts';
import { HungDiskWatch } from './hung-disk.ts';
import { LeadershipNews, type RaftLeadership } from './leadership.ts';
import { LogRequests } from './log-requests.ts';
import { followersOf } from './log-retention.ts';
import type { MembershipChange } from './membership-change.ts';
import { MembershipChanges } from './membership-changes.ts';
import type { Membership } from './membership.ts';
import type { LogStore, Peer, SnapshotStore, StateMachine, Transport } from './ports.ts';
import { ProposalQueue } from './proposal-queue.ts';
import { PendingProposals } from './proposals.ts';
import { ReadLease } from './read-lease.ts';
import { PendingReads } from './reads.ts';
import { SnapshotSends, type SnapshotTransfer } from './snapshot-sends.ts';

export interface RaftNodeParts {
  readonly core: RaftCore;
  readonly log: LogStore;
  readonly stateMachine: StateMachine;
  readonly snapshots: SnapshotStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Log;
  /** As of the state machine's applied index. */
  readonly membership: Membership;
  /** Nothing that is on disk would help a follower that needs a snapshot: one is taken at once. Default: false. */
  readonly lacksSnapshot?: boolean;
  /** Default: those of `limits`. */
  readonly snapshotBounds?: SnapshotBounds;
  /** Reads trust the clock (`ReadLease`); the core must be configured so, too. Default: every read asks a quorum. */
  readonly leaseReads?: boolean;
}

/** The cluster goes on without this node. */
export class MemberRemovedError extends JarvisError {
  constructor() {
    super(
      'conflict',
      'this node was removed from the cluster and takes part no more; with another data directory it can join anew (--join)',
    );
  }
}

export type { RaftLeadership } from './leadership.ts';

export class RaftNode {
  readonly #core: RaftCore;
  readonly #log: LogStore;
  readonly #logRequests = new LogRequests();
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #logger: Log;
  readonly #applier: Applier;
  readonly #proposals: PendingProposals;
  readonly #reads: PendingReads;
  readonly #sends: SnapshotSends;
  readonly #changes: MembershipChanges;
  readonly #disk: HungDiskWatch;
  readonly #news: LeadershipNews;
  readonly #queue: ProposalQueue;
  readonly #failed = Promise.withResolvers<never>();
  /** When a member was last heard of; the transport lets nobody else through. */
  readonly #heardMs = new Map<RaftId, number>();
  readonly #membershipListeners = new Set<(membership: Membership) => void>();
  /** This node itself is in the membership: one that joins becomes so with the log. */
  #isMember: boolean;
  readonly #lacksSnapshot: boolean;
  #roundScheduled = false;
  #persisting: Promise<void> = Promise.resolve();
  /** Nothing is taken in any more: `stop` was called, or it has failed. */
  #stopped = false;
  #stopping: Promise<void> | null = null;
  #cancelTick: () => void = () => {};
  #cancelStay: () => void = () => {};

  constructor(parts: RaftNodeParts) {
    this.#core = parts.core;
    this.#lacksSnapshot = parts.lacksSnapshot === true;
    this.#log = parts.log;
    this.#transport = parts.transport;
    this.#clock = parts.clock;
    this.#logger = parts.logger;
    this.#proposals = new PendingProposals(parts.clock);
    this.#queue = new ProposalQueue({ core: parts.core, proposals: this.#proposals, clock: parts.clock });
    this.#news = new LeadershipNews({
      term: () => parts.core.term,
      logger: parts.logger,
      onFailure: (error) => this.#fail(error),
    });
    this.#reads = new PendingReads(
      parts.clock,
      parts.core,
      parts.leaseReads === true
        ? new ReadLease(parts.clock, () => parts.transport.everyoneKeepsLeases?.() === true)
        : null,
    );
    this.#disk = new HungDiskWatch(parts.clock);
    this.#applier = new Applier({
      ...parts,
      followers: () =>
        followersOf(parts.core.status().progress, {
          self: parts.core.id,
          isActive: (id) => this.isActive(id),
        }),
      onGivenUp: (ids) => ids.forEach((id) => this.#sends.giveUp(id)),
      onApplied: (index, term, outcome) => this.#onApplied(index, term, outcome),
      onMembership: (membership) => this.#onMembership(membership),
      onBatch: (index) => this.#onBatch(index),
      onInstalled: (index) => this.#proposals.forget(index, 'a snapshot replaced the log'),
      onFailure: (error) => this.#fail(error),
    });
    this.#sends = new SnapshotSends({
      ...parts,
      finished: (to, ok) => this.#input(() => this.#core.reportSnapshot(to, ok)),
      onLacking: () => this.#applier.takeSnapshot(),
    });
    const { id } = parts.core.status();
    this.#isMember = parts.membership.peers.some(({ raftId }) => raftId === id);
    this.#changes = new MembershipChanges({
      core: parts.core,
      proposals: this.#proposals,
      clock: parts.clock,
      membership: () => this.membership,
      isActive: (id) => this.isActive(id),
      wasHeard: (id) => this.lastContactMs(id) !== null,
    });
    // Nobody need wait for the failure; without this an early one would count as unhandled.
    this.#failed.promise.catch(() => {});
  }

  /** Rejects when this node can take part no longer (a failed disk, or a bug); never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  get appliedIndex(): number {
    return this.#applier.appliedIndex;
  }

  /** Told after each change, and of none that a restart has found. */
  onMembership(listener: (membership: Membership) => void): () => void {
    this.#membershipListeners.add(listener);
    return () => this.#membershipListeners.delete(listener);
  }

  get membership(): Membership {
    return this.#applier.membership;
  }

  start(): void {
    this.#transport.start({
      receive: (message) => {
        this.#heardMs.set(message.from, this.#clock.monotonicMs());
        this.#input(() => this.#core.step(message));
      },
      streamReset: (raftId) => this.#input(() => this.#core.leaderStreamReset(raftId)),
      unreachable: (raftId) => this.#input(() => this.#core.reportUnreachable(raftId)),
      leads: () => this.#news.current.isLeader,
    });
    this.#transport.setPeers(this.membership.peers, this.membership.index);
    this.#tick();
    this.#input(() => {});
    if (this.#lacksSnapshot) this.#applier.takeSnapshot();
  }

  status(): RaftStatus {
    return this.#core.status();
  }

  /** False once it was stopped or has failed. */
  get isRunning(): boolean {
    return !this.#stopped;
  }

  /** Whether it was heard of within an election timeout. The core's own mark is taken back at each check of the quorum. */
  isActive(id: RaftId): boolean {
    const silentMs = this.lastContactMs(id);
    return silentMs !== null && silentMs <= limits.electionTicks * limits.tickMs;
  }

  /** Milliseconds since a message of the member came; null where none has since this start. */
  lastContactMs(id: RaftId): number | null {
    const heardMs = this.#heardMs.get(id);
    return heardMs === undefined ? null : this.#clock.monotonicMs() - heardMs;
  }

  /** Tries to send a snapshot that failed, since the start. */
  get failedSnapshotSends(): number {
    return this.#sends.failedTries;
  }

  /** The snapshot that is being sent to the member, where one is. */
  snapshotTransfer(to: RaftId): SnapshotTransfer | null {
    return this.#sends.transfer(to);
  }

  leadership(): RaftLeadership {
    return this.#news.current;
  }

  onLeadership(listener: (leadership: RaftLeadership) => void): () => void {
    return this.#news.listen(listener);
  }

  /**
   * Replicates one command; resolves with the state machine's outcome once it is applied here.
   * @throws JarvisError no_leader, too_large, too_many, outcome_unknown
   */
  async propose(data: Uint8Array): Promise<unknown> {
    if (this.#stopped) throw new JarvisError('no_leader', 'this node is stopping');
    const outcome = this.#queue.add(data);
    this.#scheduleRound();
    return await outcome;
  }

  /** Resolves with an index that is applied and at least as new as the call (ReadIndex, dissertation 6.4). */
  async readIndex(signal: AbortSignal): Promise<number> {
    if (!this.#news.current.isLeader) throw new JarvisError('no_leader', 'this node does not lead');
    const index = this.#reads.request(signal);
    this.#scheduleRound();
    return await index;
  }

  /**
   * Resolves with the term in which this node leads, once a quorum has acknowledged, in that term, a round that began
   * after the call; never by lease. What was committed before is applied here by then.
   * @throws JarvisError no_leader, too_many, timeout
   */
  async confirmLeadership(signal: AbortSignal): Promise<number> {
    const { isLeader, term } = this.#news.current;
    if (!isLeader) throw new JarvisError('no_leader', 'this node does not lead');
    const confirmed = this.#reads.request(signal, { needsQuorum: true });
    this.#scheduleRound();
    await confirmed;
    const now = this.#news.current;
    if (!now.isLeader || now.term !== term)
      throw new JarvisError('no_leader', 'leadership changed while it was confirmed');
    return term;
  }

  /**
   * One at a time; resolves once it is in force.
   * @throws JarvisError not_found, conflict, no_leader, too_many, outcome_unknown
   */
  async changeMembership(change: MembershipChange): Promise<Membership> {
    if (this.#stopped || !this.#news.current.isLeader)
      throw new JarvisError('no_leader', 'this node does not lead');
    const done = this.#changes.change(change);
    this.#scheduleRound();
    return await done;
  }

  /** What a snapshot of the state at that index says of itself; null where that is not known any more. */
  describe(index: number): { readonly meta: SnapshotMeta; readonly peers: readonly Peer[] } | null {
    const term = this.#core.termAt(index);
    const { confState, peers } = this.membership;
    return term === null || index < this.membership.index
      ? null
      : { meta: { index, term, confState }, peers };
  }

  /** Whether the member holds, or nearly, what is committed; known to a leader alone. */
  isCaughtUp(id: RaftId): boolean {
    return this.#changes.isCaughtUp(id);
  }

  /** Whether others are to lead while they can. */
  setDeferred(isDeferred: boolean): void {
    this.#input(() => this.#core.setDeferred(isDeferred));
  }

  /** The voter that could lead best, of those that the caller wants to; null where none answers. */
  heir(isWanted: (id: RaftId) => boolean = () => true): RaftId | null {
    return this.#changes.heir(isWanted);
  }

  /** @throws JarvisError no_leader */
  transferLeadership(to: RaftId): void {
    let isLeader = false;
    this.#input(() => {
      isLeader = this.#core.transferLeadership(to);
    });
    if (!isLeader)
      throw new JarvisError('no_leader', 'this node does not lead: it has no leadership to hand over');
  }

  /**
   * Stops taking part; what is being applied is finished, what is handed to the log is durable or unknown. Also after a
   * failure: only when it resolves are state and log let go.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    if (!this.#stopped) this.#halt('this node is stopping');
    await this.#applier.stop();
    await this.#log.close();
  }

  #halt(reason: string): void {
    this.#stopped = true;
    this.#cancelTick();
    this.#cancelStay();
    this.#applier.halt();
    this.#sends.stop();
    this.#proposals.forget(Number.MAX_SAFE_INTEGER, reason);
    this.#reads.fail(reason);
    this.#changes.fail(reason);
    this.#queue.fail(reason);
    this.#news.over();
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#logger.error({ error: messageOf(error) }, 'this node stops taking part');
    this.#halt(messageOf(error));
    this.#failed.reject(error instanceof Error ? error : new Error(messageOf(error)));
  }

  #tick(): void {
    this.#cancelTick = this.#clock.after(limits.tickMs, () => {
      this.#tick();
      this.#input(() => this.#core.tick());
      this.#watchDisk();
    });
  }

  #watchDisk(): void {
    const { advice, oldestMs } = this.#disk;
    if (advice === 'none' || this.#news.current.leader !== this.#core.id || this.#core.isTransferring) return;
    const heir = this.#changes.heir();
    this.#logger.error(
      { oldestMs: Math.round(oldestMs), heir },
      'the log is not written: another node is to lead',
    );
    this.#input(() => {
      if (advice === 'handOver' && heir !== null) this.#core.transferLeadership(heir);
      else this.#core.resign();
    });
  }

  /** Every event goes through here; a throw of the core is a bug, after which nothing it says may be trusted. */
  #input(event: () => void): void {
    if (this.#stopped) return;
    try {
      event();
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#scheduleRound();
  }

  /** One round for all that arrives in one turn of the event loop: their entries share an append and a frame. */
  #scheduleRound(): void {
    if (this.#roundScheduled || this.#stopped) return;
    this.#roundScheduled = true;
    setImmediate(() => {
      this.#roundScheduled = false;
      if (this.#stopped) return;
      try {
        this.#round();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #round(): void {
    this.#queue.flush();
    this.#reads.begin();
    while (!this.#stopped && this.#core.hasReady()) this.#carryOut(this.#core.ready());
    if (!this.#stopped) this.#news.look();
    for (const notice of this.#core.takeNotices()) this.#logger.warn({ notice }, 'a peer is at fault');
  }

  #carryOut(ready: Ready): void {
    if (ready.softState !== null) this.#onSoftState(ready.softState);
    // A listener may have stopped the node: what is not handed to the log must not be spoken of either.
    if (this.#stopped) return;
    for (const { context, index } of ready.readStates) this.#reads.confirmed(context, index);
    if (ready.persist !== null) this.#persist(ready.persist);
    if (ready.messages.length > 0) this.#send(ready.messages);
    if (ready.committed.length > 0) this.#applier.apply(ready.committed);
    this.#reads.applied(this.appliedIndex);
  }

  #persist(request: PersistRequest): void {
    this.#disk.handedOut();
    this.#persisting = this.#persistAfter(this.#persisting, request);
  }

  /** Completions are reported in the order of the requests, which is that of the log. */
  async #persistAfter(earlier: Promise<void>, request: PersistRequest): Promise<void> {
    try {
      // Handed to the log at once, where there is something to write.
      const forLog = this.#logRequests.next(request);
      const logged = forLog === null ? Promise.resolve() : this.#log.append(forLog);
      const { snapshot } = request;
      const complete = snapshot === null ? logged : this.#applier.install(snapshot, logged);
      await Promise.all([earlier, complete]);
      this.#input(() => this.#completed(request));
    } catch (error) {
      this.#fail(error);
    }
  }

  #completed(request: PersistRequest): void {
    this.#disk.completed();
    const { term, index, snapshot, afterDurable } = request;
    this.#core.persisted({ term, index, snapshotIndex: snapshot?.index ?? 0 });
    for (const message of afterDurable) if (message.to === message.from) this.#core.step(message);
    this.#send(afterDurable.filter((message) => message.to !== message.from));
  }

  #send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const ordinary: Message[] = [];
    for (const message of messages) {
      if (message.type === 'snap') this.#sends.begin(message);
      else ordinary.push(message);
    }
    this.#transport.send(ordinary);
  }

  #onSoftState(soft: SoftState): void {
    if (soft.role !== 'leader') this.#reads.fail('leadership was lost');
    this.#news.changed(soft);
  }

  #onApplied(index: number, term: number, outcome: unknown): void {
    this.#proposals.applied(index, term, outcome);
    this.#news.applied(term);
  }

  #onMembership(membership: Membership): void {
    const { peers, index } = membership;
    const { id } = this.#core.status();
    const isMember = peers.some(({ raftId }) => raftId === id);
    this.#logger.info({ index, members: peers.map(({ name }) => name) }, 'the membership has changed');
    this.#transport.setPeers(peers, index);
    this.#sends.keepOnly(peers);
    for (const listener of this.#membershipListeners) listener(membership);
    this.#changes.changed();
    if (this.#isMember && !isMember) this.#removed();
    this.#isMember = isMember;
  }

  /**
   * A leader may be alone in knowing that its removal is committed, and those who have not heard of it may need its vote to
   * go on. It stays until the transport tells that one of them refuses it, or for a bounded time.
   */
  #removed(): void {
    const over = (): void => this.#fail(new MemberRemovedError());
    if (this.#news.current.leader !== this.#core.id) over();
    else this.#cancelStay = this.#clock.after(limits.removedStayMs, over);
  }

  #onBatch(index: number): void {
    this.#input(() => this.#core.appliedTo(index));
    this.#reads.applied(index);
  }
}
