import { afterEach, describe, expect, it } from 'vitest';

import type { Task } from '../generated/cluster.ts';
import { ClusterService, Task as TaskMessage } from '../generated/cluster.ts';
import { NodeLogsService } from '../generated/worker.ts';
import type { LogChunk } from '../generated/worker.ts';
import { splitAddress } from '../lib/address.ts';
import { ERROR_CODES, JarvisError, isErrorCode } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import type { CallContext, ClusterOperations } from '../operations/port.ts';
import { ChannelPool } from './channel.ts';
import { streamCall, unaryCall } from './client.ts';
import { clusterService, nodeLogsService } from './cluster-service.ts';
import { createRemotes } from './remotes.ts';
import type { RpcServer } from './server.ts';
import { createServer } from './server.ts';

const opened: { close(graceMs: number): unknown }[] = [];

afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close(0);
});

function task(id: string): Task {
  return TaskMessage.create({ id });
}

async function serve(
  operations: Partial<ClusterOperations>,
  listen = '127.0.0.1:0',
): Promise<{ server: RpcServer; pool: ChannelPool; address: string }> {
  const server = await createServer({
    listen,
    services: [clusterService(operations as ClusterOperations, silentLog)],
  });
  const pool = new ChannelPool();
  opened.push(server, pool);
  return { server, pool, address: server.address };
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

async function failureOf(promise: Promise<unknown>): Promise<JarvisError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof JarvisError) return error;
    throw error;
  }
  throw new Error('did not fail');
}

const context: CallContext = {
  principal: 'anonymous',
  signal: new AbortController().signal,
  forwarded: false,
};

describe('errors', () => {
  it.each(Object.keys(ERROR_CODES).filter(isErrorCode))(
    '%s arrives with its message and faults',
    async (code) => {
      const faults = [{ path: 'env["ä"]', message: 'größer\n"\u0000"' }];
      const { pool, address } = await serve({
        getTask: () => Promise.reject(new JarvisError(code, 'nö: 100% \u2028 \ud800', { faults })),
      });
      const error = await failureOf(createRemotes(pool).operations(address).getTask({ id: 'x' }, context));
      expect(error).toMatchObject({ code, message: 'nö: 100% \u2028 \ufffd', faults });
    },
  );

  it('are bounded', async () => {
    const faults = Array.from({ length: 1000 }, (_, index) => ({
      path: `p${index}`,
      message: 'ü'.repeat(100),
    }));
    const { pool, address } = await serve({
      getTask: () => Promise.reject(new JarvisError('invalid', 'ü'.repeat(100_000), { faults })),
    });
    const error = await failureOf(createRemotes(pool).operations(address).getTask({ id: 'x' }, context));
    expect(error.code).toBe('invalid');
    expect(error.message.length).toBeLessThan(4096);
    expect(error.faults.length).toBeGreaterThan(10);
  });

  it('that are bugs are internal', async () => {
    const { pool, address } = await serve({ getTask: () => Promise.reject(new TypeError('oops')) });
    const error = await failureOf(createRemotes(pool).operations(address).getTask({ id: 'x' }, context));
    expect(error.code).toBe('internal');
  });

  it('of streams come after what was sent', async () => {
    const { pool, address } = await serve({
      async *watchTask() {
        yield task('a');
        throw new JarvisError('no_leader', 'gone');
      },
    });
    const seen: string[] = [];
    const error = await failureOf(
      (async () => {
        for await (const item of createRemotes(pool).operations(address).watchTask({ id: 'a' }, context)) {
          seen.push(item.id);
        }
      })(),
    );
    expect(seen).toEqual(['a']);
    expect(error.code).toBe('no_leader');
  });
});

describe('a unary call', () => {
  it('says that it is forwarded', async () => {
    let forwarded = false;
    const { pool, address } = await serve({
      getTask: async (request, inner) => {
        forwarded = inner.forwarded;
        return task(request.id);
      },
    });
    await expect(
      createRemotes(pool).operations(address).getTask({ id: 'x' }, context),
    ).resolves.toMatchObject({
      id: 'x',
    });
    expect(forwarded).toBe(true);
  });

  it.each([
    [false, 'timeout'],
    [true, 'outcome_unknown'],
  ] as const)('ends at its deadline here and there (write: %s)', async (write, code) => {
    const { promise: aborted, resolve: told } = Promise.withResolvers<void>();
    const { pool, address } = await serve({
      getTask: async (_request, { signal }) => {
        signal.addEventListener('abort', () => told());
        return never(signal);
      },
    });
    const call = {
      pool,
      address,
      method: ClusterService.getTask,
      request: { id: 'x' },
      signal: context.signal,
    };
    const error = await failureOf(unaryCall({ ...call, timeoutMs: 100, write }));
    expect(error.code).toBe(code);
    await aborted;
  });

  it('is sent on with the time that its caller has left, and never more than a node waits', async () => {
    const deadlines: number[] = [];
    const { pool, address } = await serve({
      getTask: (request, { deadlineMs = 0 }) => {
        deadlines.push(deadlineMs);
        return Promise.resolve(task(request.id));
      },
    });
    const remote = createRemotes(pool).operations(address);
    const nowMs = Date.now();
    await remote.getTask({ id: 'x' }, { ...context, deadlineMs: nowMs + 5000 });
    await remote.getTask({ id: 'x' }, { ...context, deadlineMs: nowMs + 3_600_000 });
    await remote.getTask({ id: 'x' }, context);
    const lateMs = Date.now() - nowMs;
    const [soon = 0, ...most] = deadlines.map((deadlineMs) => deadlineMs - nowMs);
    // Less than a millisecond is lost on the way; the clock may be read up to now.
    expect(soon).toBeGreaterThan(5000 - 10);
    expect(soon).toBeLessThanOrEqual(5000 + lateMs);
    for (const leftMs of most) {
      expect(leftMs).toBeGreaterThanOrEqual(limits.forwardTimeoutMs - 10);
      expect(leftMs).toBeLessThanOrEqual(limits.forwardTimeoutMs + lateMs);
    }
  });

  it('of a caller whose time is over is not sent on', async () => {
    let isAsked = false;
    const { pool, address } = await serve({
      getTask: (request) => {
        isAsked = true;
        return Promise.resolve(task(request.id));
      },
    });
    const remote = createRemotes(pool).operations(address);
    await remote.getTask({ id: 'x' }, context);
    isAsked = false;
    const error = await failureOf(remote.getTask({ id: 'x' }, { ...context, deadlineMs: Date.now() - 1 }));
    expect(error.code).toBe('timeout');
    expect(isAsked).toBe(false);
  });

  it('is not taken for given up once it is answered', async () => {
    const signals: AbortSignal[] = [];
    const { pool, address } = await serve({
      getTask: (request, { signal }) => {
        signals.push(signal);
        return Promise.resolve(task(request.id));
      },
    });
    const method = ClusterService.getTask;
    // A later answer over the same connection comes after whatever the server hears of the end of the first call.
    for (const id of ['a', 'b', 'c']) {
      const call = { pool, address, method, request: { id }, signal: context.signal };
      await unaryCall({ ...call, timeoutMs: 5000, write: false });
    }
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, false, false]);
  });

  it('is cancelled by its signal, there too', async () => {
    const { promise: aborted, resolve: told } = Promise.withResolvers<void>();
    const controller = new AbortController();
    const { pool, address } = await serve({
      getTask: async (_request, { signal }) => {
        signal.addEventListener('abort', () => told());
        controller.abort();
        return never(signal);
      },
    });
    const call = {
      pool,
      address,
      method: ClusterService.getTask,
      request: { id: 'x' },
      signal: controller.signal,
    };
    const error = await failureOf(unaryCall({ ...call, timeoutMs: 10_000, write: false }));
    expect(error.code).toBe('timeout');
    await aborted;
  });

  it('to nobody is unavailable, also a write: nothing was sent', async () => {
    const { server, pool, address } = await serve({});
    await server.close(0);
    const call = {
      pool,
      address,
      method: ClusterService.getTask,
      request: { id: 'x' },
      signal: context.signal,
    };
    const error = await failureOf(unaryCall({ ...call, timeoutMs: 5000, write: true }));
    expect(error).toMatchObject({ code: 'unavailable', message: expect.stringContaining(address) });
  });

  it('whose connection breaks has an unknown outcome if it writes', async () => {
    let server: RpcServer | null = null;
    const served = await serve({
      getTask: async (_request, { signal }) => {
        void server?.close(0);
        return never(signal);
      },
    });
    server = served.server;
    const { pool, address } = served;
    const call = {
      pool,
      address,
      method: ClusterService.getTask,
      request: { id: 'x' },
      signal: context.signal,
    };
    const error = await failureOf(unaryCall({ ...call, timeoutMs: 10_000, write: true }));
    expect(error.code).toBe('outcome_unknown');
  });

  it('is refused over 16 MiB', async () => {
    const { pool, address } = await serve({ getTask: async () => task('x') });
    const request = { id: 'x'.repeat(17 * 1024 * 1024) };
    const error = await failureOf(createRemotes(pool).operations(address).getTask(request, context));
    expect(error.code).toBe('too_large');
  });
});

describe('a stream', () => {
  const chunk: LogChunk = { stream: 'stdout', at_ms: 1, data: Buffer.alloc(64 * 1024) };

  it('is produced no faster than it is read, and ends when its reader stops', async () => {
    let produced = 0;
    const { promise: end, resolve: ended } = Promise.withResolvers<void>();
    const server = await createServer({
      listen: '127.0.0.1:0',
      services: [
        nodeLogsService(
          {
            async *read() {
              try {
                for (; produced < 10_000; produced += 1) yield chunk;
              } finally {
                ended();
              }
            },
          },
          silentLog,
        ),
      ],
    });
    const pool = new ChannelPool();
    opened.push(server, pool);
    const request = {
      task_id: 'x',
      assignment: 1,
      follow: false,
      tail: undefined,
      stream: '',
      since_ms: undefined,
    };
    let read = 0;
    for await (const item of createRemotes(pool).readLog(server.address, request, context)) {
      expect(item.data.length).toBe(chunk.data.length);
      read += 1;
      if (read === 20) break;
    }
    await end;
    // Windows and buffers hold some, never the 640 MB.
    expect(produced).toBeLessThan(2000);
  });

  it('ends with its signal', async () => {
    const controller = new AbortController();
    const { pool, address } = await serve({
      async *watchTask(_request, { signal }) {
        yield task('a');
        await never(signal);
      },
    });
    const reading = async (): Promise<void> => {
      const call = { pool, address, method: ClusterService.watchTask, request: { id: 'a' } };
      for await (const item of streamCall({ ...call, signal: controller.signal })) {
        expect(item.id).toBe('a');
        controller.abort(new JarvisError('timeout', 'enough'));
      }
    };
    await expect(reading()).rejects.toMatchObject({ code: 'timeout', message: 'enough' });
  });

  it('breaks with its server', async () => {
    let server: RpcServer | null = null;
    const served = await serve({
      async *watchTask(_request, { signal }) {
        yield task('a');
        await never(signal);
      },
    });
    server = served.server;
    const reading = async (): Promise<void> => {
      const remote = createRemotes(served.pool).operations(served.address);
      for await (const item of remote.watchTask({ id: 'a' }, context)) {
        expect(item.id).toBe('a');
        void server.close(0);
      }
    };
    await expect(reading()).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('the server', () => {
  it('names an address that is in use', async () => {
    const { address } = await serve({});
    await expect(createServer({ listen: address, services: [] })).rejects.toMatchObject({
      code: 'conflict',
      message: `cannot listen on ${address}: the port is in use`,
    });
  });

  it.each(['localhost', ':1', 'a:b', 'a:70000', '::1:5', 'http://a:1', ''])(
    'takes no %j for an address',
    (text) => {
      expect(() => splitAddress(text)).toThrow(JarvisError);
    },
  );

  it('knows IPv6', () => {
    expect(splitAddress('[::1]:80')).toEqual({ host: '::1', port: 80 });
  });

  it('answers unknown methods with an error of ours', async () => {
    const { pool, address } = await serve({});
    const call = { pool, address, method: NodeLogsService.read, signal: context.signal };
    const request = {
      task_id: 'x',
      assignment: 1,
      follow: false,
      tail: undefined,
      stream: '',
      since_ms: undefined,
    };
    const reading = async (): Promise<void> => {
      for await (const item of streamCall({ ...call, request })) expect(item).toBeNull();
    };
    await expect(reading()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('does not know this request') as string,
    });
  });
});
