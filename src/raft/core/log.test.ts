import { describe, expect, it } from 'vitest';

import { RaftLog } from './log.ts';
import type { ConfState, Entry } from './types.ts';

const ALL = Number.MAX_SAFE_INTEGER;
const confState: ConfState = {
  voters: [1],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

function entry(index: number, term: number, bytes = 0): Entry {
  return { index, term, type: 'normal', data: new Uint8Array(bytes) };
}

/** Entries of these terms behind (index 10, term 1), all durable. */
function log(
  terms: readonly number[],
  options: { committed?: number; maxApplyingBytes?: number } = {},
): RaftLog {
  return new RaftLog({
    snapshot: { index: 10, term: 1, confState },
    entries: terms.map((term, at) => entry(11 + at, term)),
    committed: options.committed ?? 10,
    applied: 10,
    maxApplyingBytes: options.maxApplyingBytes ?? ALL,
  });
}

function recover(entries: readonly Entry[], applied = 10): RaftLog {
  const snapshot = { index: 10, term: 2, confState };
  return new RaftLog({ snapshot, entries, committed: 10, applied, maxApplyingBytes: ALL });
}

function terms(of: RaftLog): readonly number[] {
  return of.entriesFrom(0).map(({ term }) => term);
}

describe('the log', () => {
  it('refuses to be recovered with a gap, a falling term or less than what was applied', () => {
    expect(() => recover([entry(12, 2)])).toThrow(/joined/);
    expect(() => recover([entry(11, 1)])).toThrow(/joined/);
    expect(() => recover([entry(11, 2), entry(13, 2)])).toThrow(/joined/);
    expect(() => recover([entry(11, 2)], 12)).toThrow(/in the log/);
    expect(recover([entry(11, 2)], 11)).toMatchObject({ committed: 11, applied: 11 });
  });

  it('knows what it takes in memory, whatever is appended, replaced, dropped or restored', () => {
    const it = recover([entry(11, 2, 100)]);
    expect(it.bytes).toBe(116);
    it.append([entry(12, 2, 10), entry(13, 2, 20)]);
    expect(it.bytes).toBe(116 + 26 + 36);
    it.append([entry(12, 3, 1)]);
    expect(it.bytes).toBe(116 + 17);
    const { snapshot } = it;
    it.restore({ ...snapshot, index: 20 });
    expect(it.bytes).toBe(0);
  });

  it('knows the terms of what it holds and of the entry before (paper, section 5.3)', () => {
    const it = log([1, 2]);
    expect([9, 10, 11, 12, 13].map((index) => it.termAt(index))).toEqual([null, 1, 1, 2, null]);
  });

  it('replaces from the first conflict on, and only from there (paper, section 5.3)', () => {
    const known = log([1, 2, 2]);
    expect(known.maybeAppend(11, 1, [entry(12, 2)], 10)).toBe(12);
    expect(terms(known)).toEqual([1, 2, 2]);
    expect(known.maybeAppend(11, 1, [entry(12, 2), entry(13, 3), entry(14, 3)], 10)).toBe(14);
    expect(terms(known)).toEqual([1, 2, 3, 3]);
    expect(known.durable).toBe(12);
    expect(known.maybeAppend(13, 2, [], 10)).toBeNull();
    expect(known.maybeAppend(20, 3, [], 10)).toBeNull();
  });

  it('commits no further than what the message covers', () => {
    const it = log([1, 1, 1]);
    it.maybeAppend(10, 1, [entry(11, 1)], 13);
    expect(it.committed).toBe(11);
  });

  it('never replaces what is committed', () => {
    const it = log([1, 1], { committed: 12 });
    expect(() => it.maybeAppend(11, 1, [entry(12, 2)], 12)).toThrow(/committed/);
  });

  it('hints at the last entry that can match, a term at a time (paper, end of section 5.3)', () => {
    const it = log([1, 4, 4, 6]);
    expect(it.findConflictByTerm(14, 5)).toEqual({ index: 13, term: 4 });
    expect(it.findConflictByTerm(14, 3)).toEqual({ index: 11, term: 1 });
    expect(it.findConflictByTerm(14, 0)).toEqual({ index: 9, term: 0 });
  });

  it('judges which log is more up to date by term, then by index (paper, section 5.4.1)', () => {
    const it = log([1, 2]);
    expect(it.isUpToDate(12, 2)).toBe(true);
    expect(it.isUpToDate(1, 3)).toBe(true);
    expect(it.isUpToDate(11, 2)).toBe(false);
    expect(it.isUpToDate(99, 1)).toBe(false);
  });

  it('ignores an old completion for a tail that was rewritten since', () => {
    const it = log([]);
    it.append([entry(11, 1), entry(12, 1)]);
    it.takeUnhanded();
    it.append([entry(12, 2)]);
    it.durableTo(12, 1);
    expect(it.durable).toBe(10);
    it.durableTo(12, 2);
    expect(it.durable).toBe(10);
    expect(it.takeUnhanded().entries).toHaveLength(1);
    it.durableTo(12, 2);
    expect(it.durable).toBe(12);
  });

  it('gives out committed entries once, only durable ones, and so many bytes at a time', () => {
    const it = log([], { maxApplyingBytes: 40 });
    it.append([entry(11, 1, 10), entry(12, 1, 10), entry(13, 1, 10)]);
    it.commitTo(13);
    expect(it.hasApplicable(false)).toBe(false);
    it.takeUnhanded();
    it.durableTo(13, 1);
    expect(it.takeApplicable(false).map(({ index }) => index)).toEqual([11]);
    // There is still room: one more is always given.
    expect(it.takeApplicable(false).map(({ index }) => index)).toEqual([12]);
    expect(it.hasApplicable(false)).toBe(false);
    expect(it.appliedTo(12)).toBe(20);
    expect(it.takeApplicable(false).map(({ index }) => index)).toEqual([13]);
    expect(() => it.appliedTo(14)).toThrow(/never handed out/);
  });

  it('gives out nothing while a snapshot is being installed', () => {
    const it = log([1, 1], { committed: 12 });
    it.restore({ index: 20, term: 2, confState });
    expect(it).toMatchObject({ firstIndex: 21, lastIndex: 20, lastTerm: 2, committed: 20, applied: 10 });
    expect(it.hasApplicable(false)).toBe(false);
    expect(it.takeUnhanded().snapshot?.index).toBe(20);
    expect(it.hasUnhanded()).toBe(false);
    it.snapshotInstalled(20);
    expect(it).toMatchObject({ applied: 20, pendingSnapshot: null });
  });

  it('is compacted behind a snapshot, and may keep what followers near behind need', () => {
    const it = log([1, 1, 2, 2], { committed: 14 });
    it.takeApplicable(false);
    it.appliedTo(13);
    it.compact({ index: 13, term: 2, confState }, 11);
    expect(it).toMatchObject({ firstIndex: 12, snapshot: { index: 13 } });
    expect(it.termAt(11)).toBe(1);
    expect(it.termAt(10)).toBeNull();
    it.compact({ index: 12, term: 1, confState }, 12);
    expect(it).toMatchObject({ firstIndex: 13, snapshot: { index: 13 } });
    expect(() => it.compact({ index: 15, term: 2, confState }, 15)).toThrow(/handed out/);
  });
});
