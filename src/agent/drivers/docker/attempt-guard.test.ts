import { describe, expect, it } from 'vitest';

import { JarvisError } from '../../../lib/errors.ts';
import { guardStart, insistOnGuard } from './attempt-guard.ts';

const never = new AbortController().signal;

/** Fails so often with that code, then answers. */
function failing(code: 'conflict' | 'timeout' | 'unavailable', times: number) {
  let asked = 0;
  return {
    get asked() {
      return asked;
    },
    ask: async (): Promise<void> => {
      asked += 1;
      if (asked <= times) throw new JarvisError(code, 'not now');
    },
  };
}

describe('what is asked of the watchdog', () => {
  it.each(['conflict', 'timeout', 'unavailable'] as const)('is asked again after %s', async (code) => {
    const guard = failing(code, 2);
    await insistOnGuard(never, guard.ask);
    expect(guard.asked).toBe(3);
  });

  it('before a start is asked again, but for a session that has ended', async () => {
    const later = failing('timeout', 2);
    await guardStart(never, later.ask);
    expect(later.asked).toBe(3);
    const over = failing('conflict', 1);
    await expect(guardStart(never, over.ask)).rejects.toMatchObject({ code: 'conflict' });
    expect(over.asked).toBe(1);
  });
});
