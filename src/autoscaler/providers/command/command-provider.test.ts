import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { CLUSTER_ID, describeProvider, instanceRequest } from '../provider-contract.test-kit.ts';
import { CommandProvider } from './command-provider.ts';

const never = new AbortController().signal;
const EXAMPLE = path.join(import.meta.dirname, '../../../../examples/providers/file-cloud.mjs');

let home: string;

beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'jarvis-command-'));
});

afterEach(() => rmSync(home, { recursive: true }));

function provider(
  command: readonly string[],
  { clusterId = CLUSTER_ID, timeoutMs = 20_000 } = {},
): CommandProvider {
  return new CommandProvider({
    clusterId,
    settings: () => ({ add: command, remove: command, list: command }),
    timeoutMs,
  });
}

function shell(script: string, timeoutMs?: number): CommandProvider {
  return provider(['sh', '-c', script], timeoutMs === undefined ? {} : { timeoutMs });
}

describeProvider('command, with the program of the examples,', async () => {
  const cloud = path.join(home, 'cloud');
  const command = [process.execPath, EXAMPLE, cloud];
  const fileOf = (id: string): string => path.join(cloud, id.slice('i-'.length));
  return {
    provider: provider(command),
    again: () => provider(command),
    stranger: () => provider(command, { clusterId: 'cluster-b' }),
    end: async (id) => {
      const kept = JSON.parse(readFileSync(fileOf(id), 'utf8')) as object;
      writeFileSync(fileOf(id), JSON.stringify({ ...kept, state: 'gone' }));
    },
    leftovers: async () => (existsSync(cloud) ? readdirSync(cloud) : []),
    said: async () =>
      readdirSync(cloud)
        .map((name) => readFileSync(path.join(cloud, name), 'utf8'))
        .join('\n'),
    dispose: async () => undefined,
  };
});

describe('a program as a provider', () => {
  it('is told all of a request on its input, and nothing in its arguments and environment', async () => {
    vi.stubEnv('JARVISD_JOIN_TOKEN', 'secret');
    const seen = path.join(home, 'seen');
    const reply = '{"instance": {"id": "i-1", "state": "pending"}}';
    const made = await shell(`cat > ${seen}; env > ${seen}.env; echo '${reply}'`).create(
      instanceRequest(),
      never,
    );
    vi.unstubAllEnvs();
    expect(made).toEqual({ id: 'i-1', clientToken: null, node: null, state: 'pending', launchedAtMs: null });
    expect(JSON.parse(readFileSync(seen, 'utf8'))).toEqual({
      version: 1,
      verb: 'create',
      client_token: 'token-1',
      cluster_id: CLUSTER_ID,
      node: 'auto-1',
      join: ['127.0.0.1:7101'],
      join_token: instanceRequest().joinToken,
      capacity: { cpu_millis: 500, memory_bytes: 64 * 1024 * 1024 },
      labels: { pool: 'auto' },
    });
    expect(readFileSync(`${seen}.env`, 'utf8')).not.toContain('JARVISD_');
  });

  it.each([
    [
      'what it says of itself',
      `echo '{"error": {"kind": "throttled", "message": "slowly", "retry_after_seconds": 2}}'; exit 1`,
      { kind: 'throttled', message: 'sh: slowly', retryAfterMs: 2000 },
    ],
    [
      'that, also where it ends well',
      `echo '{"error": {"kind": "quota", "message": "no more"}}'`,
      { kind: 'quota', message: 'sh: no more', retryAfterMs: null },
    ],
    [
      'its exit code, and its complaint',
      'echo oh >&2; exit 3',
      { kind: 'unavailable', message: 'sh ended with exit code 3: oh' },
    ],
    ['that it was killed', 'kill -9 $$', { kind: 'unavailable', message: 'sh was killed: ' }],
    [
      'that it answers no JSON',
      'echo hello',
      { kind: 'unavailable', message: 'sh answered what is none: no JSON' },
    ],
    [
      'what is wrong with its answer',
      `echo '{"instances": [{"id": "i-1", "state": "odd"}]}'`,
      { kind: 'unavailable', message: expect.stringContaining('instances[0].state') },
    ],
    ['that it says too much', 'yes', { kind: 'unavailable', message: 'sh wrote more than 4194304 bytes' }],
  ])('fails with %s', async (_, script, error) => {
    await expect(shell(script).list(never)).rejects.toMatchObject(error);
  });

  it('may ignore what it is told', async () => {
    expect(await shell(`exec 0<&-; echo '{"instances": []}'`).list(never)).toEqual([]);
  });

  it('shows no join token where it complains of one', async () => {
    const { joinToken } = instanceRequest();
    const failed = shell(`echo "bad: ${joinToken}" >&2; exit 1`).list(never);
    await expect(failed).rejects.toMatchObject({
      message: 'sh ended with exit code 1: bad: jarvisjoin_0123456789ab_…',
    });
  });

  it.each([0, 20, 60, 150, 400, 500, 511, 512, 513, 600])(
    'shows no part of it either, with %d characters behind it',
    async (count) => {
      const { joinToken } = instanceRequest();
      const failed = shell(`echo "bad: ${joinToken} ${'.'.repeat(count)}" >&2; exit 1`).list(never);
      const message = await failed.then(
        () => '',
        (error: Error) => error.message,
      );
      expect(message).toContain('sh ended with exit code 1: ');
      const { length } = joinToken ?? '';
      for (let at = 'jarvisjoin_0123456789ab_'.length; at + 8 <= length; at += 1)
        expect(message).not.toContain(joinToken?.slice(at, at + 8));
    },
  );

  it.each([
    ['token', '{"id": "i-1", "state": "running", "client_token": "token-2"}'],
    ['node', '{"id": "i-1", "state": "running", "node": "auto-2"}'],
    ['cluster', '{"id": "i-1", "state": "running", "client_token": "token-1", "cluster_id": "other"}'],
  ])('is not believed where it answers with an instance of another %s', async (_, instance) => {
    const made = shell(`echo '{"instance": ${instance}}'`).create(instanceRequest(), never);
    await expect(made).rejects.toMatchObject({
      kind: 'invalid',
      message: 'token-1 of node auto-1 was asked for, and the answer is of another one',
    });
  });

  it('may list what others have, and tags that are empty', async () => {
    const instances = [
      { id: 'i-1', state: 'running', client_token: '', node: '', cluster_id: CLUSTER_ID, more: [1] },
      { id: 'i-2', state: 'running', client_token: 'token-2', cluster_id: 'other' },
    ];
    const listed = await shell(`echo '${JSON.stringify({ instances })}'`).list(never);
    expect(listed).toEqual([
      { id: 'i-1', clientToken: null, node: null, state: 'running', launchedAtMs: null },
    ]);
  });

  it('is not waited for where what it has left behind holds its output', async () => {
    expect(await shell(`sleep 1000 & echo '{"instances": []}'`).list(never)).toEqual([]);
  });

  it('ends with its time, and all that it has begun with it', async () => {
    const pid = path.join(home, 'pid');
    const slow = shell(`sleep 1000 & echo $! > ${pid}; wait`, 300).list(never);
    await expect(slow).rejects.toMatchObject({ kind: 'unavailable', message: 'sh took longer than 300 ms' });
    const child = Number(readFileSync(pid, 'utf8'));
    await vi.waitFor(() => expect(isRunning(child)).toBe(false), { timeout: 10_000 });
  });

  it('leaves nothing behind that it has begun', async () => {
    const pid = path.join(home, 'pid');
    const script = `sleep 1000 >/dev/null 2>&1 & echo $! > ${pid}; echo '{"instances": []}'`;
    expect(await shell(script).list(never)).toEqual([]);
    const child = Number(readFileSync(pid, 'utf8'));
    await vi.waitFor(() => expect(isRunning(child)).toBe(false), { timeout: 10_000 });
  });

  it('is given up also where it runs as another user, who cannot be ended', async () => {
    const pid = path.join(home, 'pid');
    const kill = vi.spyOn(process, 'kill').mockImplementation(() => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
    });
    try {
      const slow = shell(`echo $$ > ${pid}; exec sleep 1000`, 300).list(never);
      await expect(slow).rejects.toMatchObject({ message: 'sh took longer than 300 ms' });
    } finally {
      kill.mockRestore();
      process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
    }
  });

  it('is missed where it is not there, or not set', async () => {
    const missing = {
      kind: 'invalid',
      message: 'no-such-program cannot be started: spawn no-such-program ENOENT',
    };
    await expect(provider(['no-such-program']).list(never)).rejects.toMatchObject(missing);
    const unset = new CommandProvider({ clusterId: CLUSTER_ID, settings: () => null, timeoutMs: 1000 });
    await expect(unset.terminate('i-1', never)).rejects.toMatchObject({
      kind: 'invalid',
      message: 'autoscaling.command.remove names no program',
    });
  });
});

/** A zombie runs no more. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
