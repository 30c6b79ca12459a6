import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { firstBytes, lastBytes } from './text.ts';

describe('cuts', () => {
  it('hold as much as fits, of whole characters', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'é', '€', '😀'), maxLength: 30 }),
        fc.nat({ max: 40 }),
        (text, most) => {
          const first = firstBytes(text, most);
          const last = lastBytes(text, most);
          expect(text.startsWith(first) && text.endsWith(last)).toBe(true);
          for (const cut of [first, last]) {
            expect(cut.isWellFormed()).toBe(true);
            expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(most);
            expect(cut === text || Buffer.byteLength(cut) > most - 4).toBe(true);
          }
        },
      ),
    );
  });
});
