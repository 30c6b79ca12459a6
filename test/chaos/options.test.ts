import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { commandOf, parseOptions } from './options.ts';
import { PLANTS } from './plants.ts';

const out = path.join(tmpdir(), `jarvis-chaos-${process.pid}`);

function main(...args: readonly string[]) {
  const program = fileURLToPath(new URL('main.ts', import.meta.url));
  return spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
}

describe('the command line', () => {
  it.each<[readonly string[], string]>([
    [['--out', out, '--sede', '1'], '--sede'],
    [['--out', out, '--seed', '-1'], '--seed'],
    [['--out', out, '--seed', 'abc'], '"abc"'],
    [['--out', out, '--seconds', '0'], '1 to 3600'],
    [['--out', out, '--nemesis', 'kill,flood'], '"flood" is not allowed: kill, '],
    [['--out', out, '--workload', 'queues'], '"queues"'],
    [['--out', out, '--plant', 'weeds'], 'there is no "weeds"'],
    [['--out', out, '--without', 'jury'], '"jury"'],
    [['--out', out, 'more'], 'more'],
    [['--seed', '1'], '--out'],
  ])('%j is refused', (args, mention) => {
    expect(() => parseOptions(args)).toThrow(mention);
  });

  it('is refused with exit status 2 and a word, before anything is made', () => {
    const { status, stdout, stderr } = main('--out', out, '--seed', 'abc');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr.split('\n')[0]).toContain('--seed: "abc"');
    expect(existsSync(out)).toBe(false);
  });

  it('lists the plants, the name first', () => {
    const { status, stdout } = main('--list-plants');
    const names = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ')[0]);
    expect({ status, names }).toEqual({ status: 0, names: PLANTS.map(({ name }) => name) });
  });

  it('is given back whole, so that the same faults come again', () => {
    const options = parseOptions([
      '--out',
      out,
      '--seed',
      '7',
      '--nemesis',
      'cut,kill',
      '--plant',
      'stale-reads',
    ]);
    if (options === null) throw new Error('these are options');
    const words = commandOf(options).split(' ').slice(4);
    expect(parseOptions(words)).toEqual(options);
  });
});
