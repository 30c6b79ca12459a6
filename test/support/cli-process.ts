/** `jarvisctl` beside a test: what it has printed so far, over whatever happens to the nodes meanwhile. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { onTestFinished } from 'vitest';

import { programEnvironment, programPath } from './program.ts';
import { waitFor } from './wait.ts';

export interface CliProcess {
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves once stdout is so. */
  until(what: string, condition: (stdout: string) => boolean): Promise<void>;
  /** As Ctrl-C does. */
  interrupt(): void;
  /** Resolves with its exit status. */
  readonly ended: Promise<number | null>;
}

/** Ends with the test. */
export function startCli(
  args: readonly string[],
  { env = {}, home = '/nonexistent' }: { env?: Readonly<Record<string, string>>; home?: string } = {},
): CliProcess {
  const child = spawn(process.execPath, [programPath('jarvisctl'), ...args], {
    env: programEnvironment(home, env),
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
    until: async (what, condition) => {
      await waitFor(what, () => condition(printed.stdout));
    },
    interrupt: () => void child.kill('SIGINT'),
    ended: closed.then(([status]: (number | null)[]) => status ?? null),
  };
}
