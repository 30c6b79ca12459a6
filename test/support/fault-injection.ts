/** System calls of a running process that fail as a bad disk lets them fail: strace answers in the kernel's place. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

import { missingPrograms, programPath, type Program } from './docker-bed/programs.ts';
import { within } from './wait.ts';

export const FAULT_PROGRAMS: readonly Program[] = [{ name: 'strace', packageName: 'strace' }];

const ATTACH_TIMEOUT_MS = 20_000;
const TRIAL_TIMEOUT_MS = 10_000;

/** @returns why it cannot be done here; null where it can: it is tried */
export function injectionObstacle(): string | null {
  if (process.platform !== 'linux') return `strace needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'tracing another process needs root';
  if (missingPrograms(FAULT_PROGRAMS).length > 0)
    return 'not installed: strace (node scripts/test-bed.mjs faults)';
  const trial = ['-f', '-qq', '-e', 'trace=mkdir', '-e', 'inject=mkdir:error=EIO', 'mkdir', '/tmp'];
  const { status, stderr } = spawnSync(programPath('strace'), trial, {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    timeout: TRIAL_TIMEOUT_MS,
  });
  // `mkdir` itself says so where the answer was made up: the kernel's would have been that it is there.
  return status === 1 && /Input\/output error/.test(stderr) ? null : `no call can be made to fail: ${stderr}`;
}

/**
 * From now on every such call of the process fails so, on all of its threads, until it ends.
 * @param call as strace names it, such as `fdatasync`
 */
export async function failCalls(pid: number, call: string, errno: string): Promise<void> {
  const args = ['-f', '-p', String(pid), '-o', '/dev/null', '-e', `trace=${call}`];
  const child = spawn(programPath('strace'), [...args, '-e', `inject=${call}:error=${errno}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  const attached = new Promise<boolean>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (/ attached\b/.test(said)) resolve(true);
    });
  });
  const ended = once(child, 'close').then(() => false);
  if (await within(Promise.race([attached, ended]), ATTACH_TIMEOUT_MS, false)) return;
  child.kill('SIGKILL');
  throw new Error(`strace did not attach to ${pid}: ${said}`);
}
