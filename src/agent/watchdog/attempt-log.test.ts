import { appendFile, mkdtemp, open, readdir, rm, stat, truncate, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ReadLogOptions } from './attempt-log.ts';
import { readLog } from './attempt-log.ts';
import { logFileName } from './log-format.ts';
import { AttemptLogWriter } from './log-writer.ts';
import { OutputCounters } from './output-counters.ts';

const LIMITS = { maxFileBytes: 4096, maxFiles: 3 };

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'jarvis-log-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function text(options: ReadLogOptions = {}): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readLog(directory, options)) chunks.push(chunk.data);
  return Buffer.concat(chunks).toString('latin1');
}

async function write(...lines: readonly (readonly ['stdout' | 'stderr', number, string])[]): Promise<void> {
  const writer = await AttemptLogWriter.create(directory, LIMITS);
  for (const [stream, atMs, line] of lines) writer.write(stream, atMs, Buffer.from(line, 'latin1'));
  await writer.end(99);
}

describe('attempt log', () => {
  it('gives back bytes, streams and times, binary data too', async () => {
    await write(['stdout', 5, 'a\0\xff\n'], ['stderr', 6, 'b\n'], ['stdout', 7, 'c']);
    const chunks: unknown[] = [];
    for await (const { atMs, stream, data } of readLog(directory))
      chunks.push([atMs, stream, data.toString('latin1')]);
    expect(chunks).toEqual([
      [5, 'stdout', 'a\0\xff\n'],
      [6, 'stderr', 'b\n'],
      [7, 'stdout', 'c'],
    ]);
  });

  it('filters by stream and time', async () => {
    await write(['stdout', 5, 'a\n'], ['stderr', 6, 'b\n'], ['stdout', 7, 'c\n']);
    expect(await text({ stream: 'stdout' })).toBe('a\nc\n');
    expect(await text({ sinceMs: 6 })).toBe('b\nc\n');
  });

  it('keeps what it has where the disk refuses more, however often, and goes on behind it', async () => {
    const probe = await open(join(directory, 'probe'), 'w');
    const files = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    const writer = await AttemptLogWriter.create(directory, LIMITS);
    writer.write('stdout', 1, Buffer.from('before\n'));
    await vi.waitUntil(
      async () => (await readdir(directory)).includes(logFileName(1)) && (await text()) !== '',
    );
    const refusing = vi.spyOn(files, 'appendFile').mockImplementation(async function refuse(
      this: FileHandle,
      data,
    ) {
      await this.write((data as Buffer).subarray(0, 7));
      throw new Error('no space left on device');
    });
    for (let times = 0; times < 2 * LIMITS.maxFiles; times += 1) {
      const { bytes } = writer.loss;
      writer.write('stdout', 2, Buffer.from('refused\n'));
      await vi.waitUntil(() => writer.loss.bytes > bytes);
    }
    refusing.mockRestore();
    writer.write('stdout', 3, Buffer.from('after\n'));
    await writer.end(99);
    expect(await text()).toBe('before\nafter\n');
    expect(await readdir(directory)).toEqual([logFileName(1), 'probe']);
  });

  it('begins a number of lines before the end', async () => {
    await write(['stdout', 1, 'a\nb'], ['stderr', 2, 'x\n'], ['stdout', 3, 'c\nd\ne']);
    const tails = await Promise.all([0, 1, 2, 3, 9].map((tail) => text({ tail })));
    expect(tails).toEqual(['', 'e', 'd\ne', 'c\nd\ne', 'a\nbx\nc\nd\ne']);
    expect(await text({ tail: 1, stream: 'stderr' })).toBe('x\n');
  });

  it('drops the oldest files, and counts lines over file boundaries', async () => {
    const lines = Array.from({ length: 1000 }, (_, index) => `line ${index} ${'.'.repeat(index % 40)}\n`);
    const writer = await AttemptLogWriter.create(directory, LIMITS);
    for (const line of lines) {
      if (!writer.write('stdout', 1, Buffer.from(line)))
        await new Promise<void>((resolve) => {
          writer.onDrain = resolve;
        });
      // Small batches, so that files rotate as they do with slow output.
      await Promise.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writer.end(2);
    const names = await readdir(directory);
    expect(names.length).toBe(3);
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, name))).size));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(LIMITS.maxFileBytes);
    expect(lines.join('').endsWith(await text())).toBe(true);
    for (const tail of [1, 7, 40, 77]) expect(await text({ tail })).toBe(lines.slice(-tail).join(''));
  });

  it('ends at a torn frame, and goes on in the next file', async () => {
    await write(['stdout', 1, 'one\n'], ['stdout', 2, 'two\n']);
    const first = join(directory, logFileName(1));
    await truncate(first, (await stat(first)).size - 16 - 2);
    expect(await text()).toBe('one\n');
    await write(['stdout', 3, 'three\n']);
    expect(await text()).toBe('one\nthree\n');
  });

  it('ends its file at a damaged frame', async () => {
    await write(['stdout', 1, 'one\n']);
    const first = join(directory, logFileName(1));
    await truncate(first, (await stat(first)).size - 16);
    await appendFile(first, Buffer.alloc(64));
    expect(await text()).toBe('one\n');
  });

  it('reads as empty where there is none', async () => {
    await rm(directory, { recursive: true });
    expect(await text()).toBe('');
    expect(await text({ tail: 3 })).toBe('');
  });
});

describe('following a log', () => {
  it('waits for it, passes rotations and stops at the end mark', async () => {
    const followed = text({ follow: true });
    const writer = await AttemptLogWriter.create(directory, { ...LIMITS, maxFiles: 1000 });
    let expected = '';
    for (let index = 0; index < 300; index += 1) {
      const line = `${index} ${'x'.repeat(200)}\n`;
      expected += line;
      writer.write('stdout', index, Buffer.from(line));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writer.end(1);
    expect((await readdir(directory)).length).toBeGreaterThan(5);
    expect(await followed).toBe(expected);
  });

  it('goes on at the oldest file where the next was dropped', async () => {
    await write(['stdout', 1, 'one\n']);
    const first = join(directory, logFileName(1));
    await truncate(first, (await stat(first)).size - 16);
    const iterator = readLog(directory, { follow: true })[Symbol.asyncIterator]();
    expect((await iterator.next()).value?.data.toString()).toBe('one\n');
    await write(['stdout', 2, 'two\n']);
    await unlink(join(directory, logFileName(2)));
    const rest = iterator.next();
    const writer = new AttemptLogWriter(directory, LIMITS, {
      present: [4],
      counters: new OutputCounters(),
    });
    writer.write('stderr', 3, Buffer.from('five\n'));
    await writer.end(4);
    expect((await rest).value?.data.toString()).toBe('five\n');
    expect((await iterator.next()).done).toBe(true);
  });

  it('ends quietly on abort', async () => {
    const controller = new AbortController();
    const followed = text({ follow: true, signal: controller.signal });
    controller.abort();
    expect(await followed).toBe('');
  });
});
