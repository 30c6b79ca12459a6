import { describe, expect, it } from 'vitest';

import { membersOf } from './containment.ts';
import type { Markers, ProcessEntry } from './processes.ts';
import { ProcessScanner, readStat } from './processes.ts';

const markers: Markers = { taskId: 'task-a', attempt: '1', fencingToken: '9', errorFile: '/d/error.json' };
const leader = { pid: 100, startTicks: '5000' };

function entry(changes: Partial<ProcessEntry>): ProcessEntry {
  const plain = { startTicks: '6000', dead: false, processSession: 1, processGroup: 1, markers: null };
  return { pid: 200, ...plain, ...changes };
}

function isMember(changes: Partial<ProcessEntry>, others: readonly ProcessEntry[] = []): boolean {
  const candidate = entry(changes);
  return membersOf({ leader, markers }, [...others, candidate]).includes(candidate);
}

describe('what belongs to an attempt', () => {
  it('is its session, also after the leader has gone', () => {
    expect(isMember({ processSession: 100 })).toBe(true);
    expect(isMember({ pid: 100, startTicks: '5000', processSession: 100 })).toBe(true);
    expect(isMember({ processSession: 101 })).toBe(false);
  });

  it('is not the session of another process that was given the same pid', () => {
    const other = entry({ pid: 100, startTicks: '7000', processSession: 100 });
    expect(isMember({ processSession: 100 }, [other])).toBe(false);
    expect(isMember({ processSession: 100, markers }, [other])).toBe(true);
  });

  it('is whatever bears its markers', () => {
    expect(isMember({ markers })).toBe(true);
    expect(isMember({ markers: { ...markers, errorFile: null } })).toBe(true);
    expect(isMember({ markers: { ...markers, fencingToken: '10' } })).toBe(false);
    expect(isMember({ markers: { ...markers, attempt: '2' } })).toBe(false);
    expect(isMember({ markers: { ...markers, taskId: 'task-b' } })).toBe(false);
    // Another node's attempt on this machine.
    expect(isMember({ markers: { ...markers, errorFile: '/e/error.json' } })).toBe(false);
  });

  it('is nothing that is dead already', () => {
    expect(isMember({ processSession: 100, dead: true })).toBe(false);
  });
});

describe('a scan', () => {
  it('finds this process, and is shared by those who ask at once', async () => {
    const scanner = new ProcessScanner();
    const first = scanner.scan();
    const second = scanner.scan();
    expect(scanner.scan()).toBe(second);
    expect(second).not.toBe(first);
    const own = (await second).find(({ pid }) => pid === process.pid);
    expect(own?.startTicks).toBe(readStat(process.pid)?.startTicks);
    expect(await first).not.toBe(await second);
  });

  it('knows no process where there is none', () => {
    expect(readStat(2 ** 30)).toBeNull();
  });
});
