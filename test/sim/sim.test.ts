import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { JarvisError } from '../../src/lib/errors.ts';
import { MUTANTS } from './mutants.ts';
import { editsOf, ROOT } from './mutate.ts';
import { parseOptions } from './options.ts';
import { simulateNodes } from './nodes/simulate-nodes.ts';
import { simulate, type SeedResult } from './simulation.ts';
import { COUNTERS } from './trace.ts';

const SEEDS = 120;
const SEEDS_WITH_NODES = 25;

function sim(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [path.join(import.meta.dirname, 'main.ts'), ...args], {
    encoding: 'utf8',
  });
}

describe('the simulator', () => {
  it('goes the same way twice with one seed, and another with another', async () => {
    const [first, second, other] = [await simulate(7), await simulate(7), await simulate(8)];
    expect(second).toEqual(first);
    expect(first.virtualMs).toBeGreaterThanOrEqual(60_000);
    expect(other.trace).not.toBe(first.trace);
  });

  it('goes the same way twice with nodes, too', async () => {
    const [first, second] = [await simulateNodes(3), await simulateNodes(3)];
    expect(second).toEqual(first);
    expect(first.virtualMs).toBeGreaterThanOrEqual(60_000);
  });

  it('goes the same way in a process of its own', async () => {
    // One that failed before has both runs, the one with nodes last.
    const failed = 701_467;
    for (const seed of [7, 74, 225, 3114, failed]) {
      const { status, stdout } = sim('--seed', `${seed}`, '--count', '1');
      const { trace } = await (seed === failed ? simulateNodes : simulate)(seed);
      expect(status).toBe(0);
      expect(stdout).toContain(`sim: seed ${seed} ended with trace ${trace}\n`);
    }
  });

  const taken = new Set<string>();
  const violationsOf = async (
    run: (seed: number) => Promise<SeedResult>,
    seeds: number,
  ): Promise<string[]> => {
    const violations: string[] = [];
    for (let seed = 1; seed <= seeds; seed += 1) {
      const { violation, counters } = await run(seed);
      if (violation !== null) violations.push(`seed ${seed}: ${violation}`);
      for (const name of counters.keys()) taken.add(name);
    }
    return violations;
  };

  it('finds nothing in some fixed seeds', async () => {
    expect(await violationsOf(simulate, SEEDS)).toEqual([]);
  });

  it('finds nothing in some fixed seeds with nodes', async () => {
    expect(await violationsOf(simulateNodes, SEEDS_WITH_NODES)).toEqual([]);
  });

  it('takes every rare path in those', () => {
    expect(COUNTERS.filter((name) => !taken.has(name))).toEqual([]);
  });
});

describe('the mutants', () => {
  it('have names of their own, and replace what occurs once', () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
    const wrong = MUTANTS.filter((mutant) =>
      editsOf(mutant).some(({ file, find, replace }) => {
        const occurrences = readFileSync(path.join(ROOT, file), 'utf8').split(find).length - 1;
        return occurrences !== 1 || find === replace || !/^[a-zA-Z-]+$/.test(mutant.name);
      }),
    );
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });

  it('are planted by name, found, and told with the command that replays it', () => {
    const { status, stderr } = sim('--seed', '1', '--count', '30', '--mutant', 'commit-quorum-off-by-one');
    expect(status).toBe(1);
    const told = /again: npm run sim -- --seed (\d+) --count 1 --mutant commit-quorum-off-by-one\n/.exec(
      stderr,
    );
    const again = sim('--seed', told?.[1] ?? '', '--count', '1', '--mutant', 'commit-quorum-off-by-one');
    expect(again).toMatchObject({ status: 1, stderr });
  });
});

describe('the command line', () => {
  it('lists the mutants, one a line', () => {
    const { status, stdout } = sim('--list-mutants');
    expect(status).toBe(0);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0]),
    ).toEqual(MUTANTS.map(({ name }) => name));
  });

  it('refuses what it does not know, in one line', () => {
    for (const args of [['--nonsense'], ['--seed', 'x'], ['--count', '0'], ['--mutant', 'none'], ['more']]) {
      expect(() => parseOptions(args)).toThrow(JarvisError);
    }
    const { status, stderr } = sim('--count', '-1');
    expect(status).toBe(2);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
