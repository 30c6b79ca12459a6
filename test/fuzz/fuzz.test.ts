/** The fuzzing itself: the same seed gives the same inputs, and what is planted is found. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { seededRandom } from '../../src/lib/random.ts';
import { mutated, mutatedText } from './mutations.ts';
import { parseOptions } from './options.ts';
import { PLANTS } from './plants.ts';
import { inputAt } from './run.ts';
import { TARGETS } from './targets.ts';
import { changedValue } from './values.ts';

const MAIN = path.join(import.meta.dirname, 'main.ts');

async function fuzz(...args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, output };
}

describe('inputs', () => {
  it.each(TARGETS.map((target) => [target.name, target] as const))(
    'are the same for the same seed, and others for another: %s',
    async (name, target) => {
      const open = await target.open();
      try {
        const inputs = (seed: number): string[] =>
          Array.from({ length: 20 }, (_, index) => inputAt(open, name, seed, index).toString('base64'));
        expect(inputs(7)).toEqual(inputs(7));
        expect(inputs(8)).not.toEqual(inputs(7));
      } finally {
        await open.close?.();
      }
    },
  );

  it('are bounded, however often a piece of them is repeated', () => {
    const random = seededRandom(1);
    const samples = [Buffer.alloc(100_000, 'x'), Buffer.alloc(0), Buffer.from('a')];
    for (let time = 0; time < 300; time += 1) {
      expect(mutated(random, samples).length).toBeLessThanOrEqual(256 * 1024);
      expect(mutatedText(random, samples).length).toBeLessThanOrEqual(256 * 1024);
    }
  });

  it('are bounded as values too, change upon change', () => {
    const sample = { text: 'x'.repeat(10_000), list: [{ a: 'x'.repeat(1000) }], word: 'abc' };
    for (let seed = 0; seed < 20_000; seed += 1) {
      const changed = JSON.stringify(changedValue(seededRandom(seed), sample)) ?? '';
      expect(changed.length, `seed ${seed}`).toBeLessThanOrEqual(2 * 1024 * 1024);
    }
  });
});

describe('the command line', () => {
  it.each([
    [['--seed', '-1'], /--seed/],
    [['--count', '0'], /--count/],
    [
      ['--target', 'nothing'],
      /"nothing" is not allowed: one of words|"nothing" is not allowed: one of spec-yaml/,
    ],
    [['--plant', 'nothing'], /--plant/],
    [['--input', 'AAAA'], /--target/],
    [['surplus'], /surplus/],
  ])('refuses %j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });
});

describe('a planted bug', () => {
  it.each(PLANTS.filter(({ name }) => name !== 'hang').map(({ name, target }) => [name, target] as const))(
    'is found: %s',
    async (name, target) => {
      const { status, output } = await fuzz(
        '--plant',
        name,
        '--target',
        target,
        '--seed',
        '1',
        '--count',
        '6000',
      );
      expect(output).toMatch(new RegExp(`FOUND a (crash|growth) in ${target}, seed 1, input \\d+`));
      expect(status).toBe(1);
    },
  );

  it('that hangs is found as well, with the input that does', async () => {
    const { status, output } = await fuzz(
      '--plant',
      'hang',
      '--target',
      'words',
      '--seed',
      '1',
      '--count',
      '6000',
    );
    expect(output).toMatch(/FOUND a hang in words, seed 1, input \d+: it does not end/);
    expect(output).toMatch(/again: npm run fuzz -- --target words --input '[\w+/=]+'/);
    expect(status).toBe(1);
  });

  it('is what makes it fail: without one the same inputs find nothing', async () => {
    const { status, output } = await fuzz('--target', 'words,wal', '--seed', '1', '--count', '6000');
    expect(output).toMatch(/nothing found/);
    expect(status).toBe(0);
  });
});
