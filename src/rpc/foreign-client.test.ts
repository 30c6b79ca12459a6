/** A client that knows the published .proto files and nothing of this program's code, as one in another language does. */
import path from 'node:path';

import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ServedCluster } from './served-cluster.test-kit.ts';

type Plain = Record<string, unknown>;
type Answer = { readonly response: Plain; readonly metadata: grpc.Metadata };

const PROTO = path.join(import.meta.dirname, '../../proto');
const definition = loadSync(['cluster.proto', 'health.proto'], {
  includeDirs: [PROTO],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
});

let served: ServedCluster;
const clients: grpc.Client[] = [];

/** Methods by their names, as the loader makes them of any service. */
function clientOf(service: string, node: string): grpc.Client & Record<string, CallableFunction> {
  const Client = grpc.makeGenericClientConstructor(definition[service] as grpc.ServiceDefinition, service);
  const client = new Client(served.address(node), grpc.credentials.createInsecure());
  clients.push(client);
  return client;
}

async function call(
  node: string,
  method: string,
  request: Plain,
  service = 'jarvis.cluster.Cluster',
): Promise<Answer> {
  const client = clientOf(service, node);
  return await new Promise((resolve, reject) => {
    let metadata = new grpc.Metadata();
    const made = client[method]?.(request, (error: Error | null, response: Plain) => {
      if (error === null) resolve({ response, metadata });
      else reject(error);
    }) as grpc.ClientUnaryCall;
    made.on('metadata', (leading: grpc.Metadata) => {
      metadata = leading;
    });
  });
}

function stream(node: string, method: string, request: Plain, service = 'jarvis.cluster.Cluster') {
  return clientOf(service, node)[method]?.(request) as grpc.ClientReadableStream<Plain>;
}

async function all(node: string, method: string, request: Plain): Promise<Plain[]> {
  const messages: Plain[] = [];
  for await (const message of stream(node, method, request)) messages.push(message as Plain);
  return messages;
}

/** The first piece that has any. */
async function firstEvents(node: string, request: Plain): Promise<Plain> {
  for await (const message of stream(node, 'WatchEvents', { ...request, follow: true })) {
    const piece = message as Plain;
    if ((piece['events'] as unknown[]).length > 0) return piece;
  }
  throw new Error('the stream ended without an event');
}

async function submit(node: string, name: string, more: Plain = {}): Promise<string> {
  const { response } = await call(node, 'SubmitTasks', { tasks: [{ name, command: ['true'] }], ...more });
  return (response['tasks'] as { id: string }[])[0]?.id ?? '';
}

beforeAll(async () => {
  served = await ServedCluster.start();
});

afterAll(async () => {
  for (const client of clients) client.close();
  await served.close();
});

describe('a client made from the .proto files', () => {
  it('submits and reads through any node', async () => {
    const id = await submit('n2', 'foreign');
    const { response } = await call('n3', 'GetTask', { id });
    expect(response).toMatchObject({ id, name: 'foreign', status: 'PENDING', command: ['true'] });
  });

  it('submits once, however often it sends the same key', async () => {
    const key = { idempotency_key: 'once' };
    const id = await submit('n1', 'keyed', key);
    await expect(submit('n2', 'keyed', key)).resolves.toBe(id);
    await expect(submit('n3', 'another', key)).rejects.toMatchObject({ code: grpc.status.ALREADY_EXISTS });
  });

  it('streams submits: an answer for each, in their order', async () => {
    const duplex = clientOf('jarvis.cluster.Cluster', 'n2')['StreamSubmits']?.() as grpc.ClientDuplexStream<
      Plain,
      Plain
    >;
    for (let index = 0; index < 100; index += 1) {
      const command = index === 50 ? [] : ['true'];
      duplex.write({ tasks: [{ name: `streamed-${index}`, command }] });
    }
    duplex.end();
    const answers: Plain[] = [];
    for await (const answer of duplex) answers.push(answer as Plain);
    expect(answers).toHaveLength(100);
    expect(answers.map(({ task_ids: ids }) => (ids as string[]).length)).toEqual(
      answers.map((_, index) => (index === 50 ? 0 : 1)),
    );
    expect(answers[50]).toMatchObject({ refusal: { code: 'invalid', faults: [{ path: 'command' }] } });
    const third = answers[3]?.['task_ids'] as string[];
    expect((await call('n1', 'GetTask', { id: third[0] })).response['name']).toBe('streamed-3');
  });

  it('watches a task to its end', async () => {
    const id = await submit('n1', 'watched');
    const statuses: unknown[] = [];
    for await (const message of stream('n3', 'WatchTask', { id })) {
      const { status } = message as Plain;
      statuses.push(status);
      if (status === 'PENDING') served.cluster.assign(id, 'n2');
      if (status === 'ASSIGNED') served.cluster.report(id, 'COMPLETED');
    }
    expect(statuses).toEqual(['PENDING', 'ASSIGNED', 'COMPLETED']);
  });

  it('reads the output from the node that has it', async () => {
    const id = await submit('n1', 'talkative');
    served.cluster.assign(id, 'n3');
    served.cluster.report(id, 'COMPLETED');
    const chunks = await all('n2', 'ReadLogs', { id });
    expect(Buffer.concat(chunks.map(({ data }) => data as Buffer)).toString()).toBe('from n3');
  });

  it('reads events, and goes on at a position', async () => {
    const id = await submit('n1', 'eventful');
    const first = await firstEvents('n2', { since: 'oldest', id: [id] });
    expect(first['events']).toMatchObject([{ id, new_status: 'PENDING' }]);
    served.cluster.assign(id, 'n2');
    const second = await firstEvents('n3', { since: first['position'], id: [id] });
    expect(second['events']).toMatchObject([{ id, old_status: 'PENDING', new_status: 'ASSIGNED' }]);
  });

  it('is told what is wrong: a status, a code and the faults', async () => {
    const tasks = [{ command: ['true'], resources: { cpu: 'much' } }];
    const failure = await call('n2', 'SubmitTasks', { tasks }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: grpc.status.INVALID_ARGUMENT });
    const { metadata } = failure as grpc.ServiceError;
    expect(metadata.get('jarvis-code')).toEqual(['invalid']);
    const faults = JSON.parse(String(metadata.get('jarvis-faults-bin')[0])) as unknown;
    expect(faults).toEqual([{ path: 'resources.cpu', message: expect.any(String) as string }]);
  });

  it('asks for the health of a node', async () => {
    const health = 'grpc.health.v1.Health';
    const { response } = await call('n2', 'Check', { service: '' }, health);
    expect(response).toEqual({ status: 'SERVING' });
    const watch = stream('n3', 'Watch', { service: 'jarvis.cluster.Cluster' }, health);
    for await (const message of watch) {
      expect(message).toEqual({ status: 'SERVING' });
      break;
    }
    await expect(call('n1', 'Check', { service: 'nothing' }, health)).rejects.toMatchObject({
      code: grpc.status.NOT_FOUND,
    });
  });
});

describe('a stale read', () => {
  const STALE = { consistency: 'stale' };
  /** Every method of the service that reads the state once: what is used stands in none. */
  const READS = Object.keys(definition['jarvis.cluster.Cluster'] as grpc.ServiceDefinition).filter((method) =>
    /^(Explain|Get|List)(?!Version|NodeUsage|TaskUsage|LogLevel)/.test(method),
  );

  it.each(READS)('by %s is answered by a node alone, which says how far the state is', async (method) => {
    const submitted = await call('n1', 'SubmitBatch', { tasks: [{ command: ['true'] }] });
    const dag = await call('n1', 'SubmitDag', {
      name: 'd',
      tasks: [{ id: 'a', task: { command: ['true'] } }],
    });
    const token = await call('n1', 'CreateJoinToken', {});
    const ids: Plain = {
      GetTask: await submit('n1', 'read'),
      ExplainTask: await submit('n1', 'explained'),
      GetBatch: submitted.response['batch_id'],
      GetDag: dag.response['id'],
      GetJoinToken: (token.response['info'] as Plain)['id'],
    };
    const named = method === 'GetNode' ? { name: 'n1' } : method in ids ? { id: ids[method] } : {};
    served.cluster.lead(null);
    try {
      const { metadata } = await call('n2', method, { ...named, ...STALE });
      expect(metadata.get('jarvis-index')).toEqual([String(served.cluster.index)]);
    } finally {
      served.cluster.lead('n1');
    }
  });

  it('is answered by any node, also without a leader, and says how far the state is', async () => {
    const id = await submit('n1', 'old');
    served.cluster.lead(null);
    try {
      const { response, metadata } = await call('n2', 'GetTask', { id, ...STALE });
      expect(response).toMatchObject({ id });
      expect(metadata.get('jarvis-index')).toEqual([String(served.cluster.index)]);
    } finally {
      served.cluster.lead('n1');
    }
  });

  it('is an exception: other answers say nothing of it', async () => {
    const { metadata } = await call('n2', 'ListTasks', { consistency: 'linearizable' });
    expect(metadata.get('jarvis-index')).toEqual([]);
  });

  it.each(['fresh', 'STALE', '\u0000'])('is not %j', async (consistency) => {
    await expect(call('n1', 'ListNodes', { consistency })).rejects.toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
    });
  });

  it('is no watch', async () => {
    const id = await submit('n1', 'watched');
    await expect(all('n1', 'WatchTask', { id, ...STALE })).rejects.toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
    });
  });
});
