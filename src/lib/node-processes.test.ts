import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { processesOf } from './node-processes.ts';

let home: string;
const ends: (() => Promise<void>)[] = [];

beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'jarvis-node-processes-'));
});

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  rmSync(home, { recursive: true });
});

/** A process that waits until the end of the test. */
async function begun(argument: string, options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
  const child = spawn(process.execPath, ['-e', 'console.log("up"); process.stdin.resume()', argument], {
    cwd: '/',
    ...options,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = once(child, 'close');
  ends.push(async () => {
    child.stdin.end();
    await ended;
  });
  await once(child.stdout, 'data');
  return child.pid;
}

describe('the processes of a node', () => {
  it('are those that were begun with its directory, work in it, or have files of a task there', async () => {
    const directory = path.join(home, 'node-1');
    const pids = [
      await begun(`${directory}/node.json`),
      await begun(JSON.stringify({ directory })),
      await begun('', { cwd: home }),
      await begun('', { env: { JARVIS_ERROR_FILE: `${directory}/tasks/1/error` } }),
    ];
    const found = (await processesOf(directory)).map(({ pid }) => pid);
    expect(new Set(found)).toEqual(new Set([pids[0], pids[1], pids[3]]));
    expect(found).toHaveLength(3);
    expect((await processesOf(home)).map(({ pid }) => pid)).toContain(pids[2]);
  });

  it('are none of a node whose name begins with its name', async () => {
    await begun(path.join(home, 'node-10', 'node.json'));
    await begun(path.join(home, 'node-1.old'));
    await begun('', { env: { JARVIS_ERROR_FILE: path.join(home, 'node-10', 'error') } });
    expect(await processesOf(path.join(home, 'node-1'))).toEqual([]);
  });
});
