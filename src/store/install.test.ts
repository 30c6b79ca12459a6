import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Row } from '../raft/ports.ts';
import { StoreDamagedError } from './errors.ts';
import type { RowValue } from './replicated-core.ts';
import {
  allItems,
  collect,
  ItemCore,
  openItems,
  temporaryDirectory,
  type Harness,
  type ItemMachine,
} from './testing.ts';

interface Snapshot {
  readonly rows: readonly Row[];
  readonly digest: string;
  readonly rowCount: number;
}

/** The rows of another replica at index 7, with open and closed items. */
async function snapshot(): Promise<Snapshot> {
  const { machine, apply } = await openItems(temporaryDirectory(), { isNew: true });
  const ids = Array.from({ length: 300 }, (_, at) => `new${at}`);
  await apply({ type: 'create', ids, text: 'x'.repeat(10_000) });
  for (const id of ['new1', 'new2']) await apply({ type: 'append', id, text: '.', open: false });
  for (let index = 4; index <= 7; index += 1) machine.noteApplied(index, 2);
  await machine.checkpoint();
  const stream = await machine.rows();
  const rows = await collect(stream.rows);
  await stream.close();
  return { rows, digest: stream.digest, rowCount: stream.rowCount };
}

async function oldState(root: string, hook?: (step: string) => void): Promise<Harness> {
  const harness = await openItems(root, { isNew: true, ...(hook === undefined ? {} : { hook }) });
  await harness.apply({ type: 'create', ids: ['old1', 'old2'], text: 'old' });
  await harness.apply({ type: 'append', id: 'old1', text: '.', open: false });
  await harness.machine.checkpoint();
  return harness;
}

async function* streamOf(
  rows: readonly Row[],
  at: number = -1,
  then: () => void = () => {},
): AsyncGenerator<Row> {
  for (const [position, row] of rows.entries()) {
    if (position === at) then();
    yield row;
  }
}

const META = { index: 7, term: 2 };

describe('an installation', () => {
  it('replaces everything: memory, store, lists and position', async () => {
    const root = temporaryDirectory();
    const { machine, apply } = await oldState(root);
    const { rows, digest, rowCount } = await snapshot();
    const before = machine.core;
    const heard: number[] = [];
    machine.onInstalled((index) => heard.push(index));
    await apply({ type: 'create', ids: ['overlaid'], text: '' });
    await machine.install(META, streamOf(rows), { digest, rowCount });
    expect([...(await machine.readMany('item', ['new1', 'old1'])).keys()]).toEqual(['new1']);
    expect(heard).toEqual([7]);
    expect(machine.core).not.toBe(before);
    expect([machine.appliedIndex, machine.appliedTerm, machine.checkpointIndex]).toEqual([7, 2, 7]);
    expect([machine.digest, machine.rowCount]).toEqual([digest, rowCount]);
    expect(machine.core.open.size).toBe(298);
    expect(await machine.read('item', 'old1')).toBeNull();
    expect(await machine.read('item', 'overlaid')).toBeNull();
    expect(await machine.read('item', 'new1')).toMatchObject({ open: false });
    expect((await machine.createdBefore(null, 2)).map(({ key }) => key)).toEqual(['new299', 'new298']);
    expect(readdirSync(root)).toEqual(['state']);
    expect(await apply({ type: 'append', id: 'new1', text: '!', open: true })).toMatchObject([
      { type: 'done' },
    ]);
    await machine.checkpoint();
    await machine.close();
    const again = (await openItems(root, { logFirstIndex: 8 })).machine;
    expect([again.appliedIndex, again.core.open.size]).toEqual([8, 299]);
  });

  it('holds one state in memory at a time, and loads the new one once', async () => {
    const oldWasThere: boolean[] = [];
    let machine: ItemMachine | null = null;
    let before: ItemCore | null = null;
    class WatchedCore extends ItemCore {
      override restore(table: string, key: string, row: RowValue): void {
        oldWasThere.push(machine?.core === before);
        super.restore(table, key, row);
      }
    }
    const harness = await openItems(temporaryDirectory(), { isNew: true, makeCore: () => new WatchedCore() });
    machine = harness.machine;
    before = machine.core;
    const { rows, digest, rowCount } = await snapshot();
    await machine.install(META, streamOf(rows), { digest, rowCount });
    expect(machine.core.open.size).toBe(298);
    expect(oldWasThere).toHaveLength(298);
    expect(oldWasThere).not.toContain(true);
  });

  it('interrupted anywhere leaves the old state whole or the new one', async () => {
    const root = temporaryDirectory();
    const copies = temporaryDirectory();
    const steps: string[] = [];
    const interrupt = (step: string): void => {
      steps.push(step);
      cpSync(root, path.join(copies, step), { recursive: true });
    };
    const { machine } = await oldState(root, interrupt);
    const { rows, digest } = await snapshot();
    await machine.install(
      META,
      streamOf(rows, 200, () => interrupt('half-filled')),
    );
    expect(steps).toEqual(['cleared', 'half-filled', 'filled', 'synced', 'oldAside', 'swapped', 'opened']);
    // A data directory is made anew where it is missing, before the store is looked at.
    cpSync(path.join(copies, 'oldAside'), path.join(copies, 'remade'), { recursive: true });
    mkdirSync(path.join(copies, 'remade', 'state'));
    // The old store half removed.
    cpSync(path.join(copies, 'opened'), path.join(copies, 'removing'), { recursive: true });
    rmSync(path.join(copies, 'removing', 'state.old', 'CURRENT'));

    const found: Record<string, string> = {};
    for (const step of [...steps, 'remade', 'removing']) {
      const again = (await openItems(path.join(copies, step))).machine;
      const items = await allItems(again);
      const isNew = again.appliedIndex === 7 && again.digest === digest && items.size === 300;
      const isOld = again.appliedIndex === 2 && items.size === 2 && again.core.open.size === 1;
      found[step] = isNew ? 'new' : isOld ? 'old' : 'neither';
      expect(readdirSync(path.join(copies, step))).toEqual(['state']);
      await again.close();
    }
    expect(found).toEqual({
      cleared: 'old',
      'half-filled': 'old',
      filled: 'old',
      synced: 'old',
      oldAside: 'new',
      swapped: 'new',
      opened: 'new',
      remade: 'new',
      removing: 'new',
    });
  });

  it.each([
    ['a row is missing', (rows: readonly Row[]) => rows.slice(1)],
    [
      'a row is another',
      (rows: readonly Row[]) => [...rows.slice(1), { ...rows[0], key: 'item/other' } as Row],
    ],
    ['a row is of no table', (rows: readonly Row[]) => [...rows, { ...rows[0], key: 'meta' } as Row]],
  ])('whose rows are not the promised ones changes nothing: %s', async (_what, damage) => {
    const root = temporaryDirectory();
    const { machine, failures } = await oldState(root);
    const { rows, digest, rowCount } = await snapshot();
    const installing = machine.install(META, streamOf(damage(rows)), { digest, rowCount });
    await expect(installing).rejects.toBeInstanceOf(StoreDamagedError);
    expect(failures).toHaveLength(1);
    expect(await machine.read('item', 'old1')).toMatchObject({ text: 'old.' });
    await machine.close();
    expect((await openItems(root)).machine.appliedIndex).toBe(2);
  });

  it('whose stream breaks off changes nothing', async () => {
    const root = temporaryDirectory();
    const { machine } = await oldState(root);
    const { rows } = await snapshot();
    const broken = streamOf(rows, 100, () => {
      throw new Error('the file is damaged');
    });
    await expect(machine.install(META, broken)).rejects.toThrow('the file is damaged');
    await machine.close();
    expect((await openItems(root)).machine.appliedIndex).toBe(2);
  });

  it('lets reads wait for the swap, not fail', async () => {
    const { machine } = await oldState(temporaryDirectory());
    const { rows } = await snapshot();
    const progress = { done: false };
    const installing = machine.install(META, streamOf(rows)).finally(() => {
      progress.done = true;
    });
    let reads = 0;
    while (!progress.done) {
      const item = (await machine.read('item', 'old1')) ?? (await machine.read('item', 'new1'));
      expect(item).not.toBeNull();
      await machine.createdBefore(null, 10);
      reads += 1;
    }
    await installing;
    expect(reads).toBeGreaterThan(1);
  });
});
