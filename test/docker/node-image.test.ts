/** The image of a node, made by scripts/build-image.mjs without a registry: three of it are a cluster, and run a task. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

import { beforeAll, expect, it } from 'vitest';

import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { freePort, HOST } from '../support/ports.ts';
import { runProgram } from '../support/program.ts';
import { waitFor } from '../support/wait.ts';

const IMAGE = 'jarvis-under-test:1';
const USER = '10001';
const BUILD_DEADLINE_MS = 110_000;
const script = path.join(import.meta.dirname, '../../scripts/build-image.mjs');

interface Node {
  readonly name: string;
  readonly grpc: string;
  readonly http: string;
  readonly container: string;
}

interface Health {
  readonly State: { readonly Health: { readonly Status: string } };
}

describeWithBed('the image of a node', (bed) => {
  let nodes: readonly Node[];

  beforeAll(async () => {
    await promisify(execFile)(process.execPath, [script, '--tag', IMAGE, '--base', 'local'], {
      env: { ...process.env, DOCKER_HOST: bed().dockerHost },
      timeout: BUILD_DEADLINE_MS,
    });
    const places: Omit<Node, 'container'>[] = [];
    for (const name of ['n1', 'n2', 'n3'])
      places.push({ name, grpc: `${HOST}:${await freePort()}`, http: `${HOST}:${await freePort()}` });
    const peers = places.map(({ name, grpc }) => `${name}=${grpc}`).join(',');
    nodes = await Promise.all(places.map((place) => startNode(place, peers)));
    for (const node of nodes) await ready(node);
  });

  async function startNode(place: Omit<Node, 'container'>, peers: string): Promise<Node> {
    const container = await bed().engine.api.create(place.name, {
      Image: IMAGE,
      Cmd: ['--name', place.name, '--listen', place.grpc, '--peers', peers],
      Env: [`JARVISD_HTTP=${place.http}`],
      // Asked more often than every ten seconds, so that nothing has to be waited for.
      Healthcheck: { Interval: 1_000_000_000 },
      HostConfig: { NetworkMode: 'host', Init: false },
    });
    await bed().engine.api.start(container);
    return { ...place, container };
  }

  async function ready({ name, http }: Node): Promise<void> {
    await waitFor(
      `${name} to be ready`,
      async () => (await fetch(`http://${http}/readyz`).catch(() => null))?.status === 200,
      { timeoutMs: 60_000 },
    );
  }

  function cli(...args: readonly string[]) {
    return runProgram('jarvisctl', args, {
      env: { JARVIS_PEERS: nodes.map(({ grpc }) => grpc).join(',') },
    });
  }

  it('forms a cluster, and runs a task as a user that is not root', async () => {
    const members = await cli('cluster', 'members', '-o', 'name');
    expect(members.stdout.trim().split('\n').toSorted()).toEqual(['n1', 'n2', 'n3']);
    const run = await cli('run', '--', 'sh', '-c', 'id -u; exit 3');
    expect(run).toMatchObject({ stdout: `${USER}\n`, status: 3 });
  });

  it.each([0, 1, 2])('says that node %i is healthy', async (at) => {
    const status = await waitFor('its first check', async () => {
      const { State } = (await bed().engine.api.inspect(nodes[at]?.container ?? '')) as unknown as Health;
      return State.Health.Status === 'starting' ? null : State.Health.Status;
    });
    expect(status).toBe('healthy');
  });

  it('keeps what it knows over a stop and a start, in its volume', async () => {
    const before = await cli('ls', '-o', 'name');
    for (const { container } of nodes) await bed().engine.api.send('POST', `/containers/${container}/stop`);
    for (const node of nodes) {
      const { State } = await bed().engine.api.inspect(node.container);
      expect(State).toMatchObject({ Running: false, ExitCode: 0 });
    }
    for (const { container } of nodes) await bed().engine.api.start(container);
    for (const node of nodes) await ready(node);
    expect(before.stdout).not.toBe('');
    expect((await cli('ls', '-o', 'name')).stdout).toBe(before.stdout);
  });
});
