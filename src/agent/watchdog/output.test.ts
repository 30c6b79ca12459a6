import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { readLog } from './attempt-log.ts';
import { decodeLogFrame, logFileName } from './log-format.ts';
import { AttemptLogWriter } from './log-writer.ts';
import { OutputPump } from './output.ts';

let directory: string;
let nowMs: number;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'jarvis-output-'));
  nowMs = 5000;
});

afterEach(() => rm(directory, { recursive: true, force: true }));

async function open(): Promise<{ readonly writer: AttemptLogWriter; readonly pump: OutputPump }> {
  const writer = await AttemptLogWriter.create(directory, { maxFileBytes: 4096, maxFiles: 3 });
  const pump = await OutputPump.open(directory, writer, { diagnose: () => undefined, wallMs: () => nowMs });
  return { writer, pump };
}

/** Each text at its time of the clock. */
async function take(pump: OutputPump, ...texts: readonly (readonly [number, string])[]): Promise<void> {
  const source = new PassThrough();
  pump.attach('stdout', source);
  for (const [atMs, text] of texts) {
    nowMs = atMs;
    const { promise, resolve } = Promise.withResolvers<void>();
    source.once('data', () => resolve());
    source.write(text);
    await promise;
  }
  source.end();
}

async function stamps(): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const { atMs, data } of readLog(directory)) all.push([atMs, data.toString()]);
  return all;
}

describe("the times of an attempt's output", () => {
  it('never fall where the clock is set back, the end included', async () => {
    const { pump } = await open();
    await take(pump, [5000, 'a'], [4000, 'b'], [6000, 'c']);
    nowMs = 1000;
    await pump.finish();
    expect(await stamps()).toEqual([
      [5000, 'a'],
      [5000, 'b'],
      [6000, 'c'],
    ]);
    let bytes = await readFile(join(directory, logFileName(1)));
    const times: number[] = [];
    for (let next = decodeLogFrame(bytes); typeof next !== 'string'; next = decodeLogFrame(bytes)) {
      times.push(next.frame.atMs);
      bytes = bytes.subarray(next.length);
    }
    expect(times).toEqual([5000, 5000, 6000, 6000]);
  });

  it('go on from the newest where somebody else goes on with the log', async () => {
    const first = await open();
    await take(first.pump, [5000, 'a']);
    await first.writer.release();
    const second = await open();
    await take(second.pump, [3000, 'b'], [5001, 'c']);
    await second.pump.finish();
    expect(await stamps()).toEqual([
      [5000, 'a'],
      [5000, 'b'],
      [5001, 'c'],
    ]);
  });
});
