/** Runs `jarvisd` and `jarvisctl` as users do: from the sources, or as built with JARVIS_TEST_DIST=1. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Whether the programs of `npm run build` are run. */
export const IS_BUILT = process.env['JARVIS_TEST_DIST'] === '1';
const PROGRAMS = { jarvisd: 'agent/main', jarvisctl: 'cli/main' } as const;

/** A command that is refused, or waits for a task, is through long before. */
const TIMEOUT_MS = 60_000;

export function programPath(name: keyof typeof PROGRAMS): string {
  const path = IS_BUILT ? `dist/${PROGRAMS[name]}.js` : `src/${PROGRAMS[name]}.ts`;
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

/** Nothing of the tests' own environment gets through; `more` is what a test sets. */
export function programEnvironment(
  home: string,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '', HOME: home, ...more };
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly timeoutMs?: number;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Null where a signal ended it. */
  readonly status: number | null;
}

export async function runProgram(
  name: keyof typeof PROGRAMS,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = spawn(process.execPath, [programPath(name), ...args], {
    env: programEnvironment('/nonexistent', options.env),
    timeout: options.timeoutMs ?? TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A program that does not read its input to the end is free to do so.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.stdin ?? '');
  const [status] = (await once(child, 'close')) as [number | null];
  return { stdout, stderr, status };
}
