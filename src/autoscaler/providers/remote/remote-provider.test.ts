/** A provider of one node, as others reach it over gRPC. */
import { describe, expect, it } from 'vitest';

import { systemClock } from '../../../lib/clock.ts';
import { silentLog } from '../../../lib/log.ts';
import type { DockerScaling } from '../../../model/autoscaling.ts';
import { ChannelPool } from '../../../rpc/channel.ts';
import { createServer } from '../../../rpc/server.ts';
import { MemoryProvider } from '../memory-provider.test-kit.ts';
import { CLUSTER_ID, describeProvider, instanceRequest } from '../provider-contract.test-kit.ts';
import { ProviderError, type MachineProvider, type Provider } from '../provider.ts';
import { instanceHostService } from './instance-host-service.ts';
import { RemoteProvider, type RemoteProviderOptions } from './remote-provider.ts';

const never = new AbortController().signal;

class Bed {
  readonly memory = new MemoryProvider({ clusterId: CLUSTER_ID, clock: systemClock });
  readonly pool = new ChannelPool();
  readonly asked: [MachineProvider, DockerScaling | null][] = [];
  /** What the host has. */
  inner: Provider = this.memory;
  readonly #closers: (() => Promise<void>)[] = [];
  #address = '';

  async start(): Promise<this> {
    this.#address = await this.serve(CLUSTER_ID);
    return this;
  }

  async serve(clusterId: string): Promise<string> {
    const service = instanceHostService({
      clusterId,
      machine: {
        provider: (name, settings) => {
          this.asked.push([name, settings]);
          return clusterId === CLUSTER_ID
            ? this.inner
            : new MemoryProvider({ clusterId, clock: systemClock });
        },
      },
      log: silentLog,
    });
    const server = await createServer({ services: [service], listen: '127.0.0.1:0' });
    this.#closers.push(() => server.close(0));
    return server.address;
  }

  remote(changes: Partial<RemoteProviderOptions> = {}): RemoteProvider {
    return new RemoteProvider({
      name: 'process',
      clusterId: CLUSTER_ID,
      host: { name: 'n1', address: this.#address },
      settings: () => ({ process: null, docker: null }),
      pool: this.pool,
      ...changes,
    });
  }

  async dispose(): Promise<void> {
    this.pool.close();
    for (const close of this.#closers) await close();
  }
}

describeProvider('one of another node', async () => {
  const bed = await new Bed().start();
  const address = await bed.serve('cluster-b');
  return {
    provider: bed.remote(),
    again: () => bed.remote(),
    stranger: () => bed.remote({ clusterId: 'cluster-b', host: { name: 'n9', address } }),
    end: async (id) => bed.memory.end(id),
    leftovers: async () =>
      [...bed.memory.kept.values()]
        .filter(({ instance }) => instance.state !== 'gone')
        .map(({ instance }) => instance.id),
    said: async () => '',
    dispose: () => bed.dispose(),
  };
});

describe('a provider of another node', () => {
  it('brings all of a request there, and of an instance back', async () => {
    const bed = await new Bed().start();
    try {
      const container: DockerScaling = {
        image: 'jarvis:1',
        capacity: { cpuMillis: 700, memoryBytes: 800 },
        network: 'cluster',
        mounts: ['/a:/b:ro'],
      };
      const remote = bed.remote({
        name: 'docker',
        settings: () => ({ process: null, docker: container }),
      });
      const request = instanceRequest({ capacity: { cpuMillis: null, memoryBytes: 900 }, joinToken: null });
      const made = await remote.create(request, never);
      const kept = bed.memory.kept.get('token-1');
      expect(kept?.request).toEqual({ ...request, capacity: { cpuMillis: 700, memoryBytes: 900 } });
      expect(made).toEqual(kept?.instance);
      const sent = { ...container, capacity: { cpuMillis: null, memoryBytes: null } };
      expect(bed.asked).toEqual([['docker', sent]]);
    } finally {
      await bed.dispose();
    }
  });

  it('says the capacity that is set for processes where none is asked for', async () => {
    const bed = await new Bed().start();
    try {
      const capacity = { cpuMillis: 700, memoryBytes: null };
      const remote = bed.remote({ settings: () => ({ process: { capacity }, docker: null }) });
      await remote.create(instanceRequest({ capacity: { cpuMillis: null, memoryBytes: null } }), never);
      expect(bed.memory.kept.get('token-1')?.request.capacity).toEqual(capacity);
    } finally {
      await bed.dispose();
    }
  });

  it('says what that node says against it', async () => {
    const bed = await new Bed().start();
    try {
      const error = new ProviderError('throttled', 'slowly', { retryAfterMs: 3000 });
      const refuse = async (): Promise<never> => Promise.reject(error);
      bed.inner = { name: 'process', create: refuse, list: refuse, terminate: refuse };
      const same = { kind: 'throttled', message: 'slowly', retryAfterMs: 3000 };
      await expect(bed.remote().create(instanceRequest(), never)).rejects.toMatchObject(same);
      await expect(bed.remote().list(never)).rejects.toMatchObject(same);
      await expect(bed.remote().terminate('i-1', never)).rejects.toMatchObject(same);
    } finally {
      await bed.dispose();
    }
  });

  it('says who is not there, or of another cluster', async () => {
    const bed = await new Bed().start();
    try {
      const nowhere = bed.remote({ host: { name: 'n7', address: '127.0.0.1:1' } });
      await expect(nowhere.list(never)).rejects.toMatchObject({
        kind: 'unavailable',
        message: 'n7: 127.0.0.1:1 cannot be reached',
      });
      await expect(bed.remote({ clusterId: 'cluster-b' }).list(never)).rejects.toMatchObject({
        kind: 'denied',
        message: 'n1: this node is of another cluster than "cluster-b"',
      });
    } finally {
      await bed.dispose();
    }
  });
});
