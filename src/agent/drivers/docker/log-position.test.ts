import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { LogPosition } from './log-position.ts';

describe('LogPosition', () => {
  it('begins at the beginning', () => {
    expect(new LogPosition().resume).toEqual({ sinceSeconds: 0, skipEntries: 0, skipUntilMs: 0 });
  });

  it('names the second before the newest entry, and counts from there', () => {
    const position = new LogPosition();
    for (const atMs of [10_500, 11_100, 11_900, 12_000, 12_000, 11_999]) position.add(atMs);
    expect(position.resume).toEqual({ sinceSeconds: 11, skipEntries: 5, skipUntilMs: 12_000 });
  });

  it('resumes with what was not kept and nothing else, wherever it breaks off', () => {
    // Entries as an engine has them: almost in the order of their times.
    const entries = fc
      .array(
        fc.record({ stepMs: fc.integer({ min: 0, max: 900 }), jitterMs: fc.integer({ min: 0, max: 3 }) }),
        {
          minLength: 1,
          maxLength: 200,
        },
      )
      .map((steps) => {
        let atMs = 1_000_000;
        return steps.map(({ stepMs, jitterMs }, index) => {
          atMs += stepMs;
          return { index, atMs: atMs - jitterMs };
        });
      });
    fc.assert(
      fc.property(entries, fc.array(fc.nat(200), { maxLength: 5 }), (all, cuts) => {
        const position = new LogPosition();
        const kept: number[] = [];
        for (const cut of [...cuts, Number.POSITIVE_INFINITY]) {
          const { sinceSeconds, skipEntries, skipUntilMs } = position.resume;
          let skipped = 0;
          let read = 0;
          for (const { index, atMs } of all.filter((entry) => entry.atMs >= sinceSeconds * 1000)) {
            if (skipped < skipEntries && atMs <= skipUntilMs) {
              skipped += 1;
              continue;
            }
            if (read >= cut) break;
            read += 1;
            position.add(atMs);
            kept.push(index);
          }
        }
        expect(kept).toEqual(all.map(({ index }) => index));
      }),
    );
  });
});
