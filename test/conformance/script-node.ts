/**
 * One node of a scenario: a core with the disk and the state machine that the scripts assume. Storage is either
 * synchronous (a Ready is carried out at once) or asynchronous (two threads, each with a queue of work).
 */
import { invariant } from '../../src/lib/assert.ts';
import { isResponse } from '../../src/raft/core/messages.ts';
import { RaftCore, type RaftConfig } from '../../src/raft/core/raft-core.ts';
import type {
  ConfState,
  Entry,
  HardState,
  Message,
  PersistRequest,
  Ready,
  SnapshotMeta,
} from '../../src/raft/core/types.ts';
import {
  describedMessage,
  describeEntry,
  describeHardState,
  describeMessage,
  describeSnapshot,
  ROLE_NAMES,
  type Described,
} from './describe.ts';

/** On its way to a node: a message of a peer, or of one of its own storage threads. */
export interface Envelope {
  readonly to: number;
  readonly isLocal: boolean;
  readonly isResponse: boolean;
  readonly described: Described;
  deliver(node: ScriptNode): void;
}

interface Work {
  readonly described: Described;
  readonly responses: readonly Envelope[];
  perform(): void;
}

const NOTHING: Omit<Described, 'name' | 'from' | 'to'> = {
  term: 0,
  logTerm: 0,
  index: 0,
  reject: false,
  rejectHint: 0,
  commit: 0,
  vote: 0,
  entries: [],
  snapshot: null,
  responses: [],
};

export class ScriptNode {
  readonly id: number;
  readonly core: RaftCore;
  readonly config: RaftConfig;
  readonly appendWork: Work[] = [];
  readonly applyWork: Work[] = [];
  readonly #isAsynchronous: boolean;
  #hardState: HardState = { term: 0, vote: 0, commit: 0 };
  #logStart: number;
  #disk: Entry[] = [];
  /** The newest snapshot of the state machine: it keeps one per applied entry. */
  #snapshot: SnapshotMeta;

  constructor(config: RaftConfig, snapshot: SnapshotMeta, isAsynchronous: boolean) {
    this.id = config.id;
    this.config = config;
    this.#isAsynchronous = isAsynchronous;
    this.#snapshot = snapshot;
    this.#logStart = snapshot.index + 1;
    const hardState = { term: 0, vote: 0, commit: snapshot.index };
    this.#hardState = hardState;
    this.core = new RaftCore(config, { hardState, snapshot, entries: [], applied: snapshot.index });
  }

  get snapshot(): SnapshotMeta {
    return this.#snapshot;
  }

  /** Takes a Ready: its lines, and the messages that leave with it. */
  processReady(): { lines: readonly string[]; sent: readonly Envelope[] } {
    const ready = this.core.ready();
    const { persist } = ready;
    const isNew = persist?.hardState ?? this.#hardState;
    const mustSync =
      (persist?.entries.length ?? 0) > 0 ||
      isNew.term !== this.#hardState.term ||
      isNew.vote !== this.#hardState.vote;
    this.#hardState = isNew;
    const sent = ready.messages.map((message) => envelopeOf(message));
    const work = this.#isAsynchronous ? this.#queueWork(ready) : [];
    if (!this.#isAsynchronous) {
      sent.push(...promisesToOthers(persist).map((message) => envelopeOf(message)));
      this.#carryOut(ready);
    }
    const described = [...sent.map((envelope) => envelope.described), ...work];
    return { lines: describeReady(ready, mustSync, described), sent };
  }

  /** The work of one thread that is next; its lines, and its answers. */
  perform(thread: 'append' | 'apply'): { lines: readonly string[]; sent: readonly Envelope[] } {
    const work = (thread === 'append' ? this.appendWork : this.applyWork).shift();
    if (work === undefined) return { lines: [`no ${thread} work to perform`], sent: [] };
    work.perform();
    const responses = work.responses.flatMap(({ described }) => describeMessage(described));
    const processed = describeMessage({ ...work.described, responses: [] });
    return { lines: ['Processing:', ...processed, 'Responses:', ...responses], sent: work.responses };
  }

  rawLog(): readonly string[] {
    const last = this.#logStart + this.#disk.length - 1;
    if (this.#disk.length === 0) return [`log is empty: first index=${this.#logStart}, last index=${last}`];
    return this.#disk.map(describeEntry);
  }

  get diskEntries(): readonly Entry[] {
    return this.#disk;
  }

  compact(through: number): void {
    this.core.compact(this.#snapshot, through);
    this.#disk = this.#disk.slice(through + 1 - this.#logStart);
    this.#logStart = through + 1;
  }

  /** Everything at once, as a host with synchronous storage does it. */
  #carryOut({ persist, committed }: Ready): void {
    if (persist !== null) this.#write(persist);
    this.#apply(committed);
    if (persist !== null) {
      for (const message of persist.afterDurable) if (message.to === this.id) this.core.step(message);
      this.core.persisted({
        term: persist.term,
        index: persist.index,
        snapshotIndex: persist.snapshot?.index ?? 0,
      });
    }
    const last = committed.at(-1);
    if (last !== undefined) this.core.appliedTo(last.index);
  }

  #queueWork({ persist, committed }: Ready): readonly Described[] {
    const queued: Described[] = [];
    if (persist !== null) {
      const work = this.#appendWorkOf(persist);
      this.appendWork.push(work);
      queued.push(work.described);
    }
    if (committed.length > 0) {
      const work = this.#applyWorkOf(committed);
      this.applyWork.push(work);
      queued.push(work.described);
    }
    return queued;
  }

  #appendWorkOf(persist: PersistRequest): Work {
    const { hardState, entries, snapshot, term, index } = persist;
    const from = String(this.id);
    const responses = persist.afterDurable.map((message) => envelopeOf(message));
    if (index > 0 || snapshot !== null) {
      const logTerm = index > 0 ? (this.core.termAt(index) ?? 0) : 0;
      const name = 'MsgStorageAppendResp';
      responses.push({
        to: this.id,
        isLocal: true,
        isResponse: false,
        described: { ...NOTHING, name, from: 'AppendThread', to: from, term, logTerm, index, snapshot },
        deliver: (node) => node.core.persisted({ term, index, snapshotIndex: snapshot?.index ?? 0 }),
      });
    }
    const described: Described = {
      ...NOTHING,
      ...hardState,
      name: 'MsgStorageAppend',
      from,
      to: 'AppendThread',
      entries,
      snapshot,
      responses: responses.map((response) => response.described),
    };
    return { described, responses, perform: () => this.#write(persist) };
  }

  #applyWorkOf(entries: readonly Entry[]): Work {
    const from = String(this.id);
    const last = entries.at(-1)?.index ?? 0;
    const response: Envelope = {
      to: this.id,
      isLocal: true,
      isResponse: false,
      described: { ...NOTHING, name: 'MsgStorageApplyResp', from: 'ApplyThread', to: from, entries },
      deliver: (node) => node.core.appliedTo(last),
    };
    const described: Described = {
      ...NOTHING,
      name: 'MsgStorageApply',
      from,
      to: 'ApplyThread',
      entries,
      responses: [response.described],
    };
    return { described, responses: [response], perform: () => this.#apply(entries) };
  }

  #write({ entries, snapshot }: PersistRequest): void {
    if (snapshot !== null) {
      this.#snapshot = snapshot;
      this.#disk = [];
      this.#logStart = snapshot.index + 1;
    }
    const first = entries[0];
    if (first === undefined) return;
    const kept = first.index - this.#logStart;
    invariant(kept >= 0 && kept <= this.#disk.length, 'what is written joins the log on disk');
    this.#disk = [...this.#disk.slice(0, kept), ...entries];
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      let confState: ConfState = this.#snapshot.confState;
      if (entry.type === 'confChange') confState = this.core.applyConfChange(entry);
      this.#snapshot = { index: entry.index, term: entry.term, confState };
      // A new snapshot, and nothing is dropped for it.
      this.core.compact(this.#snapshot, 0);
    }
  }
}

export function envelopeOf(message: Message): Envelope {
  return {
    to: message.to,
    isLocal: false,
    isResponse: isResponse(message.type),
    described: describedMessage(message),
    deliver: (node) => node.core.step(message),
  };
}

function promisesToOthers(persist: PersistRequest | null): readonly Message[] {
  return persist?.afterDurable.filter((message) => message.to !== message.from) ?? [];
}

function describeReady(ready: Ready, mustSync: boolean, messages: readonly Described[]): readonly string[] {
  const { softState, persist, committed, readStates } = ready;
  const lines: string[] = [];
  if (softState !== null) lines.push(`Lead:${softState.leader} State:${ROLE_NAMES[softState.role]}`);
  if (persist !== null && persist.hardState !== null) lines.push(describeHardState(persist.hardState));
  if (readStates.length > 0) {
    lines.push(`ReadStates ${readStates.map(({ context, index }) => `${index} ${context}`).join(' ')}`);
  }
  const entries = persist?.entries ?? [];
  if (entries.length > 0) lines.push('Entries:', ...entries.map(describeEntry));
  const snapshot = persist?.snapshot ?? null;
  if (snapshot !== null) lines.push(`Snapshot ${describeSnapshot(snapshot)}`);
  if (committed.length > 0) lines.push('CommittedEntries:', ...committed.map(describeEntry));
  if (messages.length > 0) {
    lines.push('Messages:', ...messages.flatMap((message) => describeMessage(message)));
  }
  return lines.length === 0 ? ['<empty Ready>'] : [`Ready MustSync=${mustSync}:`, ...lines];
}
