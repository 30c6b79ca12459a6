/**
 * What the Raft node needs from the outside; implementations stand beside their subjects (wal/, snapshots/,
 * transport/, src/store). Payloads are opaque bytes here.
 */
import type { Entry, HardState, Message, RaftId, SnapshotMeta } from './core/types.ts';

/**
 * What the log begins behind, and who was a member then: the core needs ids alone, and the names and addresses of the
 * others must not hang on snapshot files, which may be lost.
 */
export interface LogBase extends SnapshotMeta {
  /** Absent from the moment a received snapshot is recorded until it is installed, and in logs of older versions. */
  readonly peers?: readonly Peer[];
}

/** The write-ahead log. After one failed write every later call rejects with the same error. */
export interface LogStore {
  /** Resolves when durable, in the order of the calls. `entries[0].index` at or below the last index truncates. */
  append(request: {
    readonly hardState: HardState | null;
    readonly entries: readonly Entry[];
    readonly snapshot: SnapshotMeta | null;
  }): Promise<void>;
  /** A durable snapshot file covers the log up to `base.index`: what lies wholly below may go. */
  compact(base: LogBase): Promise<void>;
  close(): Promise<void>;
}

export interface Row {
  readonly key: string;
  readonly value: Uint8Array;
}

/** All rows of one applied index, and what proves that they are complete. */
export interface RowStream {
  readonly index: number;
  readonly rowCount: number;
  /** Hex digest of the rows, independent of their order. */
  readonly digest: string;
  readonly rows: AsyncIterable<Row>;
  close(): Promise<void>;
}

/** The replicated state. Only `apply` and `install` change it. */
export interface StateMachine {
  /** Index of the newest entry that the state contains. */
  readonly appliedIndex: number;
  /** The same, as of the newest durable checkpoint. */
  readonly checkpointIndex: number;
  /** Applies committed commands in order (entries of type normal with data); resolves with one outcome per entry. */
  apply(entries: readonly Entry[]): Promise<readonly unknown[]>;
  /** An entry that is not for the state machine has been passed: empty, or a configuration change. */
  noteApplied(index: number, term: number): void;
  /** Writes a durable checkpoint of the state at its applied index; resolves with that index. */
  checkpoint(): Promise<number>;
  /** The rows as of the newest checkpoint, unmoved by later ones, until closed. */
  rows(): Promise<RowStream>;
  /** Replaces the whole state; the old one stays whole until the new one is complete and durable. */
  install(meta: SnapshotMeta, stream: AsyncIterable<Row>): Promise<void>;
  close(): Promise<void>;
}

/** A member of the cluster as the transport knows it. */
export interface Peer {
  readonly raftId: RaftId;
  readonly name: string;
  readonly incarnation: string;
  readonly address: string;
}

export interface TransportEvents {
  receive(message: Message): void;
  /** A stream to or from the peer was reset, as opposed to silent: its process is gone or restarting. */
  streamReset(raftId: RaftId): void;
  /** Messages to the peer were dropped: it cannot be reached at present. */
  unreachable(raftId: RaftId): void;
  /** Whether this node leads, so that what it says of the membership holds. Absent: it does not. */
  leads?(): boolean;
}

/** Moves messages between members. Bounded: what cannot be sent is dropped and reported, never queued for ever. */
export interface Transport {
  start(events: TransportEvents): void;
  /** @param index of the membership that they come from: members beyond it may exist, and be unknown here */
  setPeers(peers: readonly Peer[], index: number): void;
  send(messages: readonly Message[]): void;
  /**
   * Streams the newest snapshot file to the receiver of the `snap` message; resolves once it is installed there.
   * `onProgress` is told what the receiver has taken so far, of how much.
   */
  sendSnapshot(
    message: Message,
    file: string,
    signal: AbortSignal,
    onProgress?: (takenBytes: number, totalBytes: number) => void,
  ): Promise<void>;
  /** Absent: nobody does. */
  everyoneKeepsLeases?(): boolean;
  close(): Promise<void>;
}

/** One complete, verified snapshot on disk. */
export interface SnapshotFile {
  readonly path: string;
  readonly meta: SnapshotMeta;
  /** The members with their addresses as of `meta.index`. */
  readonly peers: readonly Peer[];
}

/** The node's snapshot files, newest first; a half-written one never counts. */
export interface SnapshotStore {
  list(): Promise<readonly SnapshotFile[]>;
  /**
   * Writes a file of the rows; durable and listed when it resolves. Rejects where count or digest disagree, and with the
   * signal's reason once it is aborted.
   */
  write(
    meta: SnapshotMeta,
    peers: readonly Peer[],
    stream: RowStream,
    signal?: AbortSignal,
  ): Promise<SnapshotFile>;
  /** Verifies while it reads: the iteration throws on damage. */
  rows(file: SnapshotFile): AsyncIterable<Row>;
  /** Reads all of the file, and deletes it where it is damaged. @returns whether it is gone */
  discardIfDamaged(file: SnapshotFile): Promise<boolean>;
  /** Deletes all but the newest `count`. */
  keepNewest(count: number): Promise<void>;
}
