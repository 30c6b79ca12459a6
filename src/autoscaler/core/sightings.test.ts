import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { runs } from '../../lib/testing/property-runs.ts';
import type { InstanceRow } from '../../model/scaling.ts';
import { NO_SIGHTINGS, noteList, type InstanceList, type Sightings } from './sightings.ts';

type Seen = InstanceList['instances'][number];

const ASKED_MS = 1000;

function rowOf(id: string, changes: Partial<InstanceRow> = {}): InstanceRow {
  return {
    id,
    node: `node-${id}`,
    provider: 'command',
    phase: 'CREATED',
    phaseSinceMs: ASKED_MS,
    createdAtMs: 0,
    revision: 1,
    reason: '',
    host: null,
    providerId: `i-${id}`,
    joinTokenId: null,
    askedAtMs: null,
    isAsked: true,
    isEnded: false,
    failures: 0,
    notBeforeMs: 0,
    error: null,
    cameBy: 1,
    leavesBy: null,
    ...changes,
  };
}

function seenOf(id: string, changes: Partial<Seen> = {}): Seen {
  return { id: `i-${id}`, clientToken: id, node: `node-${id}`, state: 'running', ...changes };
}

function rowsOf(...rows: readonly InstanceRow[]): ReadonlyMap<string, InstanceRow> {
  return new Map(rows.map((row) => [row.id, row]));
}

function listOf(instances: readonly Seen[], changes: Partial<InstanceList> = {}): InstanceList {
  return { provider: 'command', host: null, beganAtMs: ASKED_MS, instances, ...changes };
}

/** One list after the other. */
function after(lists: readonly InstanceList[], rows: ReadonlyMap<string, InstanceRow>): Sightings {
  return lists.reduce((before, list) => noteList(before, list, rows), NO_SIGHTINGS);
}

describe('an instance that is known', () => {
  it('is seen by its token, and by the id of its provider', () => {
    const rows = rowsOf(rowOf('a', { providerId: null }), rowOf('b'));
    const list = listOf([seenOf('a'), seenOf('b', { clientToken: null })]);
    const { known, strays } = after([list], rows);
    expect([...known].map(([id, { seen, missing }]) => [id, seen?.id, missing])).toEqual([
      ['a', 'i-a', 0],
      ['b', 'i-b', 0],
    ]);
    expect(strays.size).toBe(0);
  });

  it('is missed by each list without it, and by none once it is back', () => {
    const rows = rowsOf(rowOf('a'));
    const [without, within] = [listOf([]), listOf([seenOf('a')])];
    expect(after([within, without], rows).known.get('a')).toEqual({
      seen: null,
      missing: 1,
      wasSeen: true,
    });
    expect(after([without], rows).known.get('a')?.wasSeen).toBe(false);
    expect(after([within, without, without], rows).known.get('a')?.missing).toBe(2);
    expect(after([without, without, within], rows).known.get('a')?.missing).toBe(0);
    expect(after([without, without, within, without], rows).known.get('a')?.missing).toBe(1);
  });

  it('is not missed by a list that began before it was asked for, or came to its phase', () => {
    const early = listOf([], { beganAtMs: ASKED_MS - 1 });
    expect(after([early], rowsOf(rowOf('a'))).known.has('a')).toBe(false);
    const asked = rowOf('a', { phaseSinceMs: 0, askedAtMs: ASKED_MS });
    expect(after([early], rowsOf(asked)).known.has('a')).toBe(false);
    expect(after([listOf([])], rowsOf(asked)).known.get('a')?.missing).toBe(1);
    // What it does show counts.
    expect(
      after([{ ...early, instances: [seenOf('a')] }], rowsOf(asked)).known.get('a')?.seen,
    ).not.toBeNull();
  });

  it('is looked for in lists of its own provider and machine only', () => {
    const rows = rowsOf(rowOf('a', { provider: 'process', host: 'n1' }));
    const elsewhere = [
      listOf([], { provider: 'process', host: 'n2' }),
      listOf([], { provider: 'docker', host: 'n1' }),
      listOf([]),
    ];
    expect(after(elsewhere, rows).known.has('a')).toBe(false);
    expect(after([listOf([], { provider: 'process', host: 'n1' })], rows).known.get('a')?.missing).toBe(1);
  });

  it('is the one that its row names, where others are listed with the same token', () => {
    const second = seenOf('a', { id: 'i-second', state: 'gone' });
    const { known, strays } = after(
      [listOf([second, seenOf('a'), seenOf('a', { id: 'i-third' })])],
      rowsOf(rowOf('a')),
    );
    expect(known.get('a')?.seen?.id).toBe('i-a');
    expect([...strays.values()].map(({ seen }) => seen.id)).toEqual(['i-third']);
    const twice = after([listOf([seenOf('a'), seenOf('a')])], rowsOf(rowOf('a', { providerId: null })));
    expect(twice.strays.size).toBe(0);
  });

  it('is no stray in the list of another machine with the same engine', () => {
    const rows = rowsOf(
      rowOf('a', { provider: 'docker', host: 'n1' }),
      rowOf('b', { provider: 'docker', host: 'n1', providerId: null }),
    );
    const lists = ['n2', 'n1'].map((host) =>
      listOf([seenOf('a'), seenOf('b')], { provider: 'docker', host }),
    );
    const { known, strays } = after(lists, rows);
    expect([...known.keys()]).toEqual(['a', 'b']);
    expect(strays.size).toBe(0);
    expect(after(lists.slice(0, 1), rows).known.size).toBe(0);
  });

  it('is forgotten with its row', () => {
    const { known } = noteList(after([listOf([seenOf('a')])], rowsOf(rowOf('a'))), listOf([]), rowsOf());
    expect(known.size).toBe(0);
  });
});

describe('an instance that nobody knows', () => {
  it('is counted from the list that showed it first, for as long as each one does', () => {
    const lists = [1, 2, 3].map((times) => listOf([seenOf('x')], { beganAtMs: times * ASKED_MS }));
    const [stray] = after(lists, rowsOf()).strays.values();
    expect(stray).toMatchObject({ lists: 3, sinceMs: ASKED_MS, seen: { id: 'i-x' } });
    const again = after([...lists, listOf([]), listOf([seenOf('x')], { beganAtMs: 9 * ASKED_MS })], rowsOf());
    expect([...again.strays.values()]).toMatchObject([{ lists: 1, sinceMs: 9 * ASKED_MS }]);
  });

  it('is none that has gone, but on a machine that keeps what is left of it', () => {
    const gone = [seenOf('x', { state: 'gone' })];
    expect(after([listOf(gone)], rowsOf()).strays.size).toBe(0);
    expect(after([listOf(gone, { provider: 'docker', host: 'n1' })], rowsOf()).strays.size).toBe(1);
  });

  it('stays one while other providers and machines are listed', () => {
    const here = { provider: 'process', host: 'n1' } as const;
    const lists = [listOf([seenOf('x')], here), listOf([], { provider: 'process', host: 'n2' }), listOf([])];
    expect(after(lists, rowsOf()).strays.size).toBe(1);
    // The same id on another machine is another one.
    const both = [listOf([seenOf('x')], here), listOf([seenOf('x')], { provider: 'process', host: 'n2' })];
    expect(after(both, rowsOf()).strays.size).toBe(2);
  });

  it('is none any more once it has a row', () => {
    const before = after([listOf([seenOf('x')])], rowsOf());
    const { known, strays } = noteList(before, listOf([seenOf('x')]), rowsOf(rowOf('x')));
    expect(strays.size).toBe(0);
    expect(known.get('x')?.seen?.id).toBe('i-x');
  });
});

it('nothing listed is both known and a stray, or neither, whatever lists say', () => {
  const id = fc.constantFrom('a', 'b', 'c', 'd');
  const state = fc.constantFrom('pending' as const, 'running' as const);
  const seen = fc
    .record({ id, state, isTagged: fc.boolean() })
    .map(({ id: one, state: its, isTagged }) =>
      seenOf(one, { state: its, ...(isTagged ? {} : { clientToken: null, node: null }) }),
    );
  const instances = fc.uniqueArray(seen, { selector: (one) => one.id });
  const lists = fc.array(instances, { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(lists, fc.uniqueArray(id), (all, ids) => {
      const rows = rowsOf(...ids.map((one) => rowOf(one)));
      const { known, strays } = after(
        all.map((one) => listOf(one)),
        rows,
      );
      const newest = (all.at(-1) ?? []).map((one) => one.id).sort();
      const found = [...known.values()].flatMap(({ seen: one }) => (one === null ? [] : [one.id]));
      const unknown = [...strays.values()].map(({ seen: one }) => one.id);
      expect([...found, ...unknown].sort()).toEqual(newest);
      // In a row: as many as the lists since the one that showed it.
      for (const one of ids) {
        const shown = all.findLastIndex((list) => list.some((each) => each.id === `i-${one}`));
        expect(known.get(one)?.missing).toBe(all.length - 1 - shown);
      }
    }),
    { numRuns: runs(200) },
  );
});
