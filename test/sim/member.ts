/**
 * One process of a node: the production core with the production log, proposals and reads, and around them what
 * `raft/node.ts` and `raft/applier.ts` do, in virtual time instead of promises.
 */
import type { Clock } from '../../src/lib/clock.ts';
import { compactionPoint } from '../../src/raft/applier.ts';
import type { Outcome } from '../../src/model/commands.ts';
import type { ProposeResult, RaftCore } from '../../src/raft/core/raft-core.ts';
import type { ConfState, Entry, Message, PersistRequest, Ready } from '../../src/raft/core/types.ts';
import { LogRequests } from '../../src/raft/log-requests.ts';
import { PendingProposals } from '../../src/raft/proposals.ts';
import { ReadLease } from '../../src/raft/read-lease.ts';
import { PendingReads } from '../../src/raft/reads.ts';
import type { Wal } from '../../src/raft/wal/wal.ts';
import type { Disk, Start } from './disk.ts';
import { LogWorker } from './log-worker.ts';
import type { Machine } from './machine.ts';
import { Replica } from './replica.ts';
import { SchedulerWork } from './scheduler-work.ts';
import { SnapshotWork } from './snapshot-work.ts';
import { Violation } from './trace.ts';
import type { World } from './world.ts';

interface Persisting {
  readonly request: PersistRequest;
  logged: boolean;
  installed: boolean;
}

type ApplyJob =
  | { readonly type: 'apply'; readonly entries: readonly Entry[] }
  | { readonly type: 'install'; readonly persisting: Persisting };

export interface MemberParts {
  readonly world: World;
  readonly machine: Machine;
  readonly disk: Disk;
  readonly wal: Wal;
  readonly core: RaftCore;
  readonly replica: Replica;
}

/** Entries: who proposed one is told of it in the same event. */
const OUTCOMES_KEPT = 100;

export class Member {
  readonly id: number;
  readonly world: World;
  readonly machine: Machine;
  readonly disk: Disk;
  readonly core: RaftCore;
  readonly start: Start;
  readonly reads: PendingReads;
  readonly log: LogWorker;
  readonly snapshots: SnapshotWork;
  readonly scheduler: SchedulerWork;
  replica: Replica;
  /** As of the last applied entry. */
  confState: ConfState;
  /** The core's, when it was last looked at. */
  confBefore: ConfState;
  /** Term and vote with which this process began. */
  readonly recovered: { readonly term: number; readonly vote: number };
  /** While it leads. */
  ledTerm = 0;
  isAlive = true;
  isPaused = false;
  isInstalling = false;
  readonly #logRequests = new LogRequests();
  readonly #proposals: PendingProposals;
  #persisting: Persisting[] = [];
  #applying: ApplyJob[] = [];
  #isApplying = false;
  /** Of the newest commands, for who proposed them. */
  readonly #outcomes = new Map<number, Outcome>();
  #isRoundPlanned = false;
  #backlog: (() => void | Promise<void>)[] = [];

  constructor(parts: MemberParts) {
    const { world, machine, disk, core, wal, replica } = parts;
    this.id = disk.raftId;
    this.world = world;
    this.machine = machine;
    this.disk = disk;
    this.core = core;
    this.replica = replica;
    this.start = disk.starts;
    this.confState = core.confState;
    this.confBefore = core.confState;
    this.recovered = core.status();
    const clock = this.#clock();
    this.#proposals = new PendingProposals(clock);
    const lease = world.leaseReads ? new ReadLease(clock, () => true) : null;
    this.reads = new PendingReads(
      clock,
      {
        readIndex: (context) => this.#readIndex(context),
        get committedAsLeader() {
          return core.committedAsLeader;
        },
        get isTransferring() {
          return core.isTransferring;
        },
      },
      lease,
    );
    this.log = new LogWorker({
      wal,
      disk,
      chance: world.chance,
      latencyMs: () => machine.writeMs(),
      later: (delayMs, action) => this.later(delayMs, action),
      failed: () => {
        throw new Violation(`the log of node ${this.id} failed although its disk did not`);
      },
    });
    this.snapshots = new SnapshotWork(this);
    this.scheduler = new SchedulerWork(this, clock);
    this.#tick();
    this.input(() => {});
  }

  get isLeading(): boolean {
    return this.core.status().role === 'leader';
  }

  /** Runs in this process: not when it has ended, and not while it is paused. */
  later(delayMs: number, action: () => void | Promise<void>): () => void {
    return this.world.time.after(delayMs, () => {
      if (!this.isAlive) return undefined;
      if (!this.isPaused) return action();
      this.#backlog.push(action);
      return undefined;
    });
  }

  resume(): void {
    this.isPaused = false;
    for (const action of this.#backlog.splice(0)) this.later(0, action);
  }

  /** Every event goes through here; a throw of the core is a bug. */
  input(event: () => void): void {
    if (!this.isAlive) return;
    event();
    // Now and then several events share a round, as they do in one turn of the event loop.
    if (this.#isRoundPlanned) return;
    if (this.world.chance.happens(0.1)) {
      this.#isRoundPlanned = true;
      this.later(this.world.chance.between(0, 3), () => {
        this.#isRoundPlanned = false;
        this.#round();
      });
    } else this.#round();
  }

  receive(message: Message): void {
    if (message.type === 'snap') this.isInstalling = true;
    this.input(() => this.core.step(message));
  }

  propose(
    data: Uint8Array,
    told: { done: (outcome: unknown) => void; failed: (error: Error) => void },
  ): ProposeResult {
    const result = this.core.propose([data]);
    if (result.type === 'accepted') this.#proposals.add(result, told.done, told.failed);
    this.input(() => {});
    return result;
  }

  outcomeAt(index: number): Outcome {
    const outcome = this.#outcomes.get(index);
    if (outcome === undefined) throw new Violation(`what entry ${index} came to is not known`);
    return outcome;
  }

  read(): Promise<number> {
    const reading = this.reads.request(new AbortController().signal);
    this.input(() => {});
    return reading;
  }

  /** The process is gone; whoever waited for it knows nothing. */
  end(): void {
    this.isAlive = false;
    this.scheduler.stop();
    this.#proposals.forget(Number.MAX_SAFE_INTEGER, 'the process ended');
    this.reads.fail('the process ended');
  }

  /** Applies, installs and compacts in turn; called again when one of them has become possible. */
  pumpApply(): void {
    const job = this.#applying[0];
    if (this.#isApplying || job === undefined) return;
    if (job.type === 'install' && (!job.persisting.logged || this.snapshots.isTaking)) return;
    this.#isApplying = true;
    this.later(this.machine.applyMs(), async () => {
      this.#isApplying = false;
      this.#applying.shift();
      if (job.type === 'install') await this.#install(job.persisting);
      else this.#apply(job.entries);
      this.pumpApply();
    });
  }

  #clock(): Clock {
    return {
      wallMs: () => this.world.time.nowMs * this.machine.drift,
      monotonicMs: () => this.world.time.nowMs * this.machine.drift,
      after: (delayMs, callback) => this.later(delayMs * this.machine.drift, callback),
    };
  }

  #tick(): void {
    this.later(this.world.tickMs * this.machine.drift, () => {
      this.#tick();
      this.input(() => this.core.tick());
    });
  }

  #readIndex(context: string): ReturnType<RaftCore['readIndex']> {
    const result = this.core.readIndex(context);
    if (result.type === 'refused' && result.reason === 'noOwnTermCommit')
      this.world.trace.count('read refused before an own-term commit');
    return result;
  }

  #round(): void {
    this.reads.begin();
    while (this.core.hasReady()) this.#carryOut(this.core.ready());
    for (const notice of this.core.takeNotices()) this.world.noticed(this, notice);
    this.world.checks.observe(this);
    this.confBefore = this.core.confState;
  }

  #carryOut(ready: Ready): void {
    if (ready.softState !== null) {
      if (ready.softState.role !== 'leader') {
        this.reads.fail('leadership was lost');
        this.scheduler.stop();
      }
      this.world.roleChanged(this, ready.softState);
      this.scheduler.changed(ready.softState);
    }
    for (const { context, index } of ready.readStates) this.reads.confirmed(context, index);
    if (ready.persist !== null) this.#persist(ready.persist);
    this.#send(ready.messages);
    if (ready.committed.length > 0) {
      this.#applying.push({ type: 'apply', entries: ready.committed });
      this.pumpApply();
    }
    this.reads.applied(this.replica.appliedIndex);
  }

  #persist(request: PersistRequest): void {
    const { snapshot } = request;
    const forLog = this.#logRequests.next(request);
    this.world.checks.appended(this, request);
    const persisting: Persisting = { request, logged: forLog === null, installed: snapshot === null };
    this.#persisting.push(persisting);
    if (snapshot !== null) this.#applying.push({ type: 'install', persisting });
    const done = (): void => {
      persisting.logged = true;
      this.pumpApply();
      this.#completeDue();
    };
    if (forLog !== null) this.log.post({ type: 'append', ...forLog, done });
    else this.later(0.01, done);
  }

  /** Completions are reported in the order of the requests. */
  #completeDue(): void {
    for (;;) {
      const first = this.#persisting[0];
      if (first === undefined || !first.logged || !first.installed) return;
      this.#persisting.shift();
      this.input(() => this.#complete(first.request));
    }
  }

  #complete({ term, index, snapshot, afterDurable }: PersistRequest): void {
    if (term !== this.core.status().term && index > 0)
      this.world.trace.count('completion of an earlier term');
    this.core.persisted({ term, index, snapshotIndex: snapshot?.index ?? 0 });
    for (const message of afterDurable) if (message.to === message.from) this.core.step(message);
    this.#send(afterDurable.filter((message) => message.to !== message.from));
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      this.world.checks.sent(this, message);
      if (message.type === 'snap') this.snapshots.send(message);
      else this.world.send(this, message);
    }
  }

  #apply(entries: readonly Entry[]): void {
    this.input(() => {
      for (const entry of entries) {
        const applied = this.replica.apply(entry);
        if (applied !== null) this.#note(entry.index, applied.outcome);
        this.world.checks.applied(this, entry);
        if (entry.type === 'confChange') this.#configure(entry);
        this.#proposals.applied(entry.index, entry.term, entry.index);
        this.scheduler.applied(applied, entry.term);
      }
      this.core.appliedTo(this.replica.appliedIndex);
      this.reads.applied(this.replica.appliedIndex);
    });
    this.snapshots.consider();
  }

  #note(index: number, outcome: Outcome): void {
    this.#outcomes.set(index, outcome);
    this.#outcomes.delete(index - OUTCOMES_KEPT);
  }

  #configure(entry: Entry): void {
    const before = this.confState;
    this.confState = this.core.applyConfChange(entry);
    this.world.checks.configured(this, entry.index, this.confState);
    this.world.configured(this, before, this.confState);
  }

  async #install(persisting: Persisting): Promise<void> {
    const meta = persisting.request.snapshot;
    if (meta === null) throw new Violation('only a snapshot is installed');
    const file = this.disk.snapshots.find((one) => one.meta.index === meta.index);
    if (file === undefined) throw new Violation(`node ${this.id} installs a snapshot that it does not have`);
    if (meta.index < this.replica.appliedIndex)
      throw new Violation(
        `node ${this.id} installs snapshot ${meta.index} over state ${this.replica.appliedIndex}`,
      );
    this.scheduler.stop();
    this.replica = new Replica(file.image);
    this.confState = meta.confState;
    this.world.checks.installed(this, meta.index);
    this.world.trace.count('snapshot installed');
    if (this.world.network.isDisturbed) this.world.trace.count('snapshot installed while partitioned');
    const { keep } = compactionPoint(this.disk.snapshots, meta.index);
    if (!(await this.machine.io(() => this.disk.keepNewestSnapshots(keep)))) return;
    this.#proposals.forget(meta.index, 'a snapshot replaced the log');
    this.isInstalling = false;
    persisting.installed = true;
    this.#completeDue();
  }
}
