import { describe, expect, it } from 'vitest';

import type { Benchmark } from './benchmark.ts';
import { parseOptions } from './options.ts';

function benchmark(name: string, peers: readonly string[] = []): Benchmark {
  return { name, description: '', peers, obstacle: () => null, run: () => Promise.resolve([]) };
}

const catalogue = [benchmark('process', ['slurm']), benchmark('docker', ['swarm']), benchmark('commit')];

function parse(...args: string[]): unknown {
  const options = parseOptions(args, catalogue);
  return { ...options, benchmarks: options.benchmarks.map(({ name }) => name) };
}

function refusal(...args: string[]): string {
  try {
    parseOptions(args, catalogue);
  } catch (error) {
    return (error as Error).message;
  }
  return 'it was not refused';
}

describe('the command line of the benchmarks', () => {
  it('runs all where none is named', () => {
    expect(parse()).toEqual({
      action: 'run',
      benchmarks: ['process', 'docker', 'commit'],
      isQuick: false,
      peer: null,
      jsonFile: null,
    });
  });

  it('runs those that are named once, in the order of the catalogue', () => {
    expect(parse('commit', 'process', 'commit')).toMatchObject({ benchmarks: ['process', 'commit'] });
  });

  it('takes flags before and after names', () => {
    expect(parse('--quick', 'docker', '--json', 'out.json', '--peer=swarm')).toEqual({
      action: 'run',
      benchmarks: ['docker'],
      isQuick: true,
      peer: 'swarm',
      jsonFile: 'out.json',
    });
  });

  it('lists and helps instead of running', () => {
    expect(parse('--list')).toMatchObject({ action: 'list' });
    expect(parse('--help')).toMatchObject({ action: 'help' });
    expect(parse('-h')).toMatchObject({ action: 'help' });
  });

  it.each([
    [['proces'], '"proces" is not allowed: process, docker, commit'],
    [['--', '--quick'], '"--quick" is not allowed: process, docker, commit'],
    [['--fast'], '--fast is not allowed: --quick, --peer NAME, --json FILE, --list, --help'],
    [['-q'], '-q is not allowed: --quick, --peer NAME, --json FILE, --list, --help'],
    [['--quick=yes'], '--quick: "yes" is not allowed: it takes no value'],
    [['--peer', 'nomad'], '--peer: "nomad" is not allowed: slurm, swarm'],
    [['docker', '--peer', 'slurm'], '--peer: "slurm" is not allowed: swarm'],
    [['commit', '--peer', 'slurm'], '--peer: "slurm" is not allowed: none is there yet for commit'],
    [['--json'], '--json needs a value; allowed: --quick, --peer NAME, --json FILE, --list, --help'],
    [['--json', ''], '--json needs a value; allowed: --quick, --peer NAME, --json FILE, --list, --help'],
    [
      ['--json', '--quick'],
      '--json needs a value; allowed: --quick, --peer NAME, --json FILE, --list, --help',
    ],
    [['--constructor'], '--constructor is not allowed: --quick, --peer NAME, --json FILE, --list, --help'],
  ])('refuses %j and says what is allowed', (args, message) => {
    expect(refusal(...args)).toBe(message);
  });
});
