/** `jarvisctl logs -f` beside a test: what it has printed so far, over whatever happens to the nodes meanwhile. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { onTestFinished } from 'vitest';

import { programEnvironment, programPath } from './program.ts';
import { waitFor } from './wait.ts';

export interface LogFollower {
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves once stdout ends so. */
  until(end: string): Promise<void>;
  /** Resolves with its exit status. */
  readonly ended: Promise<number | null>;
}

/** @param peers as `--peer` takes them. Ends with the test. */
export function followLogs(id: string, peers: string): LogFollower {
  const child = spawn(process.execPath, [programPath('jarvisctl'), 'logs', '-f', id, '--peer', peers], {
    env: programEnvironment('/nonexistent'),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
    });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  return {
    get stdout() {
      return printed.stdout;
    },
    get stderr() {
      return printed.stderr;
    },
    until: async (end) => {
      await waitFor(`output that ends with ${JSON.stringify(end)}`, () => printed.stdout.endsWith(end));
    },
    ended: closed.then(([status]: (number | null)[]) => status ?? null),
  };
}
