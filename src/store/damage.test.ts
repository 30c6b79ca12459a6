import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { seededRandom } from '../lib/random.ts';
import { isStorageError } from '../raft/storage-error.ts';
import { StoreDamagedError } from './errors.ts';
import { openLevel, type Level } from './level.ts';
import { allItems, collect, openItems, temporaryDirectory, type ItemMachine } from './testing.ts';

/** No way to rebuild: the log begins behind every state. */
const NOTHING_LEFT = { logFirstIndex: 2 };

/** Some checkpoints; the digest of each by its index. */
async function makeStore(root: string): Promise<ReadonlyMap<number, string>> {
  const { machine, apply } = await openItems(root, { isNew: true });
  const digests = new Map<number, string>();
  for (let checkpoint = 0; checkpoint < 4; checkpoint += 1) {
    const ids = Array.from({ length: 50 }, (_, at) => `k${checkpoint}.${at}`);
    await apply({ type: 'create', ids, text: 'some text that makes the row longer' });
    for (const id of ids.slice(0, 25)) await apply({ type: 'append', id, text: 'x', open: false });
    digests.set(await machine.checkpoint(), machine.digest);
  }
  await machine.close();
  return digests;
}

async function openUnlessDamaged(root: string): Promise<ItemMachine | null> {
  try {
    return (await openItems(root, NOTHING_LEFT)).machine;
  } catch (error) {
    if (error instanceof StoreDamagedError) return null;
    throw error;
  }
}

/** Behind the store's back. */
async function changeStored<T>(root: string, change: (level: Level) => Promise<T>): Promise<T> {
  const level = await openLevel(path.join(root, 'state'), { create: false });
  try {
    return await change(level);
  } finally {
    await level.close();
  }
}

function flipBit(file: string, bit: number): void {
  const bytes = readFileSync(file);
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  writeFileSync(file, bytes);
}

async function damageOf(root: string): Promise<string> {
  const error: unknown = await openItems(root, NOTHING_LEFT).then(
    ({ machine }) => machine.close(),
    (reason: unknown) => reason,
  );
  return error instanceof StoreDamagedError ? error.damage : String(error);
}

describe('a damaged store', () => {
  it('is noticed where it is missing, or has lost its CURRENT', async () => {
    const root = temporaryDirectory();
    expect(await damageOf(root)).toBe('missing');
    await makeStore(root);
    rmSync(path.join(root, 'state', 'CURRENT'));
    expect(await damageOf(root)).toBe('missing');
  });

  it('is noticed where its rows, its index rows or its own row are missing', async () => {
    const root = temporaryDirectory();
    await makeStore(root);
    const found: Record<string, string> = {};
    const victims = ['item/k0.1', 'item/k0.30', 'created/0000000000000001.0000000003', 'meta'];
    for (const victim of victims) {
      const copy = temporaryDirectory();
      cpSync(root, copy, { recursive: true });
      await changeStored(copy, (level) => level.del(victim));
      found[victim] = await damageOf(copy);
    }
    expect(Object.values(found)).toEqual(['incomplete', 'incomplete', 'incomplete', 'incomplete']);
  });

  it('is noticed where a row is an older version of itself, or stands under the name of another', async () => {
    const root = temporaryDirectory();
    await makeStore(root);
    const [old, other] = await changeStored(root, (level) => level.getMany(['item/k0.1', 'item/k0.2']));
    if (old === undefined || other === undefined) throw new Error('the rows are there');
    const { machine, apply } = await openItems(root);
    await apply({ type: 'append', id: 'k0.1', text: 'y', open: false });
    await machine.checkpoint();
    await machine.close();
    await changeStored(root, (level) => level.put('item/k0.1', old));
    expect(await damageOf(root)).toBe('incomplete');
    await changeStored(root, (level) => level.put('item/k0.1', other));
    expect(await damageOf(root)).toBe('checksum');
  });

  // Flipped bits in the log: LevelDB drops what is behind them, silently. Then the store is an earlier whole checkpoint,
  // from which the log goes on, or it is refused; never anything between.
  it.each([['its log', false] as const, ['its tables', true] as const])(
    'by flipped bits in %s is refused, or an earlier whole checkpoint',
    async (_what, compacted) => {
      const random = seededRandom(7);
      const root = temporaryDirectory();
      const digests = await makeStore(root);
      if (compacted) await changeStored(root, (level) => level.compactRange('a', 'z'));
      const files = readdirSync(path.join(root, 'state')).filter((name) =>
        compacted ? name.endsWith('.ldb') : name.endsWith('.log') || name.endsWith('.ldb'),
      );
      const outcomes = { refused: 0, earlier: 0, unharmed: 0 };
      const last = Math.max(...digests.keys());
      for (let round = 0; round < 60; round += 1) {
        const copy = temporaryDirectory();
        cpSync(root, copy, { recursive: true });
        const file = path.join(copy, 'state', files[Math.floor(random() * files.length)] ?? '');
        flipBit(file, Math.floor(random() * readFileSync(file).byteLength * 8));
        const machine = await openUnlessDamaged(copy);
        if (machine === null) {
          outcomes.refused += 1;
          continue;
        }
        expect(machine.digest).toBe(digests.get(machine.appliedIndex));
        expect((await allItems(machine)).size).toBe(machine.rowCount);
        outcomes[machine.appliedIndex === last ? 'unharmed' : 'earlier'] += 1;
        await machine.close();
      }
      expect(outcomes.refused).toBeGreaterThan(20);
    },
  );

  it('is noticed by reads of rows that were whole when it was opened, and rebuilt at the next start', async () => {
    const root = temporaryDirectory();
    await makeStore(root);
    await changeStored(root, (level) => level.compactRange('a', 'z'));
    const { machine, apply, failures } = await openItems(root);
    // Under LevelDB's feet: the table is mapped, not yet in its cache.
    for (const name of readdirSync(path.join(root, 'state')).filter((file) => file.endsWith('.ldb'))) {
      const file = path.join(root, 'state', name);
      const bytes = readFileSync(file);
      writeFileSync(file, bytes.fill(0xff, 0, bytes.byteLength - 500));
    }
    await expect(machine.read('item', 'k0.1')).rejects.toBeInstanceOf(StoreDamagedError);
    // The node must stop: nothing else would rebuild the store.
    expect(failures).toEqual([expect.any(StoreDamagedError)]);
    await expect(apply({ type: 'append', id: 'k0.2', text: 'x', open: true })).rejects.toBeInstanceOf(
      StoreDamagedError,
    );
    await expect(apply({ type: 'create', ids: ['z'], text: '' })).rejects.toBeInstanceOf(StoreDamagedError);
    await machine.close();
    const again = await openItems(root, { snapshots: [await snapshotAt(7)], logFirstIndex: 8 });
    expect([again.machine.appliedIndex, again.failures]).toEqual([7, []]);
    expect(await again.machine.read('item', 'fromSnapshot')).not.toBeNull();
  });
});

async function lost(root: string): Promise<void> {
  await makeStore(root);
  rmSync(path.join(root, 'state', 'CURRENT'));
}

async function snapshotAt(index: number) {
  const { machine, apply } = await openItems(temporaryDirectory(), { isNew: true });
  await apply({ type: 'create', ids: ['fromSnapshot'], text: String(index) });
  for (let at = 2; at <= index; at += 1) machine.noteApplied(at, 1);
  await machine.checkpoint();
  const stream = await machine.rows();
  const rows = await collect(stream.rows);
  await stream.close();
  return {
    index,
    term: 1,
    async *rows() {
      yield* rows;
    },
  };
}

describe('a store that cannot be used', () => {
  it('is rebuilt from the newest snapshot that is whole', async () => {
    const root = temporaryDirectory();
    await lost(root);
    const damaged = {
      index: 9,
      term: 1,
      rows(): AsyncIterable<never> {
        throw new StoreDamagedError('incomplete', 'somewhere', 'the file is damaged');
      },
    };
    const snapshots = [damaged, await snapshotAt(5), await snapshotAt(3)];
    const { machine } = await openItems(root, { snapshots, logFirstIndex: 4 });
    expect(machine.appliedIndex).toBe(5);
    expect(machine.core.open.get('fromSnapshot')?.text).toBe('5');
    expect(readdirSync(root)).toEqual(['state']);
    await machine.close();
    expect((await openItems(root, NOTHING_LEFT)).machine.appliedIndex).toBe(5);
  });

  it('is rebuilt where it is whole and the log does not reach back to it', async () => {
    const root = temporaryDirectory();
    const { machine, apply } = await openItems(root, { isNew: true });
    await apply({ type: 'create', ids: ['a'], text: '' });
    await machine.checkpoint();
    await machine.close();
    const { machine: again } = await openItems(root, { snapshots: [await snapshotAt(5)], logFirstIndex: 6 });
    expect(again.appliedIndex).toBe(5);
  });

  it('begins empty where the log has every entry', async () => {
    const root = temporaryDirectory();
    await lost(root);
    const { machine } = await openItems(root, { logFirstIndex: 1 });
    expect([machine.appliedIndex, machine.rowCount]).toEqual([0, 0]);
  });

  it('stays unusable where nothing is left to which the log reaches back', async () => {
    const root = temporaryDirectory();
    await lost(root);
    const opening = openItems(root, { snapshots: [await snapshotAt(3)], logFirstIndex: 5 });
    await expect(opening).rejects.toMatchObject({ damage: 'missing' });
  });

  it('because another process has it open is not rebuilt', async () => {
    const root = temporaryDirectory();
    await openItems(root, { isNew: true });
    const error: unknown = await openItems(root).catch((reason: unknown) => reason);
    expect(isStorageError(error, 'directory_refused')).toBe(true);
  });
});

describe('a failed write', () => {
  it('ends the store for good: nothing later is acknowledged, and what was checkpointed stays', async () => {
    const root = temporaryDirectory();
    const state = path.join(root, 'state');
    const { machine, apply, failures } = await openItems(root, {
      isNew: true,
      bounds: { checkpointBytes: 2 ** 30 },
    });
    // More than LevelDB buffers: its next write needs a new file, and the directory for it is gone then.
    const ids = Array.from({ length: 20 }, (_, at) => `big${at}`);
    await apply({ type: 'create', ids, text: 'x'.repeat(1024 * 1024) });
    await machine.checkpoint();
    renameSync(state, `${state}.aside`);
    await apply({ type: 'create', ids: ['b'], text: '' });
    const failed: unknown = await machine.checkpoint().catch((reason: unknown) => reason);
    expect(isStorageError(failed, 'storage_failed')).toBe(true);
    expect(failures).toEqual([failed]);
    renameSync(`${state}.aside`, state);
    await expect(machine.checkpoint()).rejects.toBe(failed);
    await expect(apply({ type: 'create', ids: ['c'], text: '' })).rejects.toBe(failed);
    expect(await machine.read('item', 'b')).toMatchObject({ id: 'b' });
    expect(machine.checkpointIndex).toBe(1);
    await machine.close();
    const again = (await openItems(root)).machine;
    expect([again.appliedIndex, again.rowCount]).toEqual([1, 20]);
  });
});
