/** A majority is lost for good, or a cluster is made again from a file: what an operator types, on real processes. */
import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { runProgram, type RunResult } from '../support/program.ts';
import { prepareCluster, startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

async function tasksBefore(cluster: TestCluster): Promise<{ readonly done: string; readonly open: string }> {
  const api = cluster.api();
  const done = await api.submit({ command: ['sh', '-c', 'echo 42 > $JARVIS_RESULT_FILE'] });
  await cluster.finalTask(done.id);
  const open = await api.submit({ command: ['sleep', '600'] });
  await cluster.task(open.id, ({ status }) => status === 'RUNNING');
  return { done: done.id, open: open.id };
}

/** Its settings, but for whom it knows: itself alone. */
function alone({ name, settings }: NodeProcess): readonly string[] {
  return ['--peers', `${name}=${settings.listen}`];
}

function recover(node: NodeProcess, ...more: readonly string[]): Promise<RunResult> {
  return runProgram('jarvisd', [
    'recover',
    '--data-dir',
    node.settings.dataDir,
    '--name',
    node.name,
    ...more,
  ]);
}

describe('a cluster of which one node is left', () => {
  it('goes on as a new one, which old members cannot disturb and others join', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const { done, open } = await tasksBefore(cluster);
    const left = cluster.node('n3');
    const before = await left.api.cluster();
    const refused = await recover(left, '--yes');
    expect(refused).toMatchObject({ status: 2, stdout: '' });
    expect(refused.stderr).toContain('in use by process');
    for (const { name } of cluster.nodes) await cluster.kill(name);
    await rm(cluster.node('n2').settings.dataDir, { recursive: true });

    const look = await recover(left);
    expect(look.status).toBe(2);
    expect(look.stdout).toContain('Nothing was changed');
    expect(look.stdout).toContain(before.cluster_id);
    const made = await recover(left, '--yes');
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect(made.stdout).toMatch(/Made cluster .*, epoch \d+\. What was there is in .*before-recover-/);

    left.start(alone(left));
    await left.ready();
    const after = await left.api.cluster();
    expect(after.cluster_id).not.toBe(before.cluster_id);
    expect(after).toMatchObject({ voters: ['n3'], leader: 'n3' });
    expect(await left.api.task(done)).toMatchObject({ status: 'COMPLETED', result: 42 });
    // What ran elsewhere is placed again once nobody can expect those nodes back.
    await waitFor(
      'the open task to run here',
      async () => {
        const { status, node } = await left.api.task(open);
        return status === 'RUNNING' && node === 'n3';
      },
      { timeoutMs: 30_000 },
    );
    const { id } = await left.api.submit({ command: ['true'] });
    await waitFor('a new task', async () => (await left.api.task(id)).status === 'COMPLETED');

    // An old member finds nobody of its own, and is refused where it asks.
    const old = cluster.node('n1');
    old.start();
    await waitFor('its refusal', () => old.log().includes('refused by peer') || !old.isRunning);
    expect(await left.api.cluster()).toMatchObject({ term: after.term, voters: ['n3'], leader: 'n3' });
    await cluster.kill('n1', 'SIGKILL').catch(() => undefined);

    // A blank node enters.
    const blank = cluster.node('n2');
    blank.startWithout(['--peers'], ['--join', left.settings.listen]);
    await waitFor(
      'its membership',
      async () => {
        const { learners, voters } = await left.api.cluster();
        return [...learners, ...voters].includes('n2');
      },
      { timeoutMs: 30_000 },
    );
  });

  it('gives no work to nodes of the old one that still run', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT, joining: 1 });
    const old = cluster.node('n4');
    old.start(['--log-level', 'debug']);
    await old.ready();
    const { cluster_id: oldId } = await old.api.cluster();
    const left = cluster.node('n3');
    for (const name of ['n1', 'n2', 'n3']) await cluster.kill(name);
    expect(await recover(left, '--yes')).toMatchObject({ status: 0 });
    left.start(alone(left));
    await left.ready();
    const { cluster_id: newId } = await left.api.cluster();
    const refusal = `node n4 is of cluster ${oldId}, and this is ${newId}`;
    await waitFor('its refusal', () => old.log().includes(refusal));
    await waitFor('its end as a node of the new one', async () =>
      (await left.api.nodes()).some(({ name, status }) => name === 'n4' && status === 'OFFLINE'),
    );
  });

  it('is as it was when what was kept is put back', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const { done } = await tasksBefore(cluster);
    const { cluster_id: clusterId } = await cluster.api().cluster();
    for (const { name } of cluster.nodes) await cluster.kill(name);
    const left = cluster.node('n3');
    const made = await recover(left, '--yes');
    const kept = /What was there is in (.*)\.\n/.exec(made.stdout)?.[1] ?? '';
    const { dataDir } = left.settings;
    for (const name of ['log', 'snapshots', 'identity.json'])
      await rm(path.join(dataDir, name), { recursive: true });
    for (const name of ['log', 'snapshots', 'state', 'identity.json'])
      await rename(path.join(kept, name), path.join(dataDir, name));
    for (const node of cluster.nodes) node.start();
    await cluster.ready();
    expect(await cluster.api().cluster()).toMatchObject({
      cluster_id: clusterId,
      voters: ['n1', 'n2', 'n3'],
    });
    expect((await cluster.api().task(done)).status).toBe('COMPLETED');
  });

  it('is not made of what is none', async () => {
    const cluster = await prepareCluster({ nodes: 1 });
    const node = cluster.node('n1');
    const absent = await recover(node, '--yes');
    expect(absent).toMatchObject({ status: 2, stdout: '' });
    expect(absent.stderr).toContain('there is nothing to recover');
    expect(existsSync(node.settings.dataDir)).toBe(false);
    node.start();
    await node.ready();
    await cluster.kill('n1');
    const other = await runProgram('jarvisd', [
      'recover',
      '--data-dir',
      node.settings.dataDir,
      '--name',
      'n9',
      '--yes',
    ]);
    expect(other).toMatchObject({ status: 2, stdout: '' });
    expect(other.stderr).toContain('belongs to node "n1"');
  });
});

describe('a saved snapshot', () => {
  it('is made anew into a cluster with every task, and a damaged one is refused', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT, joining: 1 });
    const { done, open } = await tasksBefore(cluster);
    const file = path.join(cluster.directory, 'saved.snapshot');
    const [follower] = await cluster.followers();
    const saved = await cluster.cli([
      'snapshot',
      'save',
      file,
      '-o',
      'json',
      '--peer',
      cluster.peers(follower?.name),
    ]);
    expect(saved.status).toBe(0);
    const facts = JSON.parse(saved.stdout) as Record<string, unknown>;
    const before = await cluster.api().cluster();
    expect(facts).toMatchObject({
      cluster_id: before.cluster_id,
      rows: { task: 2, node: 3 },
      members: [{}, {}, {}],
    });
    expect(existsSync(`${file}.part`)).toBe(false);
    const again = await cluster.cli(['snapshot', 'save', file]);
    expect(again).toMatchObject({ status: 1, stdout: '' });
    expect(again.stderr).toContain('is there already');
    const overHttp = await fetch(`http://${cluster.node('n1').settings.http}/snapshot`);
    expect(overHttp.status).toBe(200);
    writeFileSync(`${file}.http`, Buffer.from(await overHttp.arrayBuffer()));
    expect((await cluster.cli(['snapshot', 'inspect', `${file}.http`])).status).toBe(0);

    copyFileSync(file, `${file}.cut`);
    truncateSync(`${file}.cut`, readFileSync(file).length - 5);
    const flipped = readFileSync(file);
    flipped[Math.floor(flipped.length / 2)] = (flipped[Math.floor(flipped.length / 2)] ?? 0) ^ 4;
    writeFileSync(`${file}.flipped`, flipped);
    const target = path.join(cluster.directory, 'restored');
    const listen = cluster.node('n4').settings.listen;
    const restore = (from: string): Promise<RunResult> =>
      cluster.cli(['snapshot', 'restore', from, '--data-dir', target, '--name', 'n4', '--listen', listen]);
    for (const damaged of [`${file}.cut`, `${file}.flipped`]) {
      const inspected = await cluster.cli(['snapshot', 'inspect', damaged]);
      expect(inspected).toMatchObject({ status: 1, stdout: '' });
      expect(inspected.stderr).toContain(damaged);
      expect((await restore(damaged)).status).toBe(1);
      expect(existsSync(target)).toBe(false);
    }

    for (const { name } of cluster.nodes) if (cluster.node(name).isRunning) await cluster.kill(name);
    const restored = await restore(file);
    expect(restored).toMatchObject({ status: 0, stderr: '' });
    expect((await restore(file)).stderr).toContain('name a blank directory');
    const first = cluster.node('n4');
    first.startWithout(['--join', '--data-dir'], ['--peers', `n4=${listen}`, '--data-dir', target]);
    await first.ready();
    const after = await first.api.cluster();
    expect(after.cluster_id).not.toBe(before.cluster_id);
    expect(await first.api.task(done)).toMatchObject({ status: 'COMPLETED', result: 42 });
    await waitFor(
      'the open task to run here',
      async () => {
        const { status, node } = await first.api.task(open);
        return status === 'RUNNING' && node === 'n4';
      },
      { timeoutMs: 30_000 },
    );
  });
});
