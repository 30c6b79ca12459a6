/**
 * A few cores on a simulated network and disks: every choice comes from one seed. Messages are lost, delayed and
 * reordered; writes complete late and in order; a crash loses what was not durable. Safety is checked at every step.
 */
import { invariant } from '../../lib/assert.ts';
import { seededRandom, type Random } from '../../lib/random.ts';
import { RaftCore } from './raft-core.ts';
import type { RaftConfig, RecoveredState } from './config.ts';
import type { ConfState, Entry, HardState, Message, PersistRequest, RaftId } from './types.ts';

interface Disk {
  hardState: HardState;
  entries: Entry[];
}

interface SimulatedNode {
  core: RaftCore;
  readonly disk: Disk;
  /** Handed out and not durable yet, oldest first. */
  writing: PersistRequest[];
  applying: Entry[];
  up: boolean;
  /** What the state machine has seen; survives as far as it was applied before a crash. */
  applied: Entry[];
}

export interface Faults {
  /** Chance that a message is lost, that a step crashes a node, that a step cuts or heals a link. */
  readonly loss: number;
  readonly crash: number;
  readonly cut: number;
}

export class SimulatedNetwork {
  readonly random: Random;
  readonly nodes = new Map<RaftId, SimulatedNode>();
  /** By term: nobody else may lead it (election safety). */
  readonly leaders = new Map<number, RaftId>();
  /** What was committed at each index, by anybody, ever (state machine safety). */
  readonly committed = new Map<number, string>();
  readonly confirmedReads: { readonly index: number; readonly atLeast: number }[] = [];
  #inTransit: Message[] = [];
  readonly #cuts = new Set<string>();
  readonly #confState: ConfState;
  readonly #readFloor = new Map<string, number>();
  #proposals = 0;

  constructor(seed: number, size: number) {
    this.random = seededRandom(seed);
    const voters = Array.from({ length: size }, (_, at) => at + 1);
    this.#confState = { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    for (const id of voters) {
      const disk: Disk = { hardState: { term: 0, vote: 0, commit: 0 }, entries: [] };
      this.nodes.set(id, {
        core: this.#start(id, disk, []),
        disk,
        writing: [],
        applying: [],
        up: true,
        applied: [],
      });
    }
  }

  /** One random event, then every safety property. */
  step(faults: Faults): void {
    const { random } = this;
    if (random() < faults.crash) this.#toggle();
    if (random() < faults.cut) this.#toggleLink();
    const choice = random();
    if (choice < 0.25) this.#someNode()?.core.tick();
    else if (choice < 0.75) this.#deliver(faults.loss);
    else if (choice < 0.9) this.#finishWrite();
    else if (choice < 0.95) this.propose();
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

  settle(): void {
    for (let turn = 0; turn < 10_000; turn += 1) {
      for (const [id, node] of this.nodes) if (node.up) this.#drain(id, node);
      const writing = [...this.nodes.values()].some((node) => node.up && node.writing.length > 0);
      if (this.#inTransit.length === 0 && !writing) return;
      for (const [id, node] of this.nodes)
        while (node.up && node.writing.length > 0) this.#complete(id, node);
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
    return leader.core.propose([Buffer.from(`command ${this.#proposals}`)]).type === 'accepted';
  }

  /** A read that is asked for now must see all that anybody has committed by now. */
  read(): void {
    const node = this.#someNode();
    if (node === undefined) return;
    const context = `read ${this.#readFloor.size}`;
    this.#readFloor.set(context, Math.max(0, ...this.committed.keys()));
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

  isolate(id: RaftId): void {
    for (const other of this.nodes.keys()) {
      this.#cuts.add(`${id}>${other}`);
      this.#cuts.add(`${other}>${id}`);
    }
  }

  reconnect(): void {
    this.#cuts.clear();
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
    };
  }

  #start(id: RaftId, disk: Disk, applied: readonly Entry[]): RaftCore {
    const recovered: RecoveredState = {
      hardState: { ...disk.hardState, commit: Math.max(disk.hardState.commit, applied.length) },
      snapshot: { index: 0, term: 0, confState: this.#confState },
      entries: disk.entries,
      applied: applied.length,
    };
    return new RaftCore(this.#config(id), recovered);
  }

  #restart(id: RaftId, node: SimulatedNode): void {
    node.up = true;
    node.core = this.#start(id, node.disk, node.applied);
  }

  #toggle(): void {
    const ids = [...this.nodes.keys()];
    const id = ids[Math.floor(this.random() * ids.length)] ?? 1;
    if (this.nodes.get(id)?.up === true) this.crash(id);
    else this.restart(id);
  }

  #toggleLink(): void {
    const ids = [...this.nodes.keys()];
    const from = ids[Math.floor(this.random() * ids.length)];
    const link = `${from}>${ids[Math.floor(this.random() * ids.length)]}`;
    if (!this.#cuts.delete(link)) this.#cuts.add(link);
  }

  #someNode(): SimulatedNode | undefined {
    const up = [...this.nodes.values()].filter((node) => node.up);
    return up[Math.floor(this.random() * up.length)];
  }

  #deliver(loss: number): void {
    const at = Math.floor(this.random() * this.#inTransit.length);
    const [message] = this.#inTransit.splice(at, 1);
    if (message === undefined || this.random() < loss) return;
    this.#receive(message);
  }

  #receive(message: Message): void {
    const node = this.nodes.get(message.to);
    if (node?.up === true && !this.#cuts.has(`${message.from}>${message.to}`)) node.core.step(message);
  }

  #finishWrite(): void {
    const busy = [...this.nodes].filter(([, node]) => node.up && node.writing.length > 0);
    const [id, node] = busy[Math.floor(this.random() * busy.length)] ?? [];
    if (id !== undefined && node !== undefined) this.#complete(id, node);
  }

  #complete(id: RaftId, node: SimulatedNode): void {
    const request = node.writing.shift();
    if (request === undefined) return;
    const first = request.entries[0];
    if (first !== undefined)
      node.disk.entries = [...node.disk.entries.slice(0, first.index - 1), ...request.entries];
    if (request.hardState !== null && request.mustSync) node.disk.hardState = request.hardState;
    node.core.persisted({ term: request.term, index: request.index, snapshotIndex: 0 });
    for (const message of request.afterDurable) {
      if (message.to === id) node.core.step(message);
      else this.#inTransit.push(message);
    }
  }

  #drain(id: RaftId, node: SimulatedNode): void {
    while (node.core.hasReady()) {
      const ready = node.core.ready();
      if (ready.persist !== null) node.writing.push(ready.persist);
      this.#inTransit.push(...ready.messages);
      for (const entry of ready.committed) this.#apply(node, entry);
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

  #apply(node: SimulatedNode, entry: Entry): void {
    const text = `${entry.term}:${Buffer.from(entry.data).toString()}`;
    const known = this.committed.get(entry.index) ?? text;
    invariant(known === text, `index ${entry.index} is committed as ${known} and as ${text}`);
    this.committed.set(entry.index, text);
    invariant(entry.index === node.applied.length + 1, 'entries are applied in order, each once');
    const durable = node.disk.entries[entry.index - 1];
    invariant(durable?.term === entry.term, 'only what is durable here is applied');
    node.applied.push(entry);
    node.core.appliedTo(entry.index);
  }
}
