import { setImmediate as turn } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { atOnce } from './at-once.ts';

describe('doing things at once', () => {
  it('does each of them once, and no more than so many at a time', async () => {
    const done: number[] = [];
    let running = 0;
    let most = 0;
    await atOnce({ count: 10, width: 3, signal: new AbortController().signal }, async (at) => {
      running += 1;
      most = Math.max(most, running);
      await turn();
      running -= 1;
      done.push(at);
    });
    expect(done.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(most).toBe(3);
  });

  it('begins nothing more after a failure or an interruption', async () => {
    let begun = 0;
    const failing = atOnce({ count: 10, width: 2, signal: new AbortController().signal }, async () => {
      begun += 1;
      await turn();
      throw new Error('it failed');
    });
    await expect(failing).rejects.toThrow('it failed');
    expect(begun).toBe(2);
    const interrupted = atOnce({ count: 1, width: 1, signal: AbortSignal.abort('SIGINT') }, async () => {
      begun += 1;
    });
    await expect(interrupted).rejects.toBe('SIGINT');
    expect(begun).toBe(2);
  });
});
