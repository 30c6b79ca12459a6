import { describe, expect, it } from 'vitest';

import { encodeFrame, FrameDecoder } from './frames.ts';
import { WATCHDOG_LIMITS } from './limits.ts';

describe('frames', () => {
  it('come back whole, however the bytes are cut', () => {
    const messages = [{ a: 1 }, { text: 'ä'.repeat(300) }, [], { last: null }];
    const bytes = Buffer.concat(messages.map(encodeFrame));
    for (const size of [1, 2, 3, 5, 64, 500, bytes.length]) {
      const decoder = new FrameDecoder();
      const decoded: unknown[] = [];
      for (let at = 0; at < bytes.length; at += size)
        decoded.push(...decoder.push(bytes.subarray(at, at + size)));
      expect(decoded).toEqual(messages);
    }
  });

  it('refuse what is too large, before buffering it', () => {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(WATCHDOG_LIMITS.maxFrameBytes + 1);
    expect(() => new FrameDecoder().push(header)).toThrow(/is announced/);
    expect(() => encodeFrame('x'.repeat(WATCHDOG_LIMITS.maxFrameBytes))).toThrow(/at most/);
  });

  it('refuse what is no JSON', () => {
    expect(() => new FrameDecoder().push(Buffer.from([0, 0, 0, 1, 0x7b]))).toThrow(/no JSON/);
  });
});
