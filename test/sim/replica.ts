/**
 * The replicated state of one node: the production scheduler core with its codec and digest, and a few registers beside
 * it whose reads and writes are checked. All rows are held here as bytes, as the store holds them.
 */
import type { Entry } from '../../src/raft/core/types.ts';
import type { ReportAttemptsCommand } from '../../src/model/commands.ts';
import { activeCount, groupOf } from '../../src/model/group.ts';
import { mayBeginAnew, mayBeRetried, mayTaskBecome } from '../../src/model/phases.ts';
import type { RowChange } from '../../src/model/rows.ts';
import { contentOf, decodeCommand, decodeContent, encodeRow } from '../../src/store/codec.ts';
import { hashRow, RowDigest, type RowHash } from '../../src/store/digest.ts';
import { nameOf, type RowValue } from '../../src/store/replicated-core.ts';
import { SchedulerCore } from '../../src/store/scheduler-machine.ts';
import type { Applied } from '../../src/scheduler/ports.ts';
import { checkRule } from './group-traffic.ts';
import { Violation } from './trace.ts';

/** First byte of an entry that writes a register; commands of the scheduler begin with their version, 1. */
const REGISTER_WRITE = 0xee;
const ENTRY_BYTES = 6;

interface StoredRow {
  readonly table: string;
  readonly key: string;
  readonly row: RowValue;
  readonly content: Uint8Array;
  readonly hash: RowHash;
}

/** Value of a register, and the index of the entry that wrote it. */
export interface Register {
  readonly value: number;
  readonly index: number;
}

/** Everything as of one index, as a snapshot file holds it. */
export interface Image {
  readonly index: number;
  readonly rows: ReadonlyMap<
    string,
    { readonly table: string; readonly key: string; readonly content: Uint8Array }
  >;
  readonly registers: ReadonlyMap<number, Register>;
  readonly digest: string;
}

export function encodeWrite(key: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(ENTRY_BYTES);
  bytes.writeUInt8(REGISTER_WRITE, 0);
  bytes.writeUInt8(key, 1);
  bytes.writeUInt32LE(value, 2);
  return bytes;
}

export function decodeWrite(data: Uint8Array): { readonly key: number; readonly value: number } | null {
  if (data.byteLength !== ENTRY_BYTES || data[0] !== REGISTER_WRITE) return null;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { key: bytes.readUInt8(1), value: bytes.readUInt32LE(2) };
}

export class Replica {
  readonly core = new SchedulerCore();
  readonly registers = new Map<number, Register>();
  readonly #rows = new Map<string, StoredRow>();
  readonly #digest = new RowDigest();
  appliedIndex = 0;

  /** @param image what it begins with: that of a snapshot file */
  constructor(image: Image | null) {
    if (image === null) return;
    for (const table of this.core.tables) {
      for (const [name, row] of image.rows) if (row.table === table) this.#restore(name, row);
    }
    for (const [key, register] of image.registers) this.#write(key, register);
    this.appliedIndex = image.index;
    if (this.digest !== image.digest) throw new Violation('an image does not restore to its own digest');
  }

  get digest(): string {
    return this.#digest.digest;
  }

  /** @returns what a command came to; null for everything else */
  apply(entry: Entry): Applied | null {
    if (entry.index !== this.appliedIndex + 1)
      throw new Violation(`entry ${entry.index} is applied after ${this.appliedIndex}`);
    this.appliedIndex = entry.index;
    if (entry.type !== 'normal' || entry.data.byteLength === 0) return null;
    const write = decodeWrite(entry.data);
    if (write === null) return this.#command(entry);
    this.#write(write.key, { value: write.value, index: entry.index });
    return null;
  }

  image(): Image {
    return {
      index: this.appliedIndex,
      rows: new Map(this.#rows),
      registers: new Map(this.registers),
      digest: this.digest,
    };
  }

  /** The newest form of a row, also of one that the core leaves to the store. */
  row(table: string, key: string): RowValue | null {
    return this.#rows.get(nameOf(table, key))?.row ?? null;
  }

  /** Every row, in its newest form. */
  rows(): Iterable<{ readonly table: string; readonly row: RowValue }> {
    return this.#rows.values();
  }

  #command(entry: Entry): Applied {
    const decoded = decodeCommand(entry.data);
    if (decoded.type !== 'value' || !this.core.isCommand(decoded.value))
      throw new Violation(`entry ${entry.index} does not decode to what was proposed`);
    const command = decoded.value;
    const loaded = new Map<string, RowValue>();
    for (const { table, key } of this.core.rowsNamedBy(command)) {
      const stored = this.row(table, key);
      if (stored !== null && this.core.inMemory(table, key) === null) loaded.set(nameOf(table, key), stored);
    }
    const result = this.core.apply(command, entry, loaded);
    if (result.poisoned === true)
      throw new Violation(`a ${command.type} threw in apply: ${JSON.stringify(result.outcome)}`);
    const isRetry = command.type === 'retryTask';
    for (const change of result.changes) this.#change(change, isRetry);
    for (const change of result.changes) checkRule(this, change);
    this.#checkCapacity();
    if (command.type === 'reportAttempts') checkReported(command, result.changes);
    const { index, term } = entry;
    return { index, term, command, outcome: result.outcome, changes: result.changes };
  }

  #checkCapacity(): void {
    const { state } = this.core;
    for (const { name, capacity } of state.nodes.values()) {
      const { cpuMillis, memoryBytes } = state.allocated(name);
      if (cpuMillis > capacity.cpuMillis || memoryBytes > capacity.memoryBytes)
        throw new Violation(`node ${name} holds more than it has`);
    }
    for (const group of [...state.batches.values(), ...state.dags.values()]) {
      if (activeCount(group) > (group.maxParallel ?? group.size))
        throw new Violation(`${group.id} runs more of its tasks than it may`);
    }
  }

  /** @param isAlone a person begins a single task anew, also one that completed */
  #change(change: RowChange, isAlone: boolean): void {
    const { table, key, before, after } = change;
    const name = nameOf(table, key);
    const former = this.#rows.get(name);
    if ((former?.row ?? null) !== before) throw new Violation(`${name} changes from what is not stored`);
    if (table === 'task' && before !== null && after !== null && before.status !== after.status) {
      const isAnew = isAlone && mayBeRetried(before.status) && after.status === 'PENDING';
      const isRetry = isAnew || mayBeginAnew(before.status, after.status);
      if (!isRetry && !mayTaskBecome(before.status, after.status))
        throw new Violation(`${name} went from ${before.status} to ${after.status}`);
    }
    if (former !== undefined) this.#digest.remove(former.hash);
    this.#rows.delete(name);
    if (after === null) return;
    const { hash, stored } = encodeRow(name, after);
    this.#digest.add(hash);
    this.#rows.set(name, { table, key, row: after, content: contentOf(stored), hash });
  }

  #restore(name: string, row: { table: string; key: string; content: Uint8Array }): void {
    const { table, key, content } = row;
    const value = decodeContent(content);
    const hash = hashRow(name, content);
    this.#digest.add(hash);
    this.core.restore(table, key, value);
    this.#rows.set(name, { table, key, row: value, content, hash });
  }

  #write(key: number, register: Register): void {
    const former = this.registers.get(key);
    if (former !== undefined) this.#digest.remove(hashRegister(key, former));
    this.registers.set(key, register);
    this.#digest.add(hashRegister(key, register));
  }
}

/**
 * A report changes only the attempt that it is about, and that is the task's newest. Others of its batch or DAG may be
 * queued, skipped or stopped by what it says: their attempts stay as they are.
 */
function checkReported({ reports }: ReportAttemptsCommand, changes: readonly RowChange[]): void {
  for (const { table, key, before, after } of changes) {
    if (table !== 'task' || before === null) continue;
    const isOfGroup = groupOf(before) !== null;
    if (isOfGroup && after !== null && after.attempts === before.attempts) continue;
    const newest = before.attempts.at(-1)?.assignment;
    if (reports.every((report) => report.taskId !== key || report.assignment !== newest))
      throw new Violation(`a report of another attempt changed ${key}`);
  }
}

function hashRegister(key: number, { value, index }: Register): RowHash {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32LE(index, 4);
  return hashRow(`register/${key}`, bytes);
}
