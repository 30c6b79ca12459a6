import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { silentLog, type Log } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { tokenText } from '../lib/token-text.ts';
import type { AuditRecord } from '../operations/guard.ts';
import { AuditLog } from './audit-log.ts';

let directory: string;
let clock: VirtualClock;
let complaints: object[];

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'jarvis-audit-'));
  clock = new VirtualClock();
  complaints = [];
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const log: Log = { ...silentLog, error: (fields) => void complaints.push(fields) };

function open(fileBytes?: number): AuditLog {
  return new AuditLog({ directory, clock, log, ...(fileBytes === undefined ? {} : { fileBytes }) });
}

function record(target: string, changes: Partial<AuditRecord> = {}): AuditRecord {
  return {
    principal: 'token:abcdefghjkmn',
    name: 'ci',
    role: 'admin',
    operation: 'cancelTask',
    target,
    address: '10.0.0.7',
    forwarded: false,
    result: 'ok',
    ...changes,
  };
}

const denied = (target: string): AuditRecord =>
  record(target, { principal: null, result: 'unauthenticated' });

interface Line {
  readonly target?: string;
  readonly more_before?: number;
  readonly lost?: number;
}

function fileOf(age = 0): string {
  return path.join(directory, age === 0 ? 'audit.log' : `audit.log.${age}`);
}

/** Every line is JSON, or this throws. */
function linesOf(file = fileOf()): readonly Line[] {
  const text = readFileSync(file, 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

describe('the record of requests', () => {
  it('has a line for each, in the order in which they came, for the owner alone', async () => {
    const audit = open();
    for (let at = 0; at < 50; at += 1) {
      audit.record(record(`task-${at}`), false);
      if (at % 7 === 0) await audit.flush();
    }
    await audit.close();
    expect(linesOf().map(({ target }) => target)).toEqual(
      Array.from({ length: 50 }, (_, at) => `task-${at}`),
    );
    expect(linesOf()[0]).toEqual({ time: '2023-11-14T22:13:20.000Z', ...record('task-0') });
    expect(statSync(fileOf()).mode & 0o777).toBe(0o600);
  });

  it('goes on in the file of an earlier start, also where that was cut off, and closes it to others', async () => {
    writeFileSync(fileOf(), `${JSON.stringify(record('before'))}\n{"time":"2026-`);
    chmodSync(fileOf(), 0o644);
    const audit = open();
    audit.record(record('after'), false);
    await audit.close();
    const [before, torn, after, ...rest] = readFileSync(fileOf(), 'utf8').split('\n');
    expect([JSON.parse(before ?? ''), torn, rest]).toEqual([record('before'), '{"time":"2026-', ['']]);
    expect(JSON.parse(after ?? '')).toMatchObject({ target: 'after' });
    expect(statSync(fileOf()).mode & 0o777).toBe(0o600);
  });

  it('has no secret of a token, and no more of a target than names it', async () => {
    const audit = open();
    const secret = 'Zz9'.repeat(14) + 'A';
    audit.record(record(tokenText({ id: 'abcdefghjkmn', secret })), false);
    audit.record(record('x'.repeat(5000)), false);
    await audit.close();
    expect(readFileSync(fileOf(), 'utf8')).not.toContain(secret);
    expect(linesOf().map(({ target }) => target)).toEqual(['jarvis_abcdefghjkmn_…', `${'x'.repeat(256)}…`]);
  });
});

describe('files that take turns', () => {
  it('are bounded in size and number, and hold the newest lines without a gap', async () => {
    const audit = open(1000);
    for (let at = 0; at < 100; at += 1) {
      audit.record(record(`task-${at}`), false);
      await audit.flush();
    }
    await audit.close();
    const files = Array.from({ length: limits.auditFiles }, (_, age) => fileOf(age)).reverse();
    expect(readdirSync(directory).sort()).toEqual(files.map((file) => path.basename(file)).sort());
    for (const file of files) {
      expect(statSync(file).size).toBeLessThanOrEqual(1000);
      expect(statSync(file).mode & 0o777).toBe(0o600);
    }
    const targets = files.flatMap((file) => linesOf(file).map(({ target }) => target));
    const first = 100 - targets.length;
    expect(first).toBeGreaterThan(0);
    expect(targets).toEqual(targets.map((_, at) => `task-${first + at}`));
  });

  it('count what an earlier start has written', async () => {
    writeFileSync(fileOf(), `${'x'.repeat(990)}\n`);
    const audit = open(1000);
    audit.record(record('new'), false);
    await audit.close();
    expect(statSync(fileOf(1)).size).toBe(991);
    expect(linesOf()).toMatchObject([{ target: 'new' }]);
  });
});

describe('lines that cannot be written', () => {
  it('are counted in the next that can, and complained of once', async () => {
    rmSync(directory, { recursive: true });
    const audit = open();
    for (const target of ['one', 'two']) {
      audit.record(record(target), false);
      await audit.flush();
    }
    expect(complaints).toMatchObject([
      { file: fileOf(), error: expect.stringContaining('ENOENT') as string },
    ]);
    mkdirSync(directory);
    audit.record(record('three'), false);
    audit.record(record('four'), false);
    await audit.close();
    expect(linesOf()).toMatchObject([{ lost: 2 }, { target: 'three' }, { target: 'four' }]);
  });

  it('are those of a full disk, too', async () => {
    symlinkSync('/dev/full', fileOf());
    const audit = open();
    audit.record(record('one'), false);
    await audit.flush();
    expect(complaints).toMatchObject([{ error: expect.stringContaining('ENOSPC') as string }]);
    rmSync(fileOf());
    audit.record(record('two'), false);
    await audit.close();
    expect(linesOf()).toMatchObject([{ lost: 1 }, { target: 'two' }]);
  });

  it('are those that a slow disk does not keep up with', async () => {
    const audit = open();
    const bytes = JSON.stringify(record('x'.repeat(256))).length;
    const count = Math.ceil(limits.auditWaitingBytes / bytes) + 100;
    // In one turn: nothing is written meanwhile.
    for (let at = 0; at < count; at += 1) audit.record(record('x'.repeat(256)), false);
    await audit.flush();
    audit.record(record('last'), false);
    await audit.close();
    const lines = linesOf();
    const lost = lines.reduce((sum, { lost: some = 0 }) => sum + some, 0);
    expect(lost).toBeGreaterThan(0);
    expect(lines.filter(({ target }) => target !== undefined)).toHaveLength(count + 1 - lost);
  });

  it('are counted at the end where none was written after them', async () => {
    symlinkSync('/dev/full', fileOf());
    const audit = open();
    audit.record(record('one'), false);
    await audit.flush();
    rmSync(fileOf());
    await audit.close();
    expect(linesOf()).toEqual([{ lost: 1 }]);
  });
});

describe('requests that were denied', () => {
  it('have one line a minute and kind, and each of them is counted in the end', async () => {
    const audit = open();
    for (let at = 0; at < 5; at += 1) audit.record(denied(`task-${at}`), true);
    audit.record(record('other', { result: 'forbidden' }), true);
    await audit.flush();
    expect(linesOf()).toHaveLength(2);
    await clock.advance(limits.repeatedLineMs);
    await audit.flush();
    expect(linesOf().slice(2)).toMatchObject([{ target: 'task-4', more_before: 3 }]);
    audit.record(denied('task-5'), true);
    audit.record(denied('task-6'), true);
    await audit.close();
    expect(linesOf().slice(3)).toMatchObject([{ target: 'task-6', more_before: 1 }]);
    // Nothing is set off any more.
    await clock.advance(10 * limits.repeatedLineMs);
    expect(linesOf()).toHaveLength(4);
  });

  it('leave no file where there was none', async () => {
    await open().close();
    expect(existsSync(fileOf())).toBe(false);
  });
});
