import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { SubmitTasksRequest } from '../../generated/cluster.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

const ID = 'task-aaaaaaaaaaaa1';
let cluster: FakeCluster;
let peer: string[];

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
});
afterEach(() => cluster.stop());

describe('submit', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'jarvis-submit-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function file(text: string): string {
    const path = join(directory, 'tasks.yaml');
    writeFileSync(path, text);
    return path;
  }

  it('sends all documents at once', async () => {
    const path = file('name: a\ncommand: [x]\n---\nname: b\ncommand: [y]\nresources: {cpu: 0.5}\n');
    const { stdout, status } = await runInProcess(['submit', '-f', path, '-o', 'name', ...peer]);
    expect({ stdout, status }).toEqual({ stdout: `${ID}\ntask-aaaaaaaaaaaa2\n`, status: 0 });
    expect(cluster.requests<SubmitTasksRequest>('submitTasks')).toMatchObject([
      {
        tasks: [
          { name: 'a', resources: undefined },
          { name: 'b', resources: { cpu: '0.5' } },
        ],
      },
    ]);
  });

  it.each([
    ['container', 1],
    ['hello', 1],
    ['retry', 1],
    ['several', 3],
    ['batch', 1],
    ['parameters', 1],
    ['etl-pipeline', 1],
  ])('takes examples/%s.yaml', async (name, count) => {
    const path = fileURLToPath(new URL(`../../../examples/${name}.yaml`, import.meta.url));
    const { stdout, stderr, status } = await runInProcess(['submit', '-f', path, '-o', 'name', ...peer]);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout.trim().split('\n')).toHaveLength(count);
  });

  it('reads stdin', async () => {
    const stdin = '{"command": ["x"]}';
    const { stdout } = await runInProcess(['submit', '-f', '-', '-o', 'name', ...peer], { stdin });
    expect(stdout).toBe(`${ID}\n`);
  });

  it('names every fault with its place, and sends nothing', async () => {
    const path = file('name: a\ncommand: [x]\nresources: {cpu: lots}\n---\ncomand: [y]\n');
    const { stdout, stderr, status } = await runInProcess(['submit', '-f', path, ...peer]);
    expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
    expect(stderr).toMatch(/^jarvisctl: \S*tasks\.yaml:3:\d+: resources\.cpu: "lots" is not allowed/m);
    expect(stderr).toMatch(/^jarvisctl: \S*tasks\.yaml:5:1: comand: unknown field .*did you mean command\?/m);
    expect(cluster.calls).toEqual([]);
  });

  it.each([
    ['no such file', () => join(directory, 'absent.yaml'), /cannot read .*absent\.yaml/],
    ['a directory', () => directory, /cannot read/],
    ['no YAML', () => file('a: [1'), /tasks\.yaml/],
    ['nothing in it', () => file('# nothing\n'), /holds no task/],
  ])('refuses %s with exit status 2', async (_, path, message) => {
    const { stderr, status } = await runInProcess(['submit', '-f', path(), ...peer]);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});
