import { describe, expect, it } from 'vitest';

import type { LogsRequest } from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import { LogPosition } from './log-position.ts';

const REQUEST: LogsRequest = { id: 'task-1', follow: true, stream: '', attempt: 1, tail: 5 };

function chunk(atMs: number, text: string, stream = 'stdout'): LogChunk {
  return { stream, at_ms: atMs, data: Buffer.from(text) };
}

function read(position: LogPosition, ...chunks: readonly LogChunk[]): string {
  return chunks.map((next) => Buffer.from(position.accept(next)?.data ?? []).toString()).join('');
}

async function opened(tail: number, log: readonly LogChunk[]): Promise<LogPosition> {
  const position = new LogPosition({ ...REQUEST, tail });
  await position.open(async function* ({ since = '1970-01-01T00:00:00Z' }: LogsRequest) {
    yield* log.filter(({ at_ms: atMs }) => atMs >= Date.parse(since));
  });
  return position;
}

// oxlint-disable-next-line require-yield
async function* broken(): AsyncGenerator<LogChunk> {
  throw new Error('broken');
}

describe('LogPosition', () => {
  describe('once it is open', () => {
    const there = [chunk(4, 'a'), chunk(5, 'b'), chunk(5, 'c')];

    it.each([0, 2])('reads the whole of a log in which nothing was, with a tail of %i', async (tail) => {
      expect((await opened(tail, [])).resume()).toEqual({ ...REQUEST, tail: undefined });
    });

    it('begins after all that was there, with a tail of 0', async () => {
      const position = await opened(0, there);
      expect(position.resume()).toEqual({ ...REQUEST, tail: undefined, since: '1970-01-01T00:00:00.005Z' });
      expect(read(position, chunk(5, 'b'), chunk(5, 'cd'))).toBe('d');
    });

    it('begins with the last lines of what was there', async () => {
      expect((await opened(2, there)).resume()).toEqual({ ...REQUEST, tail: 2 });
    });
  });

  it('is not opened by a reading that broke', async () => {
    const position = new LogPosition(REQUEST);
    await expect(position.open(broken)).rejects.toThrow('broken');
    expect(position.resume()).toEqual(REQUEST);
  });

  it('repeats the request as it was while nothing has come', () => {
    expect(new LogPosition(REQUEST).resume()).toEqual(REQUEST);
  });

  it('asks since the newest chunk and skips what of that moment has been delivered', () => {
    const position = new LogPosition(REQUEST);
    expect(read(position, chunk(1000, 'a'), chunk(2000, 'b'), chunk(2000, 'c'))).toBe('abc');
    expect(position.resume()).toEqual({ ...REQUEST, tail: undefined, since: '1970-01-01T00:00:02.000Z' });
    // Cut in another way than before, with more of the same moment.
    expect(read(position, chunk(2000, 'bcd'), chunk(3000, 'e'))).toBe('de');
    position.resume();
    expect(read(position, chunk(3000, 'e'), chunk(3000, 'f'))).toBe('f');
  });

  it('counts each stream apart', () => {
    const position = new LogPosition(REQUEST);
    read(position, chunk(1, 'out'), chunk(1, 'error', 'stderr'));
    position.resume();
    expect(read(position, chunk(1, 'error!', 'stderr'), chunk(1, 'out?'))).toBe('!?');
  });

  it('skips nothing where the log has lost that moment', () => {
    const position = new LogPosition(REQUEST);
    read(position, chunk(1, 'lost later'));
    position.resume();
    expect(read(position, chunk(2, 'new'))).toBe('new');
  });

  it('survives a second break before anything new came', () => {
    const position = new LogPosition(REQUEST);
    read(position, chunk(1, 'abc'));
    position.resume();
    expect(read(position, chunk(1, 'ab'))).toBe('');
    position.resume();
    expect(read(position, chunk(1, 'abcd'))).toBe('d');
  });

  it('delivers what a clock that was set back has stamped', () => {
    const position = new LogPosition(REQUEST);
    expect(read(position, chunk(5, 'a'), chunk(4, 'b'), chunk(6, 'c'))).toBe('abc');
  });
});
