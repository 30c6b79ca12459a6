import { describe, expect, it } from 'vitest';

import type { LogEntry } from './log-frames.ts';
import { readLogEntries } from './log-frames.ts';

const TIME = '2026-11-26T16:16:32.123456789Z';

function frame(stream: number, content: string | Buffer): Buffer {
  const data = Buffer.concat([Buffer.from(`${TIME} `), Buffer.from(content)]);
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(data.length, 4);
  return Buffer.concat([header, data]);
}

async function read(chunks: readonly Buffer[]): Promise<readonly LogEntry[]> {
  async function* source(): AsyncGenerator<Buffer> {
    yield* chunks;
  }
  const entries: LogEntry[] = [];
  for await (const entry of readLogEntries(source()))
    entries.push({ ...entry, data: Buffer.from(entry.data) });
  return entries;
}

describe('readLogEntries', () => {
  const bytes = Buffer.concat([frame(1, 'one\n'), frame(2, Buffer.from([0, 255, 32, 10])), frame(1, '')]);
  const atMs = Date.parse('2026-11-26T16:16:32.123Z');
  const expected = [
    { stream: 'stdout', atMs, data: Buffer.from('one\n') },
    { stream: 'stderr', atMs, data: Buffer.from([0, 255, 32, 10]) },
    { stream: 'stdout', atMs, data: Buffer.alloc(0) },
  ];

  it('reads entries however they are cut', async () => {
    expect(await read([bytes])).toEqual(expected);
    for (let at = 1; at < bytes.length; at += 1)
      expect(await read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected);
    expect(await read([...bytes].map((byte) => Buffer.from([byte])))).toEqual(expected);
  });

  it('leaves out what is torn at the end', async () => {
    expect(await read([bytes.subarray(0, bytes.length - 1)])).toEqual(expected.slice(0, 2));
  });

  it('hands on what the engine says of output that it cannot read', async () => {
    const header = Buffer.from([3, 0, 0, 0, 0, 0, 0, 5]);
    await expect(read([bytes, Buffer.concat([header, Buffer.from('error')])])).rejects.toMatchObject({
      name: 'OutputDamaged',
      message: 'error',
    });
  });

  it('refuses what is no such stream', async () => {
    const huge = Buffer.from([1, 0, 0, 0, 255, 255, 255, 255]);
    await expect(read([huge])).rejects.toThrow('bytes');
    const header = Buffer.from([1, 0, 0, 0, 0, 0, 0, 3]);
    await expect(read([Buffer.concat([header, Buffer.from('a b')])])).rejects.toThrow('without its time');
  });
});
