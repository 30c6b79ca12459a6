/** A small state machine for the store's own tests: items that are open (in memory) or closed (in the store only). */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { onTestFinished } from 'vitest';

import type { Clock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import type { Entry } from '../raft/core/types.ts';
import { encodeCommand } from './codec.ts';
import { openStateMachine, type OpenStateMachineOptions } from './open-state-machine.ts';
import type {
  CoreResult,
  Creation,
  EntryPosition,
  LoadedRows,
  ReplicatedCore,
  RowName,
  RowValue,
  StoredChange,
} from './replicated-core.ts';
import type { StoredStateMachine } from './state-machine.ts';

export interface Item {
  readonly id: string;
  readonly text: string;
  readonly open: boolean;
  readonly createdIndex: number;
  readonly createdPosition: number;
}

export type ItemCommand =
  | { readonly type: 'create'; readonly ids: readonly string[]; readonly text: string }
  /** Appends to the text: shows whether the row of before was the right one. */
  | { readonly type: 'append'; readonly id: string; readonly text: string; readonly open: boolean }
  | { readonly type: 'remove'; readonly id: string }
  | { readonly type: 'poison' };

export type ItemOutcome =
  | { readonly type: 'done'; readonly text: string }
  | { readonly type: 'refused'; readonly reason: string };

export class ItemCore implements ReplicatedCore<ItemCommand, ItemOutcome, StoredChange> {
  readonly tables = ['item', 'note'];
  readonly orderedTables: ReadonlySet<string> = new Set(['note']);
  readonly changingTables: ReadonlySet<string> = new Set(['item']);
  readonly open = new Map<string, Item>();

  isCommand(value: unknown): value is ItemCommand {
    return typeof value === 'object' && value !== null && 'type' in value;
  }

  rowsNamedBy(command: ItemCommand): readonly RowName[] {
    if (command.type === 'create') return command.ids.map((key) => ({ table: 'item', key }));
    return command.type === 'poison' ? [] : [{ table: 'item', key: command.id }];
  }

  inMemory(table: string, key: string): RowValue | null {
    return table === 'item' ? (this.open.get(key) ?? null) : null;
  }

  apply(
    command: ItemCommand,
    entry: EntryPosition,
    loaded: LoadedRows,
  ): CoreResult<ItemOutcome, StoredChange> {
    const find = (id: string): Item | null =>
      this.open.get(id) ?? (loaded.get(`item/${id}`) as Item | undefined) ?? null;
    switch (command.type) {
      case 'create': {
        const news = command.ids
          .filter((id) => find(id) === null)
          .map((id, createdPosition) => ({
            id,
            text: command.text,
            open: true,
            createdIndex: entry.index,
            createdPosition,
          }));
        return this.#done(news.map((after) => ({ before: null, after })));
      }
      case 'append': {
        const before = find(command.id);
        if (before === null) return { outcome: { type: 'refused', reason: 'not found' }, changes: [] };
        return this.#done([
          { before, after: { ...before, text: before.text + command.text, open: command.open } },
        ]);
      }
      case 'remove': {
        const before = find(command.id);
        if (before === null) return { outcome: { type: 'refused', reason: 'not found' }, changes: [] };
        return this.#done([{ before, after: null }]);
      }
      default:
        return { outcome: { type: 'refused', reason: 'poison' }, changes: [], poisoned: true };
    }
  }

  #done(
    pairs: readonly { readonly before: Item | null; readonly after: Item | null }[],
  ): CoreResult<ItemOutcome, StoredChange> {
    const changes = pairs.map(({ before, after }) => {
      const key = after?.id ?? before?.id ?? '';
      if (after !== null && after.open) this.open.set(key, after);
      else this.open.delete(key);
      return { table: 'item', key, before, after };
    });
    return { outcome: { type: 'done', text: pairs.map(({ after }) => after?.text ?? '').join() }, changes };
  }

  undecodable(reason: string): ItemOutcome {
    return { type: 'refused', reason };
  }

  restore(_table: string, key: string, row: RowValue): void {
    this.open.set(key, row as Item);
  }

  holdsInMemory(table: string, row: RowValue): boolean {
    return table === 'item' && (row as Item).open;
  }

  creationOf(table: string, row: RowValue): Creation | null {
    const { createdIndex, createdPosition } = row as Item;
    return table === 'item' ? { index: createdIndex, position: createdPosition } : null;
  }
}

export type ItemMachine = StoredStateMachine<ItemCommand, ItemOutcome, StoredChange, ItemCore>;

/** Time stands still, and timers go off when told. */
export class StillClock implements Clock {
  readonly timers = new Set<() => void>();
  nowMs = 0;

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(_delayMs: number, callback: () => void): () => void {
    this.timers.add(callback);
    return () => this.timers.delete(callback);
  }
}

/** Gone with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-store-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface Harness {
  readonly machine: ItemMachine;
  readonly clock: StillClock;
  readonly failures: unknown[];
  /** Applies the commands at the next positions of the log. */
  readonly apply: (...commands: readonly ItemCommand[]) => Promise<readonly ItemOutcome[]>;
}

/** A machine on `state` in the directory; checkpoints only when asked for, unless bounds say otherwise. */
export async function openItems(
  root: string,
  options: Partial<OpenStateMachineOptions<ItemCore>> = {},
): Promise<Harness> {
  const clock = new StillClock();
  const failures: unknown[] = [];
  const machine: ItemMachine = await openStateMachine({
    directory: path.join(root, 'state'),
    isNew: false,
    makeCore: () => new ItemCore(),
    snapshots: [],
    logFirstIndex: 1,
    clock,
    logger: silentLog,
    onFailure: (error) => failures.push(error),
    ...options,
  });
  onTestFinished(() => machine.close());
  return {
    machine,
    clock,
    failures,
    apply: (...commands) => machine.apply(entriesOf(machine.appliedIndex + 1, commands)),
  };
}

export function entriesOf(firstIndex: number, commands: readonly ItemCommand[]): readonly Entry[] {
  return commands.map((command, position) => ({
    index: firstIndex + position,
    term: 1,
    type: 'normal',
    data: encodeCommand(command),
  }));
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** All items by id, open and closed. */
export async function allItems(machine: ItemMachine): Promise<ReadonlyMap<string, RowValue>> {
  const created = await machine.createdBefore(null, 100_000);
  return await machine.readMany(
    'item',
    created.map(({ key }) => key),
  );
}
