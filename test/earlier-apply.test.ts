/**
 * Members of two builds apply one log until the last of them is upgraded: of whatever commands the earlier one knows, both
 * make the same rows, to the letter. What is to be otherwise waits for a later cluster version (docs/storage.md).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { runs } from '../src/lib/testing/property-runs.ts';
import type { ApplyResult } from '../src/scheduler/core/apply/apply.ts';
import { earlierStep, formed, inputOf } from '../src/scheduler/core/testing/random-commands.ts';
import {
  formedForGroups,
  groupInputOf,
  groupStep,
} from '../src/scheduler/core/testing/random-group-commands.ts';
import type { TestedCore } from '../src/scheduler/core/testing/test-cluster.ts';
import { FIRST_VERSION_COMMIT, historyObstacle, layOutBuild } from './support/earlier-build.ts';

const obstacle = historyObstacle(FIRST_VERSION_COMMIT);
if (obstacle !== null) process.stderr.write(`SKIPPED: apply of an earlier build: ${obstacle}\n`);

const LAY_OUT_TIMEOUT_MS = 60_000;

describe.skipIf(obstacle !== null)('apply, at the first cluster version', () => {
  let home = '';
  let earlier: TestedCore;

  beforeAll(async () => {
    home = mkdtempSync(path.join(tmpdir(), 'jarvis-earlier-'));
    const program = layOutBuild(FIRST_VERSION_COMMIT, path.join(home, 'build'));
    const core = path.join(path.dirname(program), '../scheduler/core');
    earlier = {
      ...((await import(path.join(core, 'apply/apply.ts'))) as Pick<TestedCore, 'apply' | 'rowsNamedBy'>),
      ...((await import(path.join(core, 'state.ts'))) as Pick<TestedCore, 'ClusterState'>),
    };
  }, LAY_OUT_TIMEOUT_MS);

  afterAll(() => rmSync(home, { recursive: true, force: true }));

  it('makes the rows that an earlier build makes', () => {
    fc.assert(
      fc.property(fc.array(earlierStep, { maxLength: 150, size: 'max' }), (steps) => {
        const now = formed();
        const before = formed(earlier);
        expect([...now.stored]).toEqual([...before.stored]);
        for (const one of steps) {
          now.atMs += one.passMs;
          before.atMs += one.passMs;
          const input = inputOf(now, one);
          expect(rowsOf(now.run(input))).toBe(rowsOf(before.run(input)));
        }
      }),
      { numRuns: runs(100) },
    );
  });

  it('makes the same of batches and DAGs', () => {
    fc.assert(
      fc.property(fc.array(groupStep, { maxLength: 60, size: 'max' }), (steps) => {
        const now = formedForGroups();
        const before = formedForGroups(earlier);
        for (const one of steps) {
          const input = groupInputOf(now, one);
          if (input === null) continue;
          now.atMs += 100;
          before.atMs += 100;
          expect(rowsOf(now.run(input))).toBe(rowsOf(before.run(input)));
        }
      }),
      { numRuns: runs(100) },
    );
  });
});

/** In their order, and their fields in theirs: digests are made of bytes. */
function rowsOf({ changes, outcome, poisoned }: ApplyResult): string {
  const rows = changes.map(({ table, key, after }) => [table, key, after]);
  return JSON.stringify([outcome.type, poisoned, rows]);
}
