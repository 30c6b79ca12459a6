/** Log, state and snapshots in memory, which outlive the node: for tests that stop, fail and restart it. */
import type { Entry, HardState, SnapshotMeta } from '../core/types.ts';
import type { LogStore, Peer, Row, RowStream, SnapshotFile, SnapshotStore, StateMachine } from '../ports.ts';

type AppendRequest = Parameters<LogStore['append']>[0];

/** What promises cannot do: everything that is due runs, timers of the event loop included. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Holds back whoever passes while it is closed. */
class Gate {
  #opened: PromiseWithResolvers<void> | null = null;

  close(): void {
    this.#opened ??= Promise.withResolvers<void>();
  }

  open(): void {
    this.#opened?.resolve();
    this.#opened = null;
  }

  async pass(): Promise<void> {
    await this.#opened?.promise;
  }
}

/** What a disk keeps of a log. */
export class LogDisk {
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  snapshot: SnapshotMeta | null = null;
  entries: readonly Entry[] = [];

  write({ hardState, entries, snapshot }: AppendRequest): void {
    if (snapshot !== null) {
      this.snapshot = snapshot;
      this.entries = [];
    }
    const first = entries[0];
    if (first !== undefined) {
      this.entries = [...this.entries.filter(({ index }) => index < first.index), ...entries];
    }
    if (hardState !== null) this.hardState = hardState;
  }

  compact(meta: SnapshotMeta): void {
    if (meta.index <= (this.snapshot?.index ?? 0)) return;
    this.snapshot = meta;
    this.entries = this.entries.filter(({ index }) => index > meta.index);
  }
}

export class MemoryLog implements LogStore {
  readonly disk: LogDisk;
  readonly gate = new Gate();
  closed = false;
  #failure: Error | null = null;
  #writing: Promise<void> = Promise.resolve();

  constructor(disk: LogDisk) {
    this.disk = disk;
  }

  /** From now on every write fails, those under way included. */
  fail(error: Error): void {
    this.#failure = error;
    this.gate.open();
  }

  get hasFailed(): boolean {
    return this.#failure !== null;
  }

  append(request: AppendRequest): Promise<void> {
    return this.#enqueue(() => this.disk.write(request));
  }

  compact(meta: SnapshotMeta): Promise<void> {
    return this.#enqueue(() => this.disk.compact(meta));
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.#writing.catch(() => {});
  }

  #enqueue(write: () => void): Promise<void> {
    if (this.closed) return Promise.reject(new Error('the log is used after close'));
    this.#writing = this.#after(this.#writing, write);
    return this.#writing;
  }

  async #after(earlier: Promise<void>, write: () => void): Promise<void> {
    await earlier;
    await turn();
    await this.gate.pass();
    if (this.#failure !== null) throw this.#failure;
    write();
  }
}

/** Applies texts by appending them to a list; the outcome says which position each took. */
export class MemoryState implements StateMachine {
  texts: string[] = [];
  appliedIndex = 0;
  checkpointIndex = 0;
  closed = false;
  readonly gate = new Gate();
  /** Thrown by the next apply. */
  failure: Error | null = null;
  #checkpoint: readonly string[] = [];

  async apply(entries: readonly Entry[]): Promise<readonly unknown[]> {
    await turn();
    await this.gate.pass();
    if (this.failure !== null) throw this.failure;
    return entries.map((entry) => {
      this.#expectNext(entry.index);
      this.texts.push(Buffer.from(entry.data).toString());
      return `${this.texts.length}`;
    });
  }

  noteApplied(index: number): void {
    this.#expectNext(index);
  }

  async checkpoint(): Promise<number> {
    await turn();
    this.#checkpoint = [...this.texts];
    this.checkpointIndex = this.appliedIndex;
    return this.checkpointIndex;
  }

  async rows(): Promise<RowStream> {
    const texts = this.#checkpoint;
    return {
      index: this.checkpointIndex,
      rowCount: texts.length,
      digest: texts.join(),
      rows: rowsOf(texts),
      close: async () => {},
    };
  }

  async install(meta: SnapshotMeta, stream: AsyncIterable<Row>): Promise<void> {
    const texts: string[] = [];
    for await (const row of stream) texts.push(Buffer.from(row.value).toString());
    await this.gate.pass();
    this.texts = texts;
    this.appliedIndex = meta.index;
    await this.checkpoint();
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** What a restart finds: the newest checkpoint. */
  reopened(): MemoryState {
    const state = new MemoryState();
    state.texts = [...this.#checkpoint];
    state.#checkpoint = this.#checkpoint;
    state.appliedIndex = this.checkpointIndex;
    state.checkpointIndex = this.checkpointIndex;
    return state;
  }

  #expectNext(index: number): void {
    if (index !== this.appliedIndex + 1) throw new Error(`entry ${index} applied after ${this.appliedIndex}`);
    this.appliedIndex = index;
  }
}

async function* rowsOf(texts: readonly string[]): AsyncGenerator<Row> {
  for (const [position, value] of texts.entries()) yield { key: `${position}`, value: Buffer.from(value) };
}

export class MemorySnapshots implements SnapshotStore {
  /** Paths of files of which only the rows would show it. */
  readonly damaged = new Set<string>();
  readonly #files = new Map<string, { readonly file: SnapshotFile; readonly texts: readonly string[] }>();

  async list(): Promise<readonly SnapshotFile[]> {
    return this.newestFirst;
  }

  get newestFirst(): readonly SnapshotFile[] {
    return [...this.#files.values()].map(({ file }) => file).sort((a, b) => b.meta.index - a.meta.index);
  }

  async write(
    meta: SnapshotMeta,
    peers: readonly Peer[],
    stream: RowStream,
    signal?: AbortSignal,
  ): Promise<SnapshotFile> {
    const texts: string[] = [];
    for await (const row of stream.rows) {
      signal?.throwIfAborted();
      texts.push(Buffer.from(row.value).toString());
    }
    return this.#put({ path: `${meta.index}`, meta, peers }, texts);
  }

  rows(file: SnapshotFile): AsyncIterable<Row> {
    return rowsOf(this.#files.get(file.path)?.texts ?? []);
  }

  async discardIfDamaged(file: SnapshotFile): Promise<boolean> {
    return this.damaged.has(file.path) && this.#files.delete(file.path);
  }

  async keepNewest(count: number): Promise<void> {
    for (const { path } of (await this.list()).slice(count)) this.#files.delete(path);
  }

  /** A transfer: what is opened can be read to its end, also where it is deleted meanwhile. */
  open(path: string): (target: MemorySnapshots) => void {
    const found = this.#files.get(path);
    if (found === undefined) throw new Error(`no snapshot ${path}`);
    return (target) => void target.#put(found.file, found.texts);
  }

  #put(file: SnapshotFile, texts: readonly string[]): SnapshotFile {
    this.#files.set(file.path, { file, texts });
    return file;
  }
}
