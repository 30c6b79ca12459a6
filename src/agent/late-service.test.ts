import * as grpc from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';

import { WorkerClient, WorkerService, type LeaderMessage } from '../generated/worker.ts';
import { RaftClient, RaftService, type BootstrapReply } from '../generated/raft.ts';
import { createServer } from '../rpc/server.ts';
import { lateService } from './late-service.ts';
import { StartingOperations } from './starting-operations.ts';

async function begin() {
  const raft = lateService(RaftService);
  const worker = lateService(WorkerService);
  const server = await createServer({ services: [raft.service, worker.service], listen: '127.0.0.1:0' });
  const credentials = grpc.credentials.createInsecure();
  const clients = {
    raft: new RaftClient(server.address, credentials),
    worker: new WorkerClient(server.address, credentials),
  };
  onTestFinished(async () => {
    for (const client of Object.values(clients)) client.close();
    await server.close(0);
  });
  const ask = (): Promise<BootstrapReply> =>
    new Promise((resolve, reject) => {
      const request = { name: 'n1', incarnation: 'i', peers: [], founders: [], config: '' };
      clients.raft.bootstrap(request, (error, reply) => (error === null ? resolve(reply) : reject(error)));
    });
  return { raft, worker, clients, ask };
}

describe('a service that is announced before it can answer', () => {
  it('says so to single calls, until it can', async () => {
    const { raft, ask } = await begin();
    await expect(ask()).rejects.toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: expect.stringContaining('starting') as string,
    });
    const reply: BootstrapReply = {
      name: 'n1',
      incarnation: 'i',
      peers: [],
      agrees: false,
      cluster_id: 'c',
      founders: [],
      config: '',
      known_version: 1,
    };
    raft.become({
      definition: RaftService,
      handlers: {
        bootstrap: (_call: unknown, callback: grpc.sendUnaryData<BootstrapReply>) => callback(null, reply),
      },
    });
    expect(await ask()).toEqual(reply);
  });

  it('ends streams with the same word, and leaves later ones open', async () => {
    const { worker, clients } = await begin();
    const early = clients.worker.session();
    const status = await new Promise<grpc.StatusObject>((resolve) => {
      early.on('error', () => {});
      early.on('data', () => {});
      early.on('status', resolve);
    });
    expect(status.code).toBe(grpc.status.UNAVAILABLE);
    let opened = 0;
    worker.become({
      definition: WorkerService,
      handlers: {
        session: (call: grpc.ServerDuplexStream<unknown, LeaderMessage>) => {
          opened += 1;
          call.end();
        },
      },
    });
    const late = clients.worker.session();
    const end = await new Promise<grpc.StatusObject>((resolve) => {
      late.on('data', () => {});
      late.on('status', resolve);
    });
    expect(end.code).toBe(grpc.status.OK);
    expect(opened).toBe(1);
  });
});

describe('a service that is not there at all', () => {
  it('says why, to single calls and to streams', async () => {
    const { raft, worker, clients, ask } = await begin();
    for (const each of [raft, worker]) each.refuse('ask a member');
    await expect(ask()).rejects.toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: expect.stringContaining('ask a member') as string,
    });
    const session = clients.worker.session();
    const status = await new Promise<grpc.StatusObject>((resolve) => {
      session.on('error', () => {});
      session.on('data', () => {});
      session.on('status', resolve);
    });
    expect(status).toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: expect.stringContaining('ask a member') as string,
    });
  });
});

describe('the operations of a node that starts', () => {
  it('refuse everything until the real ones take over', async () => {
    const operations = new StartingOperations();
    const context = { principal: 'p', signal: new AbortController().signal, forwarded: false };
    await expect(operations.getCluster({ consistency: '' }, context)).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(() => operations.version()).toThrow(/starting/);
    const real = new StartingOperations();
    operations.become(real);
    await expect(operations.listNodes(context)).rejects.toMatchObject({ code: 'unavailable' });
  });
});
