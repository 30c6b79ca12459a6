import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ClusterService } from '../generated/cluster.ts';
import { HealthService } from '../generated/health.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { ChannelPool } from './channel.ts';
import { streamCall, unaryCall } from './client.ts';
import { healthService } from './health-service.ts';
import type { RpcServer } from './server.ts';
import { createServer } from './server.ts';
import { serviceName } from './service-name.ts';

let clock: VirtualClock;
let server: RpcServer;
let pool: ChannelPool;
let ready: boolean;
let stopWatching: AbortController;

beforeEach(async () => {
  clock = new VirtualClock();
  ready = true;
  stopWatching = new AbortController();
  const readiness = () => ({ ready, reason: ready ? '' : 'no leader is known' });
  const services = [healthService({ readiness, services: [ClusterService], clock, log: silentLog })];
  server = await createServer({ listen: '127.0.0.1:0', services });
  pool = new ChannelPool();
});

afterEach(async () => {
  stopWatching.abort();
  pool.close();
  await server.close(0);
});

async function check(service: string): Promise<string> {
  const call = { pool, address: server.address, method: HealthService.check, request: { service } };
  const { signal } = stopWatching;
  return (await unaryCall({ ...call, signal, timeoutMs: 10_000, write: false })).status;
}

/** Statuses as they come. */
function watch(service: string): AsyncIterator<string> {
  const call = { pool, address: server.address, method: HealthService.watch, request: { service } };
  return (async function* statuses() {
    for await (const { status } of streamCall({ ...call, signal: stopWatching.signal })) yield status;
  })();
}

describe('a check', () => {
  it.each(['', 'jarvis.cluster.Cluster', 'grpc.health.v1.Health'])(
    'of %j says whether the node is in service',
    async (service) => {
      await expect(check(service)).resolves.toBe('SERVING');
      ready = false;
      await expect(check(service)).resolves.toBe('NOT_SERVING');
    },
  );

  it.each(['jarvis.cluster', 'Cluster', 'jarvis.cluster.Cluster\u0000', '../etc', '__proto__'])(
    'of %j, which is no service, is refused',
    async (service) => {
      await expect(check(service)).rejects.toMatchObject({
        code: 'not_found',
        message: expect.stringContaining(JSON.stringify(service)),
      });
    },
  );

  it('quotes only the beginning of a long name', async () => {
    const failure = await check('x'.repeat(100_000)).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(JarvisError);
    expect((failure as JarvisError).message.length).toBeLessThan(300);
  });
});

describe('a watch', () => {
  it('says how it is, and again after each change', async () => {
    const statuses = watch('jarvis.cluster.Cluster');
    await expect(statuses.next()).resolves.toEqual({ done: false, value: 'SERVING' });
    await clock.advance(limits.healthPollMs * 10);
    ready = false;
    await clock.advance(limits.healthPollMs);
    await expect(statuses.next()).resolves.toEqual({ done: false, value: 'NOT_SERVING' });
    ready = true;
    await clock.advance(limits.healthPollMs);
    await expect(statuses.next()).resolves.toEqual({ done: false, value: 'SERVING' });
  });

  it('of what is no service says so and goes on', async () => {
    const statuses = watch('nothing');
    await expect(statuses.next()).resolves.toEqual({ done: false, value: 'SERVICE_UNKNOWN' });
    let isOver = false;
    const next = statuses.next().finally(() => {
      isOver = true;
    });
    await clock.advance(60_000);
    await check('');
    expect(isOver).toBe(false);
    stopWatching.abort();
    await expect(next).rejects.toBeInstanceOf(JarvisError);
  });

  it('is refused beyond the bound, and taken again once another one has ended', async () => {
    const watches = Array.from({ length: limits.healthWatches }, () => watch(''));
    for (const statuses of watches) await statuses.next();
    await expect(watch('').next()).rejects.toMatchObject({ code: 'too_many' });
    await watches[0]?.return?.();
    // The server hears of the end some time after the client's own is over.
    for (;;) {
      const statuses = watch('');
      try {
        expect(await statuses.next()).toEqual({ done: false, value: 'SERVING' });
        break;
      } catch (error) {
        if (!(error instanceof JarvisError) || error.code !== 'too_many') throw error;
      }
    }
  });
});

it('services have the names of their packages', () => {
  expect(serviceName(ClusterService)).toBe('jarvis.cluster.Cluster');
  expect(serviceName({})).toBe('');
});
