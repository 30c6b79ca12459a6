/** What a first-time user types: the commands of the README and of `jarvisctl dev`, as they stand there. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { startCli } from '../support/cli-process.ts';
import type { CliProcess } from '../support/cli-process.ts';
import { programPath } from '../support/program.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');

interface Step {
  readonly command: string;
  /** What the README shows of its output. */
  readonly shown: readonly string[];
}

/** The console of a section, command by command. */
function stepsOf(title: string): readonly Step[] {
  const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  const section = readme.slice(readme.indexOf(`## ${title}\n`));
  const console = /```console\n([\s\S]*?)```/.exec(section)?.[1] ?? '';
  return console.split(/^\$ /m).flatMap((text) => {
    const [command = '', ...shown] = text.trimEnd().split('\n');
    return command === '' ? [] : [{ command, shown }];
  });
}

interface User {
  readonly dev: CliProcess;
  type(
    command: string,
  ): Promise<{ readonly stdout: string; readonly stderr: string; readonly status: number }>;
}

/** Has started `jarvisctl dev`, and types into a second shell in the repository. */
async function startUser(): Promise<User> {
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-first-steps-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const bin = path.join(directory, 'bin');
  mkdirSync(bin);
  const program = `'${process.execPath}' '${programPath('jarvisctl')}'`;
  writeFileSync(path.join(bin, 'jarvisctl'), `#!/bin/sh\nexec ${program} "$@"\n`);
  writeFileSync(path.join(bin, 'npx'), `#!/bin/sh\nexec "$@"\n`);
  for (const name of ['jarvisctl', 'npx']) chmodSync(path.join(bin, name), 0o755);
  const dev = startCli(['dev'], { home: directory });
  // Killed, it would leave its nodes behind.
  onTestFinished(async () => {
    dev.interrupt();
    await dev.ended;
  });
  await dev.until('the cluster is ready', (text) => text.includes('Ctrl-C ends the nodes'));
  // Where another cluster has the default ports, dev takes the next ones and says so.
  const peers = [...dev.stdout.matchAll(/^ {2}n\d +(\S+) /gm)].map(([, address]) => address ?? '');
  const env = { PATH: `${bin}:${process.env['PATH']}`, HOME: directory, JARVIS_PEERS: peers.join(',') };
  return {
    dev,
    type: (command) =>
      new Promise((resolve) => {
        execFile('bash', ['-c', command], { cwd: ROOT, env, timeout: 60_000 }, (error, stdout, stderr) => {
          const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
          resolve({ stdout, stderr, status });
        });
      }),
  };
}

function words(line: string | undefined): readonly string[] {
  return (line ?? '').split(/\s+/).filter((word) => word !== '');
}

/** Ids by the names of their tasks, in a table. */
function idsOf(table: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    table
      .map((line) => [words(line)[1] ?? '', words(line)[0] ?? ''] as const)
      .filter(([, id]) => id.startsWith('task-')),
  );
}

/** What does not differ from one time to the next: of a table its titles, its tasks and its length; else how it begins. */
function shapeOf(lines: readonly string[]): unknown {
  const titles = lines.filter((line) => /^[A-Z]+ {2,}[A-Z]/.test(line)).map(words);
  if (titles.length === 0) return { begins: words(lines[0])[0] };
  return { titles, tasks: [...idsOf(lines).keys()].sort(), lines: lines.length };
}

describe('the first steps of the README', () => {
  it('work as they are written, and print what is shown there', async () => {
    const steps = stepsOf('A first task');
    expect(steps.length).toBeGreaterThan(4);
    const user = await startUser();
    const ids = new Map<string, { shown: string; real: string }>();
    for (const { command, shown } of steps) {
      // The beginning of an id that the README shows stands for the id of the task of that name.
      const typed = command.replace(/\btask-\w+/, (prefix) => {
        const known = [...ids.values()].find((id) => id.shown.startsWith(prefix));
        return known?.real.slice(0, 12) ?? prefix;
      });
      if (typed !== command) await user.type(`jarvisctl wait ${/\btask-\w+/.exec(typed)?.[0]}`);
      const { stdout, stderr, status } = await user.type(typed);
      expect({ command, stderr, status }).toEqual({ command, stderr: '', status: 0 });
      const lines = stdout.trimEnd().split('\n');
      const real = idsOf(lines);
      for (const [name, id] of idsOf(shown)) ids.set(name, { shown: id, real: real.get(name) ?? '' });
      expect({ command, shape: shapeOf(lines) }, `${command} printed:\n${stdout}`).toEqual({
        command,
        shape: shapeOf(shown),
      });
    }
    // What dev itself says to type.
    const told = user.dev.stdout.split('\n').filter((line) => /^ {2}(npx )?jarvisctl /.test(line));
    expect(told).toHaveLength(3);
    for (const command of told) expect(await user.type(command)).toMatchObject({ status: 0, stderr: '' });

    user.dev.interrupt();
    expect(await user.dev.ended).toBe(0);
    expect(await user.type('jarvisctl ls')).toMatchObject({
      status: 3,
      stdout: '',
      stderr: expect.stringMatching(/^jarvisctl: no peer can be reached[^\n]+\n$/) as string,
    });
  });

  it('leave nobody alone with a mistake', async () => {
    const user = await startUser();
    expect(await user.type('jarvisctl help run')).toMatchObject({ status: 0, stderr: '' });
    for (const [command, status, hint] of [
      ['jarvisctl', 2, 'Usage: jarvisctl'],
      ['jarvisctl rnu -- true', 2, 'Did you mean run?'],
      ['jarvisctl submit -f /nowhere.yaml', 2, '/nowhere.yaml'],
      ['echo "comand: [x]" | jarvisctl submit -f -', 2, 'did you mean command?'],
      ['jarvisctl get task-none', 1, 'task-none'],
      ['jarvisctl run --cpu lots -- true', 2, '--cpu'],
      ['jarvisctl run --cpu 1000 --wait-timeout 1s -- true', 124, 'no node is large enough'],
      ['jarvisctl run -- sh -c "exit 9"', 9, ''],
      ['jarvisctl run -- /no/such/program', 1, 'no/such/program'],
    ] as const) {
      const result = await user.type(command);
      expect({ command, status: result.status }).toEqual({ command, status });
      expect(result.stderr).toContain(hint);
    }
  });
});
