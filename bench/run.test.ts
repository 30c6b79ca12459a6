import { describe, expect, it } from 'vitest';

import type { Benchmark, BenchmarkContext, Result } from './benchmark.ts';
import { runBenchmarks, type RunSettings } from './run.ts';

function row(name: string): Result {
  return { name, unit: 'tasks/s', median: 1, spread: 0, ceiling: 1, ratio: 1, goal: 1 };
}

function benchmark(name: string, change: Partial<Benchmark> = {}): Benchmark {
  return {
    name,
    description: '',
    peers: [],
    obstacle: () => null,
    run: () => Promise.resolve([row(name)]),
    ...change,
  };
}

function settings(change: Partial<RunSettings> = {}): RunSettings & { readonly said: string[] } {
  const said: string[] = [];
  const interrupted = new AbortController().signal;
  const say = (message: string): void => void said.push(message);
  return { isQuick: false, peer: null, isCi: false, interrupted, say, said, ...change };
}

/** Owns something, then does as told. */
function owning(ended: string[], then: (context: BenchmarkContext) => Promise<readonly Result[]>) {
  return benchmark('owning', {
    run: async (context) => {
      await context.scope.own({
        start: () => Promise.resolve(),
        end: () => {
          ended.push('ended');
          return Promise.resolve();
        },
        describe: () => 'the end of a log\n',
      });
      return then(context);
    },
  });
}

describe('a run of benchmarks', () => {
  it('has the rows of all of them', async () => {
    const { results, hasFailed } = await runBenchmarks([benchmark('one'), benchmark('two')], settings());
    expect(results).toEqual([row('one'), row('two')]);
    expect(hasFailed).toBe(false);
  });

  it('skips what cannot run here and says why; in CI that is a failure', async () => {
    const all = [benchmark('docker', { obstacle: () => 'a private dockerd needs root' }), benchmark('two')];
    const here = settings();
    expect(await runBenchmarks(all, here)).toEqual({ results: [row('two')], hasFailed: false });
    expect(here.said).toEqual(['docker: skipped: a private dockerd needs root']);
    const ci = settings({ isCi: true });
    expect(await runBenchmarks(all, ci)).toEqual({ results: [row('two')], hasFailed: true });
    expect(ci.said).toEqual(['docker: cannot run: a private dockerd needs root']);
  });

  it('goes on after one that fails, shows what helps, and ends what that has started', async () => {
    const ended: string[] = [];
    const failing = owning(ended, () => Promise.reject(new Error('no answer')));
    const own = settings();
    expect(await runBenchmarks([failing, benchmark('two')], own)).toEqual({
      results: [row('two')],
      hasFailed: true,
    });
    expect(own.said).toEqual(['owning: failed: no answer\nthe end of a log']);
    expect(ended).toEqual(['ended']);
  });

  it('has failed where something cannot be ended', async () => {
    const stuck = benchmark('stuck', {
      run: async ({ scope }) => {
        await scope.own({ start: () => Promise.resolve(), end: () => Promise.reject(new Error('busy')) });
        return [row('stuck')];
      },
    });
    expect(await runBenchmarks([stuck], settings())).toEqual({ results: [], hasFailed: true });
  });

  it('ends what runs when it is interrupted, and begins nothing more', async () => {
    const ended: string[] = [];
    const controller = new AbortController();
    const hanging = owning(ended, () => {
      controller.abort('SIGINT');
      return new Promise(() => undefined);
    });
    const own = settings({ interrupted: controller.signal });
    const never = benchmark('never', { run: () => Promise.reject(new Error('it was begun')) });
    expect((await runBenchmarks([hanging, never], own)).results).toEqual([]);
    expect(ended).toEqual(['ended']);
    expect(own.said).toEqual([]);
  });

  it('tells of a peer only those that know it', async () => {
    const told: (string | null)[] = [];
    const run = ({ peer }: BenchmarkContext): Promise<readonly Result[]> => {
      told.push(peer);
      return Promise.resolve([]);
    };
    await runBenchmarks(
      [benchmark('one', { run, peers: ['swarm'] }), benchmark('two', { run })],
      settings({ peer: 'swarm' }),
    );
    expect(told).toEqual(['swarm', null]);
  });
});
