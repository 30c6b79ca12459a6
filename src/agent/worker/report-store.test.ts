import { appendFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../../lib/log.ts';
import { WORKER_LIMITS } from './limits.ts';
import { ReportStore } from './report-store.ts';
import { exitOf } from './testing/values.ts';
import { reportOfExit } from './wire.ts';

const report = (n: number, logTail = '') =>
  reportOfExit({ taskId: `task-${n}`, assignment: n }, exitOf({ logTail }), null);

describe('ReportStore', () => {
  let directory = '';
  beforeEach(async () => {
    directory = join(await mkdtemp(join(tmpdir(), 'jarvis-reports-')), 'reports');
  });
  afterEach(() => rm(join(directory, '..'), { recursive: true, force: true }));

  it('reads what was written before there were notes and images', async () => {
    await mkdir(directory, { recursive: true });
    const { note: _note, imageDigest: _digest, ...earlier } = report(1);
    const json = JSON.stringify({ put: earlier });
    await writeFile(join(directory, 'reports.log'), `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`);
    const { store, reports } = await ReportStore.open(directory, silentLog);
    expect(reports).toEqual([report(1)]);
    await store.close();
  });

  it('gives back after a restart what was not acknowledged', async () => {
    const first = await ReportStore.open(directory, silentLog);
    expect(first.reports).toEqual([]);
    await Promise.all([1, 2, 3].map((n) => first.store.put(report(n))));
    await first.store.acknowledge({ taskId: 'task-2', assignment: 2 });
    await first.store.close();
    const second = await ReportStore.open(directory, silentLog);
    expect(second.reports).toEqual([report(1), report(3)]);
    await second.store.close();
  });

  it.each([
    ['a torn last line', async (file: string) => appendFile(file, '00000000 {"put":{"taskId"')],
    [
      'a flipped bit',
      async (file: string) => writeFile(file, (await readFile(file, 'utf8')).replace('task-2', 'task-3')),
    ],
  ])('leaves out %s', async (_name, damage) => {
    const first = await ReportStore.open(directory, silentLog);
    await first.store.put(report(1));
    await first.store.put(report(2));
    await first.store.close();
    await damage(join(directory, 'reports.log'));
    const second = await ReportStore.open(directory, silentLog);
    expect(second.reports[0]).toEqual(report(1));
    await second.store.put(report(4));
    await second.store.close();
    const third = await ReportStore.open(directory, silentLog);
    expect(third.reports.map(({ taskId }) => taskId)).toContain('task-4');
    await third.store.close();
  });

  it('does not grow with what was acknowledged', async () => {
    const { store } = await ReportStore.open(directory, silentLog);
    const tail = 'x'.repeat(64 * 1024);
    await store.put(report(1));
    for (let n = 2; n < 150; n += 1) {
      await store.put(report(n, tail));
      await store.acknowledge({ taskId: `task-${n}`, assignment: n });
    }
    const { size } = await stat(join(directory, 'reports.log'));
    expect(size).toBeLessThan(WORKER_LIMITS.storeGarbageBytes + 2 * tail.length);
    await store.close();
    const again = await ReportStore.open(directory, silentLog);
    expect(again.reports).toEqual([report(1)]);
    await again.store.close();
  });

  it('refuses what comes after close', async () => {
    const { store } = await ReportStore.open(directory, silentLog);
    await store.close();
    await expect(store.put(report(1))).rejects.toMatchObject({ code: 'unavailable' });
  });
});
