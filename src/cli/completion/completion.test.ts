import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { FakeCluster, fakeTask } from '../fake-cluster.test-kit.ts';
import { Node } from '../../generated/cluster.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

const MAIN = path.join(import.meta.dirname, '..', 'main.ts');

let cluster: FakeCluster;
let env: Readonly<Record<string, string>>;

beforeEach(async () => {
  cluster = await FakeCluster.start();
  env = { JARVIS_PEERS: cluster.address };
  cluster.setTask(fakeTask({ id: 'task-abc', name: 'one', status: 'RUNNING' }));
  cluster.setTask(fakeTask({ id: 'task-abd', name: 'two', status: 'COMPLETED' }));
  cluster.setTask(fakeTask({ id: 'task-$(reboot)', name: 'evil\n:files' }));
  cluster.nodes = ['n1', 'n2'].map((name) => Node.create({ name, status: 'AVAILABLE' }));
});

afterEach(() => cluster.stop());

/** What is offered after these words; the last of them is being typed. */
async function offered(...words: readonly string[]): Promise<readonly string[]> {
  const { stdout, stderr, status } = await runInProcess(['__complete', '--', ...words], { env });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [line.split('\t', 1)[0] ?? '']));
}

describe('completion', () => {
  it('offers commands and subcommands, and none that is hidden', async () => {
    expect(await offered('')).toContain('dag');
    expect(await offered('')).not.toContain('__complete');
    expect(await offered('ex')).toEqual(['explain']);
    expect(await offered('dag', 'gr')).toEqual(['graph']);
    expect(await offered('--peer', cluster.address, 'dag', 'gr')).toEqual(['graph']);
    expect(await offered('dag', 'nonsense', '')).toEqual([]);
  });

  it('offers the options of the command, and what they allow', async () => {
    expect(await offered('ls', '--stat')).toEqual(['--status']);
    expect(await offered('ls', '-')).toEqual(
      expect.arrayContaining(['-o', '--output', '--help', '--context']),
    );
    expect(await offered('ls', '-o', '')).toEqual(['table', 'wide', 'json', 'yaml', 'name']);
    expect(await offered('ls', '--output=w')).toEqual(['--output=wide']);
    expect(await offered('ls', '--status', 'RUNNING,PEN')).toEqual(['RUNNING,PENDING']);
    expect(await offered('run', '--priority', 'h')).toEqual(['high']);
    expect(await offered('completion', 'b')).toEqual(['bash']);
    expect(await offered('ls', '--limit', '')).toEqual([]);
  });

  it('asks the cluster for ids and names, and offers none that a shell could take for a command', async () => {
    expect(await offered('get', '')).toEqual(['task-abc', 'task-abd']);
    expect(await offered('get', 'task-abc', 'task-abd')).toEqual(['task-abd']);
    expect(await offered('logs', '-f', 'task-abc', '')).toEqual([]);
    expect(await offered('ls', '--node', '')).toEqual(['n1', 'n2']);
    expect(await offered('node', 'drain', 'n')).toEqual(['n1', 'n2']);
    expect(await offered('batch', 'get', '')).toEqual(['batch-a']);
    expect(await offered('dag', 'graph', '')).toEqual(['etl', 'dag-a']);
    const { stdout, stderr } = await runInProcess(['__complete', '--', 'get', 'task-abc'], { env });
    expect([stdout, stderr]).toEqual(['task-abc\tone RUNNING\n', '']);
    // Any node will do, also while there is no leader.
    for (const { request } of cluster.calls) expect(request).toMatchObject({ consistency: 'stale' });
  });

  it('asks the cluster that the words before mean', async () => {
    env = {};
    expect(await offered('get', '--peer', cluster.address, 'task-a')).toEqual(['task-abc', 'task-abd']);
    expect(await offered('--peer', cluster.address, 'get', 'task-a')).toEqual(['task-abc', 'task-abd']);
  });

  it('is silent where there is no cluster, or a word before is wrong', async () => {
    cluster.stop();
    expect(await offered('get', '')).toEqual([]);
    expect(await offered('get', '--peer', 'nonsense', '')).toEqual([]);
    expect(await offered('get', '--context', 'nowhere', '')).toEqual([]);
  });

  it('leaves files to the shell', async () => {
    expect(await offered('submit', '-f', '')).toEqual([':files']);
    expect(await offered('snapshot', 'inspect', '')).toEqual([':files']);
    expect(await offered('run', '--', 'pyth')).toEqual([':files']);
    expect(await offered('run', '--', 'ls', '--st')).toEqual([':files']);
  });

  it('refuses a shell that it does not know', async () => {
    const { status, stderr } = await runInProcess(['completion', 'csh']);
    expect(status).toBe(2);
    expect(stderr).toContain('bash, zsh, fish');
  });
});

// Each of them starts the program several times.
describe('shells', { timeout: 60_000 }, () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'jarvis-completion-'));
    const program = path.join(directory, 'jarvisctl');
    writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
    chmodSync(program, 0o755);
    writeFileSync(path.join(directory, 'a b.yaml'), '');
  });

  afterEach(() => rmSync(directory, { recursive: true }));

  async function shell(command: string, script: string): Promise<readonly string[]> {
    const { stdout } = await promisify(execFile)(command, ['-c', script], {
      cwd: directory,
      env: { PATH: `${directory}:${process.env['PATH']}`, HOME: directory, ...env },
    });
    return stdout.split('\n').filter((line) => line !== '');
  }

  it('bash', async () => {
    const lines = [
      'jarvisctl get task-ab',
      'jarvisctl ls --output=w',
      `jarvisctl get --peer ${cluster.address} task-abc`,
      'jarvisctl submit -f a',
    ];
    const script = lines.map(
      (line) =>
        `COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}; _jarvisctl; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
    expect(await shell('bash', ['source <(jarvisctl completion bash)', ...script].join('\n'))).toEqual([
      'task-abc',
      'task-abd',
      'wide',
      'task-abc',
      'a b.yaml',
    ]);
  });

  it.runIf(isThere('zsh'))('zsh', async () => {
    // What compsys would be given is printed in its place.
    const script = `compdef() { :; }; source <(jarvisctl completion zsh); _files() { print :files; }
      _describe() { print -l -- $candidates; }
      words=(jarvisctl get task-ab); CURRENT=3; _jarvisctl
      words=(jarvisctl submit -f ''); CURRENT=4; _jarvisctl`;
    expect(await shell('zsh', script)).toEqual(['task-abc:one RUNNING', 'task-abd:two COMPLETED', ':files']);
  });

  it.runIf(isThere('fish'))('fish', async () => {
    const script = `jarvisctl completion fish | source; complete -C 'jarvisctl get task-ab'; complete -C 'jarvisctl submit -f a'`;
    expect(await shell('fish', script)).toEqual([
      'task-abc\tone RUNNING',
      'task-abd\ttwo COMPLETED',
      'a b.yaml',
    ]);
  });
});

function isThere(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
