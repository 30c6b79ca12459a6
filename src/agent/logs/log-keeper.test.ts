import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import type { LogRetention } from '../../model/cluster.ts';
import { LogKeeper } from './log-keeper.ts';

const HOUR_MS = 3_600_000;
const KIB = 1024;
const log = pino({ enabled: false });
const clock = new VirtualClock();

let root: string;
let retention: LogRetention | null;
let keeper: LogKeeper;

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'jarvis-log-keeper-'));
  retention = { logsMs: 24 * HOUR_MS, maxLogBytes: 2 ** 40 };
  keeper = make();
});

afterEach(() => rmSync(root, { recursive: true }));

function make(): LogKeeper {
  return new LogKeeper({ dataDirectory: root, retention: () => retention, clock, log });
}

/** An attempt whose log was written last so many hours ago. */
function keep(task: string, hoursAgo: number, bytes = 64 * KIB, assignment = 1): string {
  const directory = path.join(root, 'tasks', task, String(assignment));
  mkdirSync(path.join(directory, 'work', 'deep'), { recursive: true });
  writeFileSync(path.join(directory, 'work', 'deep', 'file'), 'left');
  writeFileSync(path.join(directory, 'result.json'), '{}');
  const file = path.join(directory, 'log.000001');
  writeFileSync(file, Buffer.alloc(bytes, 1));
  const at = new Date(clock.wallMs() - hoursAgo * HOUR_MS);
  utimesSync(file, at, at);
  return directory;
}

/** It may run: its owner has a record of it. */
function record(owner: 'watchdog' | 'docker', task: string): void {
  mkdirSync(path.join(root, owner, 'attempts'), { recursive: true });
  writeFileSync(path.join(root, owner, 'attempts', `${task}.1.json`), '{}');
}

describe('retention of logs', () => {
  it('removes what is older than it is to be kept, and its task when that is the last of it', async () => {
    const old = keep('task-a', 25);
    const young = keep('task-a', 23, KIB, 2);
    const alone = keep('task-b', 25);
    await keeper.look();
    expect([old, young, alone].map((directory) => existsSync(directory))).toEqual([false, true, false]);
    expect(existsSync(path.dirname(alone))).toBe(false);
    expect(keeper.whyGone(clock.wallMs() - 25 * HOUR_MS)).toMatch(
      /^which removed it at .*: logs are kept for 1d$/,
    );
    expect(keeper.whyGone(clock.wallMs())).toBe('which has no files of it');
    expect(keeper.whyGone(null)).toBe('which has no files of it');
  });

  it('makes room by removing the oldest, remembers when, and so does the next start', async () => {
    const directories = [3, 1, 2, 5, 4].map((hoursAgo) => keep(`task-${hoursAgo}`, hoursAgo));
    retention = { logsMs: 24 * HOUR_MS, maxLogBytes: 230 * KIB };
    await keeper.look();
    expect(directories.map((directory) => existsSync(directory))).toEqual([true, true, true, false, false]);
    await keeper.start();
    await keeper.close();
    const next = make();
    await next.start();
    await next.close();
    expect(keeper.roomBytes).toBeGreaterThan(0);
    expect(keeper.roomBytes).toBeLessThan(64 * KIB);
    for (const one of [keeper, next]) {
      expect(one.whyGone(clock.wallMs() - 4 * HOUR_MS)).toMatch(
        /^which removed it at .*: it keeps 230Ki of logs at most$/,
      );
      expect(one.whyGone(clock.wallMs() - 3 * HOUR_MS)).toBe('which has no files of it');
    }
  });

  it.each(['watchdog', 'docker'] as const)(
    'leaves alone what may run, however old and large, and makes room elsewhere (%s)',
    async (owner) => {
      const running = keep('task-running', 1000, 512 * KIB);
      record(owner, 'task-running');
      const over = keep('task-over', 1);
      retention = { logsMs: 24 * HOUR_MS, maxLogBytes: 256 * KIB };
      await keeper.look();
      expect(existsSync(path.join(running, 'log.000001'))).toBe(true);
      expect(existsSync(path.join(running, 'work', 'deep', 'file'))).toBe(true);
      expect(existsSync(over)).toBe(false);
    },
  );

  it('clears away what an attempt that is over left beside its log', async () => {
    const directory = keep('task-a', 1);
    await keeper.look();
    expect(existsSync(path.join(directory, 'log.000001'))).toBe(true);
    expect(existsSync(path.join(directory, 'work'))).toBe(false);
    expect(existsSync(path.join(directory, 'result.json'))).toBe(false);
  });

  it('follows no link, and touches nothing that is no attempt', async () => {
    const elsewhere = path.join(root, 'elsewhere');
    mkdirSync(path.join(elsewhere, 'work'), { recursive: true });
    const directory = keep('task-a', 1);
    symlinkSync(elsewhere, path.join(directory, 'link'));
    symlinkSync(elsewhere, path.join(root, 'tasks', 'task-a', '2'));
    symlinkSync(elsewhere, path.join(root, 'tasks', 'task-b'));
    mkdirSync(path.join(root, 'tasks', 'task-c', 'none'), { recursive: true });
    writeFileSync(path.join(root, 'tasks', 'file'), '');
    retention = { logsMs: 1, maxLogBytes: 1 };
    await keeper.look();
    expect(existsSync(directory)).toBe(false);
    expect(existsSync(path.join(elsewhere, 'work'))).toBe(true);
    expect(existsSync(path.join(root, 'tasks', 'task-c', 'none'))).toBe(true);
  });

  it('removes nothing while it does not know what is to be kept', async () => {
    retention = null;
    const directory = keep('task-a', 10_000);
    await keeper.look();
    expect(existsSync(directory)).toBe(true);
    expect(keeper.roomBytes).toBe(0);
  });

  it('goes on in intervals until it is closed, soon where it did not know what is to be kept', async () => {
    const known = retention;
    retention = null;
    await keeper.start();
    await clock.advance(100);
    retention = known;
    while (keeper.roomBytes === 0) {
      await clock.advance(10);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    const settled = async (): Promise<void> => {
      while (existsSync(directory)) {
        await clock.advance(1000);
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    };
    const directory = keep('task-a', 25);
    await settled();
    await keeper.close();
    expect(existsSync(directory)).toBe(false);
  });

  it('ignores a memory of removed logs that does not read', async () => {
    writeFileSync(path.join(root, 'logs-removed.json'), '{"torn');
    await keeper.start();
    await keeper.close();
    expect(keeper.whyGone(0)).toMatch(/logs are kept for 1d/);
  });
});
