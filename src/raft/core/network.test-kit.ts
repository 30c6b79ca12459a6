/**
 * A few cores on a simulated network and disks: every choice comes from one seed. Messages are lost, delayed and
 * reordered; writes complete late and in order; entries are applied late; a crash loses what was not durable; logs are
 * compacted and members come and go. Safety is checked at every step (Raft paper, figure 3).
 */
import { invariant } from '../../lib/assert.ts';
import { seededRandom, type Random } from '../../lib/random.ts';
import type { ConfChange, SingleChange } from './confchange.ts';
import { RaftCore, type RaftConfig, type RecoveredState } from './raft-core.ts';
import type { ConfState, Entry, HardState, Message, PersistRequest, RaftId, SnapshotMeta } from './types.ts';

interface Disk {
  hardState: HardState;
  snapshot: SnapshotMeta;
  /** From `snapshot.index + 1` on. */
  entries: Entry[];
}

interface SimulatedNode {
  core: RaftCore;
  readonly disk: Disk;
  /** Handed out and not durable yet, oldest first. */
  writing: PersistRequest[];
  /** Handed out and not applied yet. */
  applying: Entry[];
  up: boolean;
  /** What the state machine has seen, from index 1 on; a checkpoint, so it survives a crash. */
  applied: Entry[];
  /** As of the last applied entry. */
  confState: ConfState;
}

/** Chances, per step. */
export interface Faults {
  /** That a message is lost. */
  readonly loss: number;
  /** That a step crashes or restarts a node. */
  readonly crash: number;
  /** That a step cuts or heals a link. */
  readonly cut: number;
  /** That a step compacts the log of a node. */
  readonly compaction?: number;
  /** That a step proposes a change of membership. */
  readonly membership?: number;
  /** That a step resets a stream, reports a peer unreachable, or orders a transfer. */
  readonly nuisance?: number;
}

const NO_ENTRIES: readonly Entry[] = [];

export class SimulatedNetwork {
  readonly random: Random;
  readonly nodes = new Map<RaftId, SimulatedNode>();
  /** By term: nobody else may lead it (election safety). */
  readonly leaders = new Map<number, RaftId>();
  /** What was committed at each index, by anybody, ever (state machine safety). */
  readonly committed = new Map<number, Entry>();
  /** The configuration after each change that was applied by anybody. */
  readonly #configurations = new Map<number, string>();
  readonly confirmedReads: { readonly index: number; readonly atLeast: number }[] = [];
  #inTransit: Message[] = [];
  readonly #cuts = new Set<string>();
  readonly #founding: ConfState;
  readonly #readFloor = new Map<string, number>();
  readonly #options: Partial<RaftConfig>;
  #proposals = 0;
  #reads = 0;

  /** @param spares nodes that are up, and in no configuration at first */
  constructor(seed: number, size: number, spares = 0, options: Partial<RaftConfig> = {}) {
    this.random = seededRandom(seed);
    this.#options = options;
    const voters = Array.from({ length: size }, (_, at) => at + 1);
    this.#founding = { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    for (let id = 1; id <= size + spares; id += 1) {
      const disk: Disk = {
        hardState: { term: 0, vote: 0, commit: 0 },
        snapshot: { index: 0, term: 0, confState: this.#founding },
        entries: [],
      };
      this.nodes.set(id, {
        core: this.#start(id, disk, 0),
        disk,
        writing: [],
        applying: [],
        up: true,
        applied: [],
        confState: this.#founding,
      });
    }
  }

  /** One random event, then every safety property. */
  step(faults: Faults): void {
    const { random } = this;
    if (random() < faults.crash) this.#toggle();
    if (random() < faults.cut) this.#toggleLink();
    if (random() < (faults.compaction ?? 0)) this.#compactSome();
    if (random() < (faults.membership ?? 0)) this.#proposeSomeChange();
    if (random() < (faults.nuisance ?? 0)) this.#annoySome();
    const choice = random();
    if (choice < 0.22) this.#someNode()?.core.tick();
    else if (choice < 0.7) this.#deliver(faults.loss);
    else if (choice < 0.82) this.#finishWrite();
    else if (choice < 0.92) this.#applySome();
    else if (choice < 0.96) this.propose();
    else this.read();
    for (const [id, node] of this.nodes) if (node.up) this.#drain(id, node);
  }

  /** Everything up and connected, until nothing is left to do; in rounds of one tick. */
  heal(rounds: number): void {
    this.#cuts.clear();
    for (const [id, node] of this.nodes) if (!node.up) this.#restart(id, node);
    for (let round = 0; round < rounds; round += 1) {
      for (const node of this.nodes.values()) node.core.tick();
      this.settle();
    }
  }

  /** Delivers, writes and applies everything there is; time stands still. */
  settle(): void {
    for (let turn = 0; turn < 10_000; turn += 1) {
      let isIdle = this.#inTransit.length === 0;
      for (const [id, node] of this.nodes) {
        if (!node.up) continue;
        this.#drain(id, node);
        while (node.writing.length > 0 || node.applying.length > 0) {
          isIdle = false;
          this.#complete(id, node);
          this.#apply(node, node.applying.length);
          this.#drain(id, node);
        }
      }
      if (isIdle && this.#inTransit.length === 0) return;
      const messages = this.#inTransit;
      this.#inTransit = [];
      for (const message of messages) this.#receive(message);
    }
    throw new Error('the network never comes to rest');
  }

  propose(): boolean {
    const leader = this.leader();
    if (leader === undefined) return false;
    this.#proposals += 1;
    const data = new TextEncoder().encode(`command ${this.#proposals}`);
    return leader.core.propose([data]).type === 'accepted';
  }

  proposeConfChange(transition: ConfChange['transition'], changes: readonly SingleChange[]): boolean {
    const change: ConfChange = { transition, changes, context: new Uint8Array() };
    return this.leader()?.core.proposeConfChange(change).type === 'accepted';
  }

  /** A read that is asked for now must see all that anybody has committed by now. */
  read(): void {
    const node = this.#someNode();
    if (node === undefined) return;
    this.#reads += 1;
    const context = `read ${this.#reads}`;
    this.#readFloor.set(context, this.committed.size);
    node.core.readIndex(context);
  }

  leader(): SimulatedNode | undefined {
    const leading = [...this.nodes.values()].filter(
      (node) => node.up && node.core.status().role === 'leader',
    );
    return leading.sort((a, b) => b.core.status().term - a.core.status().term)[0];
  }

  crash(id: RaftId): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    node.up = false;
    node.writing = [];
    node.applying = [];
  }

  restart(id: RaftId): void {
    const node = this.nodes.get(id);
    if (node !== undefined && !node.up) this.#restart(id, node);
  }

  /** The node comes back with less than it acknowledged: its disk forgot. */
  loseLogAfter(id: RaftId, index: number): void {
    this.crash(id);
    const node = this.nodes.get(id);
    if (node === undefined) return;
    const { disk } = node;
    disk.entries = disk.entries.filter((entry) => entry.index <= index);
    disk.hardState = { ...disk.hardState, commit: Math.min(disk.hardState.commit, index) };
    node.applied = node.applied.slice(0, index);
    this.restart(id);
  }

  isolate(id: RaftId): void {
    for (const other of this.nodes.keys()) {
      this.#cuts.add(`${id}>${other}`);
      this.#cuts.add(`${other}>${id}`);
    }
  }

  reconnect(): void {
    this.#cuts.clear();
  }

  /** Takes a snapshot of what is applied, and drops the log below it, but for `kept` entries. */
  compact(id: RaftId, kept = 0): void {
    const node = this.nodes.get(id);
    const last = node?.applied.at(-1);
    if (node === undefined || last === undefined || last.index <= node.disk.snapshot.index) return;
    const meta: SnapshotMeta = { index: last.index, term: last.term, confState: node.confState };
    node.core.compact(meta, Math.max(0, meta.index - kept));
    // What is still being written will be appended after this.
    node.disk.entries = node.disk.entries.filter((entry) => entry.index > meta.index);
    node.disk.snapshot = meta;
  }

  #config(id: RaftId): RaftConfig {
    return {
      id,
      electionTicks: 10,
      heartbeatTicks: 2,
      random: this.random,
      maxInflightMessages: 4,
      maxInflightBytes: 1000,
      maxMessageBytes: 60,
      maxUncommittedBytes: 10_000,
      maxCommittedBytesPerReady: 100,
      preVote: true,
      checkQuorum: true,
      stepDownOnRemoval: true,
      ...this.#options,
    };
  }

  #start(id: RaftId, disk: Disk, applied: number): RaftCore {
    const { hardState, snapshot, entries } = disk;
    const recovered: RecoveredState = { hardState, snapshot, entries, applied };
    return new RaftCore(this.#config(id), recovered);
  }

  #restart(id: RaftId, node: SimulatedNode): void {
    node.up = true;
    node.core = this.#start(id, node.disk, node.applied.length);
    node.confState = node.core.confState;
  }

  #toggle(): void {
    const id = this.#someId();
    if (this.nodes.get(id)?.up === true) this.crash(id);
    else this.restart(id);
  }

  #toggleLink(): void {
    const link = `${this.#someId()}>${this.#someId()}`;
    if (!this.#cuts.delete(link)) this.#cuts.add(link);
  }

  #compactSome(): void {
    const id = this.#someId();
    if (this.nodes.get(id)?.up === true) this.compact(id, Math.floor(this.random() * 5));
  }

  #proposeSomeChange(): void {
    const { random } = this;
    const types = ['addVoter', 'addVoter', 'addLearner', 'remove'] as const;
    const changes = Array.from({ length: Math.floor(random() * 4) }, (): SingleChange => {
      const type = types[Math.floor(random() * types.length)] ?? 'addVoter';
      return { type, id: this.#someId() };
    });
    const transitions = ['auto', 'auto', 'implicit', 'explicit'] as const;
    const transition = transitions[Math.floor(random() * transitions.length)] ?? 'auto';
    const isEmpty = changes.length === 0;
    // An explicit change is left by an empty one.
    this.proposeConfChange(isEmpty ? 'auto' : transition, changes);
  }

  #annoySome(): void {
    const node = this.#someNode();
    const other = this.#someId();
    const choice = this.random();
    if (choice < 0.4) node?.core.leaderStreamReset(node.core.status().leader);
    else if (choice < 0.7) node?.core.reportUnreachable(other);
    else if (choice < 0.9) node?.core.transferLeadership(other);
    else node?.core.campaign();
  }

  #someId(): RaftId {
    return 1 + Math.floor(this.random() * this.nodes.size);
  }

  #someNode(): SimulatedNode | undefined {
    const up = [...this.nodes.values()].filter((node) => node.up);
    return up[Math.floor(this.random() * up.length)];
  }

  #deliver(loss: number): void {
    const at = Math.floor(this.random() * this.#inTransit.length);
    const [message] = this.#inTransit.splice(at, 1);
    if (message === undefined) return;
    if (this.random() < loss) this.#lose(message);
    else this.#receive(message);
  }

  #lose(message: Message): void {
    // The rows of a snapshot travel in a stream of their own, whose sender learns of its end.
    const sender = this.nodes.get(message.from);
    if (message.type === 'snap' && sender?.up === true) sender.core.reportSnapshot(message.to, false);
  }

  #receive(message: Message): void {
    const node = this.nodes.get(message.to);
    if (node?.up !== true || this.#cuts.has(`${message.from}>${message.to}`)) {
      this.#lose(message);
      return;
    }
    node.core.step(message);
    const sender = this.nodes.get(message.from);
    if (message.type === 'snap' && sender?.up === true) sender.core.reportSnapshot(message.to, true);
  }

  #finishWrite(): void {
    const busy = [...this.nodes].filter(([, node]) => node.up && node.writing.length > 0);
    const [id, node] = busy[Math.floor(this.random() * busy.length)] ?? [];
    if (id !== undefined && node !== undefined) this.#complete(id, node);
  }

  #applySome(): void {
    const node = this.#someNode();
    if (node !== undefined) this.#apply(node, 1 + Math.floor(this.random() * 3));
  }

  #complete(id: RaftId, node: SimulatedNode): void {
    const request = node.writing.shift();
    if (request === undefined) return;
    const { disk } = node;
    const { snapshot, entries } = request;
    if (snapshot !== null) this.#install(node, snapshot);
    const first = entries[0];
    if (first !== undefined) {
      const kept = disk.entries.filter((entry) => entry.index < first.index);
      disk.entries = [...kept, ...entries.filter((entry) => entry.index > disk.snapshot.index)];
    }
    if (request.hardState !== null && request.mustSync) disk.hardState = request.hardState;
    node.core.persisted({ term: request.term, index: request.index, snapshotIndex: snapshot?.index ?? 0 });
    for (const message of request.afterDurable) {
      if (message.to === id) node.core.step(message);
      else this.#inTransit.push(message);
    }
  }

  #install(node: SimulatedNode, snapshot: SnapshotMeta): void {
    node.disk.snapshot = snapshot;
    node.disk.entries = [];
    // What was being applied is part of it.
    node.applying = [];
    node.applied = Array.from({ length: snapshot.index }, (_, at) => {
      const entry = this.committed.get(at + 1);
      invariant(entry !== undefined, 'a snapshot holds only what was committed');
      return entry;
    });
    node.confState = snapshot.confState;
  }

  #drain(id: RaftId, node: SimulatedNode): void {
    while (node.core.hasReady()) {
      const ready = node.core.ready();
      if (ready.persist !== null) node.writing.push(ready.persist);
      this.#inTransit.push(...ready.messages);
      node.applying.push(...ready.committed);
      for (const entry of ready.committed) this.#noteCommitted(node, entry);
      for (const { context, index } of ready.readStates) {
        this.confirmedReads.push({ index, atLeast: this.#readFloor.get(context) ?? 0 });
      }
    }
    const { role, term } = node.core.status();
    if (role !== 'leader') return;
    const known = this.leaders.get(term) ?? id;
    invariant(known === id, `two leaders in term ${term}: ${known} and ${id}`);
    this.leaders.set(term, id);
  }

  #noteCommitted(node: SimulatedNode, entry: Entry): void {
    const known = this.committed.get(entry.index) ?? entry;
    invariant(isSame(known, entry), `two entries are committed at index ${entry.index}`);
    this.committed.set(entry.index, entry);
    const durable = node.disk.entries.find(({ index }) => index === entry.index);
    invariant(durable?.term === entry.term, 'only what is durable here is handed out to be applied');
  }

  #apply(node: SimulatedNode, count: number): void {
    const entries = node.up ? node.applying.splice(0, count) : NO_ENTRIES;
    for (const entry of entries) {
      invariant(entry.index === node.applied.length + 1, 'entries are applied in order, each once');
      node.applied.push(entry);
      if (entry.type === 'confChange') this.#applyChange(node, entry);
      node.core.appliedTo(entry.index);
    }
  }

  #applyChange(node: SimulatedNode, entry: Entry): void {
    node.confState = node.core.applyConfChange(entry);
    const text = JSON.stringify(node.confState);
    const known = this.#configurations.get(entry.index) ?? text;
    invariant(known === text, `two configurations after index ${entry.index}: ${known} and ${text}`);
    this.#configurations.set(entry.index, text);
  }
}

function isSame(one: Entry, other: Entry): boolean {
  return (
    one.term === other.term &&
    one.type === other.type &&
    one.data.length === other.data.length &&
    one.data.every((byte, at) => byte === other.data[at])
  );
}
