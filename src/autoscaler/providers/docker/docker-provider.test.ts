import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { DockerScaling } from '../../../model/autoscaling.ts';
import { CLUSTER_ID, describeProvider, instanceRequest } from '../provider-contract.test-kit.ts';
import { DockerProvider, DockerTurns } from './docker-provider.ts';
import { EngineServer } from './engine-server.test-kit.ts';
import { Engine } from './engine.ts';

const never = new AbortController().signal;
const SETTINGS: DockerScaling = {
  image: 'jarvis:1',
  capacity: { cpuMillis: null, memoryBytes: null },
  network: null,
  mounts: null,
};

function providerOf(
  server: EngineServer,
  changes: {
    readonly clusterId?: string;
    readonly settings?: DockerScaling | null;
    readonly most?: number;
  } = {},
): DockerProvider {
  const { clusterId = CLUSTER_ID, settings = SETTINGS, most = 32 } = changes;
  return new DockerProvider({
    clusterId,
    engine: new Engine(server.socketPath),
    settings,
    hosts: { listen: '127.0.0.1', advertise: '127.0.0.1', http: '127.0.0.1' },
    common: { LOG_LEVEL: 'info' },
    most,
    stopGraceMs: 1000,
    turns: new DockerTurns(),
  });
}

async function engineWithImage(): Promise<EngineServer> {
  const server = await EngineServer.start();
  server.images.add('jarvis:1');
  return server;
}

describeProvider('docker', async () => {
  const server = await engineWithImage();
  return {
    provider: providerOf(server),
    again: () => providerOf(server),
    stranger: () => providerOf(server, { clusterId: 'cluster-b' }),
    crashBeforeStart: async (request) => {
      server.refusals.set('POST containers/start', { status: 500, body: { message: 'gone' } });
      await providerOf(server)
        .create(request, never)
        .catch(() => undefined);
    },
    end: async (id) => {
      const container = server.containers.get(id);
      if (container !== undefined) container.state = 'exited';
    },
    leftovers: async () => [...server.containers.keys()],
    // The environment is for those who may use the engine.
    said: async () => JSON.stringify([...server.containers.values()].map(({ settings }) => settings.Labels)),
    dispose: () => server.stop(),
  };
});

describe('docker', () => {
  let server: EngineServer;
  beforeEach(async () => {
    server = await engineWithImage();
  });
  afterEach(() => server.stop());

  it('makes a container on the network of its machine, with free ports', async () => {
    const mounts = ['/srv/data:/data:ro'];
    const provider = providerOf(server, { settings: { ...SETTINGS, mounts } });
    const { id } = await provider.create(instanceRequest(), never);
    const { name, settings } = server.containers.get(id) ?? {};
    expect(name).toBe('jarvis-cluster-a-token-1');
    const [rpc = '', http = ''] = (settings?.Labels?.['jarvis:ports'] ?? '').split(',');
    expect(settings).toMatchObject({
      Image: 'jarvis:1',
      Labels: { 'jarvis:cluster': CLUSTER_ID, 'jarvis:token': 'token-1', 'jarvis:node': 'auto-1' },
      HostConfig: { NetworkMode: 'host', Binds: mounts, RestartPolicy: { Name: 'no' } },
    });
    expect(settings?.Env).toEqual([
      'JARVISD_LOG_LEVEL=info',
      'JARVISD_NAME=auto-1',
      'JARVISD_JOIN=127.0.0.1:7101',
      `JARVISD_JOIN_TOKEN=${instanceRequest().joinToken}`,
      'JARVISD_CAPACITY=cpu=500m,memory=67108864',
      'JARVISD_LABELS=pool=auto',
      'JARVISD_KILL_TASKS_ON_EXIT=true',
      `JARVISD_LISTEN=127.0.0.1:${rpc}`,
      `JARVISD_ADVERTISE=127.0.0.1:${rpc}`,
      `JARVISD_HTTP=127.0.0.1:${http}`,
    ]);
    expect(new Set([rpc, http]).size).toBe(2);
  });

  it('makes a container on a network of the engine, reached there by a name of its own', async () => {
    const provider = providerOf(server, { settings: { ...SETTINGS, network: 'blue' } });
    const { id } = await provider.create(instanceRequest(), never);
    const { Env = [], HostConfig, NetworkingConfig } = server.containers.get(id)?.settings ?? {};
    expect(HostConfig?.NetworkMode).toBe('blue');
    const [alias = ''] = NetworkingConfig?.EndpointsConfig?.['blue']?.Aliases ?? [];
    expect(alias).toMatch(/^jarvis-[0-9a-f]{16}$/);
    expect(Env).toEqual(
      expect.arrayContaining(['JARVISD_LISTEN=0.0.0.0:7101', `JARVISD_ADVERTISE=${alias}:7101`]),
    );
  });

  it('pulls an image that is not there, and says where there is none', async () => {
    server.images.clear();
    await expect(providerOf(server).create(instanceRequest(), never)).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining('manifest unknown: jarvis:1'),
    });
    // Never all tags that there are.
    const untagged = providerOf(server, { settings: { ...SETTINGS, image: 'jarvis' } });
    await expect(untagged.create(instanceRequest(), never)).rejects.toMatchObject({
      message: expect.stringContaining('manifest unknown: jarvis:latest'),
    });
    server.published.add('jarvis:1');
    expect(await providerOf(server).create(instanceRequest(), never)).toMatchObject({ state: 'running' });
  });

  it('begins one that was made only; with another join token it is made anew', async () => {
    const provider = providerOf(server);
    server.refusals.set('POST containers/start', { status: 500, body: { message: 'no room' } });
    await expect(provider.create(instanceRequest(), never)).rejects.toMatchObject({ kind: 'unavailable' });
    const [first = ''] = server.containers.keys();
    server.refusals.set('POST containers/start', { status: 500, body: { message: 'no room' } });
    await provider.create(instanceRequest(), never).catch(() => undefined);
    expect([...server.containers.keys()]).toEqual([first]);
    const { id, state } = await provider.create(instanceRequest({ joinToken: null }), never);
    expect(state).toBe('running');
    expect([...server.containers.keys()]).toEqual([id]);
    expect(id).not.toBe(first);
  });

  it('finds what a call has made whose answer came to nobody', async () => {
    const provider = providerOf(server);
    server.refusals.set('POST containers/create', { status: 409, body: { message: 'in use' } });
    // The name is taken, and whoever has it is gone again.
    await expect(provider.create(instanceRequest(), never)).rejects.toMatchObject({ kind: 'invalid' });
    expect(await provider.create(instanceRequest(), never)).toMatchObject({ state: 'running' });
  });

  it.each([
    [400, 'invalid'],
    [403, 'denied'],
    [429, 'throttled'],
    [500, 'unavailable'],
  ])('takes status %i of the engine for what it is', async (status, kind) => {
    server.refusals.set('GET containers/json', { status, body: { message: 'words of the engine' } });
    await expect(providerOf(server).list(never)).rejects.toMatchObject({
      kind,
      message: expect.stringContaining('words of the engine'),
    });
  });

  it('makes no more than the machine may have', async () => {
    const provider = providerOf(server, { most: 1 });
    await provider.create(instanceRequest(), never);
    const second = instanceRequest({ clientToken: 'token-2', node: 'auto-2' });
    await expect(provider.create(second, never)).rejects.toMatchObject({ kind: 'quota' });
  });

  it('makes nothing without settings, and still ends what there is', async () => {
    const { id } = await providerOf(server).create(instanceRequest(), never);
    const provider = providerOf(server, { settings: null });
    const second = instanceRequest({ clientToken: 'token-2', node: 'auto-2' });
    await expect(provider.create(second, never)).rejects.toMatchObject({ kind: 'invalid' });
    // Nothing of others, either.
    await providerOf(server, { clusterId: 'cluster-b' }).terminate(id, never);
    expect(server.containers.size).toBe(1);
    await provider.terminate(id, never);
    expect(server.containers.size).toBe(0);
  });
});
