import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { contentOf, encodeStored } from './codec.ts';
import { RowDigest, hashRow } from './digest.ts';
import {
  allItems,
  collect,
  entriesOf,
  openItems,
  temporaryDirectory,
  type ItemCommand,
  type ItemMachine,
} from './testing.ts';
import { runs } from '../lib/testing/property-runs.ts';

const create = (...ids: readonly string[]): ItemCommand => ({ type: 'create', ids, text: 'new' });
const append = (id: string, text: string, open: boolean): ItemCommand => ({ type: 'append', id, text, open });
const remove = (id: string): ItemCommand => ({ type: 'remove', id });

/** Digest over all rows, from nothing but the rows. */
async function recomputed(machine: ItemMachine): Promise<string> {
  const digest = new RowDigest();
  for (const [key, row] of await allItems(machine)) {
    digest.add(hashRow(`item/${key}`, contentOf(encodeStored(row))));
  }
  expect(digest.rowCount).toBe(machine.rowCount);
  return digest.digest;
}

describe('applying', () => {
  it('loads what memory does not hold, and shows each command the effects of those before it', async () => {
    const { machine, apply } = await openItems(temporaryDirectory(), { isNew: true });
    await apply(create('a'), append('a', '1', false));
    await machine.checkpoint();
    const outcomes = await apply(
      append('a', '2', false),
      append('a', '3', true),
      append('a', '4', false),
      remove('a'),
      append('a', '5', false),
      create('a'),
      append('missing', 'x', true),
    );
    expect(outcomes).toEqual([
      { type: 'done', text: 'new12' },
      { type: 'done', text: 'new123' },
      { type: 'done', text: 'new1234' },
      { type: 'done', text: '' },
      { type: 'refused', reason: 'not found' },
      { type: 'done', text: 'new' },
      { type: 'refused', reason: 'not found' },
    ]);
    expect(machine.appliedIndex).toBe(9);
  });

  it('loads again what a checkpoint took out of the overlay between two entries of one call', async () => {
    // Every entry overfills the overlay, so that a checkpoint lies between any two.
    const { machine, apply } = await openItems(temporaryDirectory(), {
      isNew: true,
      bounds: { overlayBytes: 0 },
    });
    await apply(create('a', 'b'));
    // In memory when the call begins: nothing of them is loaded with it.
    const outcomes = await apply(
      append('a', '1', false),
      append('b', '1', false),
      append('a', '2', false),
      append('a', '3', false),
      append('b', '2', false),
      remove('a'),
      append('a', '4', false),
    );
    expect(outcomes.map((outcome) => (outcome.type === 'done' ? outcome.text : outcome.reason))).toEqual([
      'new1',
      'new1',
      'new12',
      'new123',
      'new12',
      '',
      'not found',
    ]);
    expect(machine.checkpointIndex).toBeGreaterThanOrEqual(7);
  });

  it('refuses, counts and survives entries that are no commands and commands that throw', async () => {
    const { machine, apply } = await openItems(temporaryDirectory(), { isNew: true });
    await apply(create('a'));
    const heard: number[] = [];
    machine.onApplied(({ index }) => heard.push(index));
    const garbage = { index: 2, term: 1, type: 'normal', data: Buffer.of(1, 0xc1) } as const;
    const number = { index: 3, term: 1, type: 'normal', data: Buffer.of(1, 7) } as const;
    const { digest } = machine;
    const outcomes = await machine.apply([garbage, number, ...entriesOf(4, [{ type: 'poison' }])]);
    expect(outcomes.map(({ type }) => type)).toEqual(['refused', 'refused', 'refused']);
    expect(machine.poisonedCommands).toBe(3);
    expect(machine.appliedIndex).toBe(4);
    expect(machine.digest).toBe(digest);
    expect(heard).toEqual([4]);
  });

  it('refuses entries that do not follow', async () => {
    const { machine, failures } = await openItems(temporaryDirectory(), { isNew: true });
    await expect(machine.apply(entriesOf(2, [create('a')]))).rejects.toThrow('does not follow');
    expect(failures).toHaveLength(1);
    await expect(machine.apply(entriesOf(1, [create('a')]))).rejects.toThrow('does not follow');
  });

  it('keeps the index over entries that are not its own', async () => {
    const root = temporaryDirectory();
    const { machine, apply } = await openItems(root, { isNew: true });
    machine.noteApplied(1, 3);
    await apply(create('a'));
    machine.noteApplied(3, 4);
    expect(await machine.checkpoint()).toBe(3);
    await machine.close();
    const again = await openItems(root);
    expect([again.machine.appliedIndex, again.machine.appliedTerm]).toEqual([3, 4]);
  });

  it('tells listeners of each command before the next is applied, and survives one that throws', async () => {
    const { machine, apply } = await openItems(temporaryDirectory(), { isNew: true });
    const heard: unknown[] = [];
    machine.onApplied(() => {
      throw new Error('a bug of the listener');
    });
    const stop = machine.onApplied(({ index, outcome, changes }) => {
      heard.push([index, machine.appliedIndex, outcome.type, changes.length, machine.core.open.size]);
    });
    await apply(create('a', 'b'), remove('a'));
    stop();
    await apply(remove('b'));
    expect(heard).toEqual([
      [1, 1, 'done', 2, 2],
      [2, 2, 'done', 1, 1],
    ]);
  });

  it('lets the event loop turn when it takes long', async () => {
    let turns = 0;
    const { clock, machine, apply } = await openItems(temporaryDirectory(), {
      isNew: true,
      yieldTurn: async () => {
        turns += 1;
      },
    });
    machine.onApplied(() => {
      clock.nowMs += 3;
    });
    await apply(...Array.from({ length: 10 }, (_, at) => create(`k${at}`)));
    expect(turns).toBe(5);
  });
});

describe('checkpoints', () => {
  it('hold the state: a reopened store equals the memory of before', async () => {
    const root = temporaryDirectory();
    const { machine, apply } = await openItems(root, { isNew: true });
    await apply(create('a', 'b', 'c'), append('a', 'x', false), remove('b'));
    await machine.checkpoint();
    await apply(append('c', 'y', true), create('d'));
    expect(await machine.checkpoint()).toBe(5);
    const before = { items: await allItems(machine), open: machine.core.open, digest: machine.digest };
    await machine.close();

    const again = (await openItems(root)).machine;
    expect(again.appliedIndex).toBe(5);
    expect(again.checkpointIndex).toBe(5);
    expect(again.digest).toBe(before.digest);
    expect(again.core.open).toEqual(before.open);
    expect(await allItems(again)).toEqual(before.items);
  });

  it('are known by name when they are opened again: rows that memory does not hold are found', async () => {
    const root = temporaryDirectory();
    const { machine, apply } = await openItems(root, { isNew: true });
    await apply(create('a', 'b'), append('a', '1', false), remove('b'));
    await machine.checkpoint();
    await machine.close();
    const again = await openItems(root);
    expect([...(await again.machine.readMany('item', ['a', 'b', 'c'])).keys()]).toEqual(['a']);
    expect(await again.apply(append('a', '2', false), append('b', '2', false))).toEqual([
      { type: 'done', text: 'new12' },
      { type: 'refused', reason: 'not found' },
    ]);
  });

  it('are all there is of a store that was not closed well: what came later is in the log', async () => {
    const root = temporaryDirectory();
    const { machine, apply } = await openItems(root, { isNew: true });
    await apply(create('a'));
    await machine.checkpoint();
    await apply(create('b'), append('a', 'x', false));
    const { digest } = machine;
    await machine.close();
    const again = await openItems(root);
    expect([...(await allItems(again.machine)).keys()]).toEqual(['a']);
    expect(again.machine.appliedIndex).toBe(1);
    await again.apply(create('b'), append('a', 'x', false));
    expect(again.machine.digest).toBe(digest);
  });

  it('begin by themselves: by bytes, by entries, and after a time', async () => {
    const byBytes = await openItems(temporaryDirectory(), { isNew: true, bounds: { checkpointBytes: 1000 } });
    await byBytes.apply(create('a'), create('b'), create('c'));
    expect(await byBytes.machine.checkpoint()).toBe(3);
    const byEntries = await openItems(temporaryDirectory(), {
      isNew: true,
      bounds: { checkpointEntries: 3 },
    });
    await byEntries.apply(create('a'), create('b'));
    expect(byEntries.machine.checkpointIndex).toBe(0);
    await byEntries.apply(create('c'));
    await expect.poll(() => byEntries.machine.checkpointIndex).toBe(3);
    const byTime = await openItems(temporaryDirectory(), { isNew: true });
    await byTime.apply(create('a'));
    expect(byTime.clock.timers.size).toBe(1);
    for (const timer of byTime.clock.timers) timer();
    await expect.poll(() => byTime.machine.checkpointIndex).toBe(1);
  });

  it('are waited for when too much is gathered, and none is lost', async () => {
    const root = temporaryDirectory();
    const bounds = { overlayBytes: 20_000, checkpointBytes: 10_000 };
    const { machine, apply } = await openItems(root, { isNew: true, bounds });
    let checkpoints = 0;
    let last = 0;
    machine.onApplied(() => {
      if (machine.checkpointIndex > last) checkpoints += 1;
      last = machine.checkpointIndex;
    });
    for (let call = 0; call < 20; call += 1) {
      await apply(...Array.from({ length: 50 }, (_, at) => create(`k${call}.${at}`)));
    }
    // 1,000 rows of some 500 bytes, 20,000 at once at most.
    expect(checkpoints).toBeGreaterThan(20);
    await machine.checkpoint();
    const { digest } = machine;
    await machine.close();
    const again = (await openItems(root)).machine;
    expect(again.rowCount).toBe(1000);
    expect(again.digest).toBe(digest);
  });

  it('are put together in slices, between which what is applied belongs to the next', async () => {
    const root = temporaryDirectory();
    const turns: (() => void)[] = [];
    const { machine, apply } = await openItems(root, {
      isNew: true,
      bounds: { sliceRows: 100 },
      yieldTurn: () => new Promise((resolve) => turns.push(resolve)),
    });
    await apply(create(...Array.from({ length: 500 }, (_, at) => `k${at}`)));
    const rows = machine.checkpoint();
    await expect.poll(() => turns.length).toBe(1);
    await apply(create('late'), append('k0', 'late', false), remove('k1'));
    expect(await machine.read('item', 'k2')).toMatchObject({ text: 'new' });
    expect(await machine.read('item', 'k1')).toBeNull();
    let slices = 0;
    for (let done = false; !done; slices += 1) {
      await expect.poll(() => turns.length > 0 || machine.checkpointIndex > 0).toBe(true);
      turns.shift()?.();
      done = machine.checkpointIndex > 0;
    }
    expect(await rows).toBe(1);
    // 500 rows and as many index rows.
    expect(slices).toBeGreaterThanOrEqual(10);
    expect(machine.appliedIndex).toBe(4);
    await machine.close();
    const again = (await openItems(root)).machine;
    expect(again.rowCount).toBe(500);
    expect(await again.read('item', 'late')).toBeNull();
    expect(await again.read('item', 'k0')).toMatchObject({ text: 'new' });
    expect(await again.read('item', 'k1')).not.toBeNull();
  });

  it('and what came later agree on what is listed', async () => {
    const { machine, apply } = await openItems(temporaryDirectory(), { isNew: true });
    await apply(create('a', 'b', 'c'));
    await machine.checkpoint();
    await apply(remove('b'), create('d'));
    const keys = async (count: number) => (await machine.createdBefore(null, count)).map(({ key }) => key);
    expect(await keys(3)).toEqual(['d', 'c', 'a']);
    expect(await keys(1)).toEqual(['d']);
    await machine.checkpoint();
    expect(await keys(10)).toEqual(['d', 'c', 'a']);
    expect(await machine.keysWithPrefix('item', '', 10)).toEqual(['a', 'c', 'd']);
  });

  it('asked for while one is written wait for it and cover what was applied meanwhile', async () => {
    const { machine, apply } = await openItems(temporaryDirectory(), { isNew: true });
    await apply(create('a'));
    const first = machine.checkpoint();
    await apply(create('b'));
    const others = [machine.checkpoint(), machine.checkpoint()];
    expect(await first).toBe(1);
    expect(await Promise.all(others)).toEqual([2, 2]);
  });

  it('stream the rows of their moment, unmoved by later ones', async () => {
    const { machine, apply } = await openItems(temporaryDirectory(), { isNew: true });
    await apply(create('a', 'b'));
    await machine.checkpoint();
    const stream = await machine.rows();
    const { digest } = machine;
    await apply(remove('a'), create('c'));
    await machine.checkpoint();
    const rows = await collect(stream.rows);
    await stream.close();
    expect(rows.map(({ key }) => key)).toEqual(['item/a', 'item/b']);
    expect([stream.index, stream.rowCount, stream.digest]).toEqual([1, 2, digest]);
  });
});

describe('the digest', () => {
  const command = fc.oneof(
    fc.record({
      type: fc.constant('create' as const),
      ids: fc.constantFrom(['a'], ['b', 'c'], ['d']),
      text: fc.string(),
    }),
    fc.record({
      type: fc.constant('append' as const),
      id: fc.constantFrom('a', 'b', 'c', 'd'),
      text: fc.string({ unit: 'binary', maxLength: 5 }),
      open: fc.boolean(),
    }),
    fc.record({ type: fc.constant('remove' as const), id: fc.constantFrom('a', 'b', 'c', 'd') }),
    fc.constant('checkpoint' as const),
    fc.constant('reopen' as const),
  );

  it('kept by changes is that of the rows, also across checkpoints and restarts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 25 }), fc.nat({ max: 3 }), async (steps, lateRows) => {
        const root = temporaryDirectory();
        const bounds = { lateRows };
        let { machine, apply } = await openItems(root, { isNew: true, bounds });
        for (const step of steps) {
          if (step === 'checkpoint') await machine.checkpoint();
          else if (step === 'reopen') {
            await machine.checkpoint();
            await machine.close();
            ({ machine, apply } = await openItems(root, { bounds }));
          } else await apply(step);
        }
        expect(machine.digest).toBe(await recomputed(machine));
        await machine.close();
      }),
      { numRuns: runs(30) },
    );
  });
});
