/** Limits and users of processes, from the API to the kernel. What the watchdog does by itself: src/agent/watchdog. */
import { chmodSync } from 'node:fs';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { findProcessGroups } from '../../src/agent/cgroups/process-groups.ts';
import { TestCluster } from '../support/cluster.ts';

const groups = findProcessGroups();
const isRoot = process.getuid?.() === 0;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.create({ nodes: 1, policy: { users: ['nobody'] } });
  chmodSync(cluster.directory, 0o711);
  await cluster.start();
});

afterAll(async () => {
  await cluster.dispose();
});

function shell(script: string, changes: object = {}): object {
  return { command: ['sh', '-c', script], retry_policy: { max_attempts: 1 }, ...changes };
}

describe('processes of a node', () => {
  it('are kept together by what it says', async () => {
    const { stdout } = await cluster.cli(['node', 'ls', '-o', 'json']);
    const isolation = groups === null ? 'none' : `cgroup${groups.version}`;
    expect(JSON.parse(stdout)).toMatchObject({ items: [{ name: 'n1', isolation }] });
  });

  it.skipIf(groups?.limitable.size !== 3)('that take too much memory have failed for that', async () => {
    const spec = shell('exec tail /dev/zero', { limits: { memory: '16Mi', pids: 5, cpu: 1 } });
    const { id } = await cluster.api().submit(spec);
    expect(await cluster.finalTask(id)).toMatchObject({
      status: 'PERMANENTLY_FAILED',
      signal: 'SIGKILL',
      error: { type: 'OutOfMemory' },
      limits: { memory: '16Mi', pids: 5, cpu: '1' },
    });
  });

  it.skipIf(!isRoot)('run as another user where the policy allows it', async () => {
    const result = `printf '"%s"' "$(id -un)" > $JARVIS_RESULT_FILE`;
    const { id } = await cluster.api().submit(shell(result, { user: 'nobody' }));
    expect(await cluster.finalTask(id)).toMatchObject({
      status: 'COMPLETED',
      user: 'nobody',
      result: 'nobody',
    });
  });

  it('have nothing open of the files of their node', async () => {
    const list = `readlink /proc/$$/fd/* | grep -c ${cluster.directory}/n1/state`;
    const { id } = await cluster.api().submit(shell(`test "$(${list})" = 0`));
    expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED' });
  });

  it('are refused where it does not', async () => {
    const refused = await cluster.cli(['run', '--user', 'root', '--', 'true']);
    expect(refused).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(
        '"root" is forbidden by policy.users, which allows nobody, on every node',
      ),
    });
  });
});
