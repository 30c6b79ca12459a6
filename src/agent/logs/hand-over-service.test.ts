/** The hand-over between nodes that speak gRPC. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { LogPiece } from '../../generated/log_hand_over.ts';
import {
  LogHandOverService,
  type BeginRequest,
  type LogHandOverServer,
} from '../../generated/log_hand_over.ts';
import type { Outcome } from '../../model/commands.ts';
import type { NodeRow } from '../../model/node.ts';
import { ChannelPool } from '../../rpc/channel.ts';
import { uploadCall } from '../../rpc/client.ts';
import { unaryHandler } from '../../rpc/handlers.ts';
import { createServer, type RpcServer } from '../../rpc/server.ts';
import type { CommandInput, Replica } from '../../scheduler/ports.ts';
import { Bed, CLUSTER_ID, silent } from './hand-over.test-kit.ts';
import { LOG_LIMITS } from './limits.ts';
import { handOverPeers, HandOverRequests, handOverService } from './hand-over-service.ts';
import { logsClusterOf } from './logs-cluster.ts';

const never = new AbortController().signal;

let bed: Bed;
let pool: ChannelPool;
let servers: RpcServer[];
let proposed: CommandInput[];
let outcome: Outcome;

beforeEach(() => {
  bed = new Bed();
  pool = new ChannelPool();
  servers = [];
  proposed = [];
  outcome = { type: 'done', result: null };
});

afterEach(async () => {
  pool.close();
  for (const server of servers) await server.close(0);
  bed.remove();
});

async function serve(node: string): Promise<string> {
  const service = handOverService({
    clusterId: CLUSTER_ID,
    receiver: bed.receiver(node),
    handOver: bed.handOver(node),
    cluster: logsClusterOf({
      propose: async (command: CommandInput) => {
        proposed.push(command);
        return outcome;
      },
    } as unknown as Replica),
    log: silent,
  });
  const server = await createServer({ services: [service], listen: '127.0.0.1:0' });
  servers.push(server);
  return server.address;
}

/** Of a leader that knows of such nodes. */
function requestsOf(clusterId = CLUSTER_ID, nodes: readonly Partial<NodeRow>[] = []): HandOverRequests {
  const known = new Map(nodes.map((node) => [node.name, node]));
  const replica = { state: { nodes: known } } as unknown as Pick<Replica, 'state'>;
  return new HandOverRequests({ clusterId, replica, pool, log: silent });
}

/** n1 as it reaches n2, which leads. */
async function peersOf(address: string) {
  const node = { status: 'AVAILABLE', schedulable: true };
  const nodes = [
    { ...node, name: 'n1', address: 'nowhere:1' },
    { ...node, name: 'n2', address },
    { ...node, name: 'n3', address, schedulable: false },
    { ...node, name: 'n4', address, status: 'OFFLINE' },
  ];
  const replica = {
    nodeName: 'n1',
    state: { nodes: new Map(nodes.map((one) => [one.name, one])) },
    leadership: () => ({ isLeader: false, term: 1, leader: { name: 'n2', address } }),
  } as unknown as Replica;
  return handOverPeers({
    clusterId: CLUSTER_ID,
    incarnation: 'first',
    cluster: logsClusterOf(replica),
    pool,
  });
}

describe('the hand-over between nodes', () => {
  it('goes to those that take new work, and is recorded by the leader', async () => {
    const peers = await peersOf(await serve('n2'));
    expect(peers.candidates().map(({ name }) => name)).toEqual(['n2']);
    for (let at = 0; at < 20; at += 1) bed.keep('n1', `task-${at}`, at, at === 7 ? 3_000_000 : 1000);
    const result = await bed.handOver('n1', peers).run(never);
    expect(result).toMatchObject({ holder: 'n2', attempts: 20, failed: 0 });
    for (let at = 0; at < 20; at += 1)
      expect(bed.content('n2', `task-${at}`)?.equals(bed.content('n1', `task-${at}`) ?? Buffer.of())).toBe(
        true,
      );
    expect(proposed).toEqual([{ type: 'logsHandedOver', node: 'n1', incarnation: 'first', holder: 'n2' }]);
    // All of it again: it is refused early, and that is an answer.
    expect(await bed.handOver('n1', peers).run(never)).toMatchObject({ attempts: 20, failed: 0 });
  });

  it('begins on request, of a node of the same cluster, and again while something is not over', async () => {
    const address = await serve('n1');
    bed.keep('n1', 'task-1', 1);
    bed.receiver('n2', 2 ** 31);
    const stranger = requestsOf('other');
    await expect(stranger.handOver({ name: 'n1', address }, never)).rejects.toMatchObject({
      code: 'forbidden',
    });
    const requests = requestsOf();
    bed.record('n1', 'task-1');
    await expect(requests.handOver({ name: 'n1', address }, never)).rejects.toMatchObject({
      code: 'unavailable',
      message: '1 attempts on n1 are not over, as far as it knows',
    });
    bed.unrecord('n1', 'task-1');
    await requests.handOver({ name: 'n1', address }, never);
    expect(bed.recorded).toEqual(['n2']);
    // A node that has just been started does not know its room yet: it is asked again later.
    for (const node of bed.rooms.keys()) bed.rooms.set(node, 0);
    await expect(requests.handOver({ name: 'n1', address }, never)).rejects.toMatchObject({
      code: 'unavailable',
      message: '1 logs of n1 were not handed over: no other node can take them',
    });
  });

  it('names those to the node that may take its logs, a bounded number, from behind its own name', async () => {
    const told: BeginRequest[] = [];
    const begin = unaryHandler(async (request: BeginRequest) => {
      told.push(request);
      return { holder: '', attempts: 0, bytes: 0, failed: 0, reason: '', running: 0 };
    }, silent);
    const refuse = { room: begin, take: begin, record: begin } as unknown as Omit<LogHandOverServer, 'begin'>;
    const service = { definition: LogHandOverService, handlers: { ...refuse, begin } };
    const server = await createServer({ services: [service], listen: '127.0.0.1:0' });
    servers.push(server);
    const { address } = server;
    const taking = { status: 'AVAILABLE', schedulable: true, address: 'a:1' } as const;
    const nodes = [
      { ...taking, name: 'n3' },
      { ...taking, name: 'n1' },
      { ...taking, name: 'n2', address },
      { ...taking, name: 'n4', schedulable: false },
      { ...taking, name: 'n5', status: 'OFFLINE' as const },
      { ...taking, name: 'n6', pressure: ['disk'] as const },
    ];
    await requestsOf(CLUSTER_ID, nodes).handOver({ name: 'n2', address }, never);
    expect(told).toEqual([
      {
        cluster_id: CLUSTER_ID,
        candidates: ['n3', 'n1'].map((name) => ({ name, address: 'a:1' })),
      },
    ]);
    const names = Array.from({ length: 300 }, (_, at) => `n${1000 + at}`);
    const many = names.map((name) => ({ ...taking, name }));
    await requestsOf(CLUSTER_ID, many).handOver({ name: 'n1250', address }, never);
    const candidates = told[1]?.candidates.map(({ name }) => name) ?? [];
    expect(candidates).toHaveLength(LOG_LIMITS.handOverCandidates);
    expect([candidates[0], candidates[48], candidates[49]]).toEqual(['n1251', 'n1299', 'n1000']);
  });

  it('passes on what the cluster has against it', async () => {
    const peers = await peersOf(await serve('n2'));
    outcome = { type: 'refused', code: 'not_found', message: 'there is no node n9' };
    await expect(peers.record('n9', never)).rejects.toMatchObject({
      code: 'not_found',
      message: 'there is no node n9',
    });
  });

  it('fails with the error of whoever makes the pieces, and frees its receiver', async () => {
    const address = await serve('n2');
    const call = { pool, address, method: LogHandOverService.take, signal: never, timeoutMs: 5000 };
    const header = { cluster_id: CLUSTER_ID, task_id: 'task-1', assignment: 1, ended_ms: 1, bytes: 4 };
    async function* broken(): AsyncGenerator<LogPiece> {
      yield { kind: { $case: 'header', value: header } };
      throw new Error('the disk is gone');
    }
    for (let at = 0; at < 40; at += 1)
      await expect(uploadCall({ ...call, messages: broken() })).rejects.toThrow('the disk is gone');
    bed.keep('n1', 'task-1', 1);
    const peers = await peersOf(address);
    expect(await bed.handOver('n1', peers).run(never)).toMatchObject({
      holder: 'n2',
      attempts: 1,
      failed: 0,
    });
  });

  it('is given up by the signal', async () => {
    const address = await serve('n2');
    const controller = new AbortController();
    const call = { pool, address, method: LogHandOverService.take, timeoutMs: 60_000 };
    async function* endless(): AsyncGenerator<LogPiece> {
      const header = { cluster_id: CLUSTER_ID, task_id: 'task-1', assignment: 1, ended_ms: 1, bytes: 4 };
      yield { kind: { $case: 'header', value: header } };
      controller.abort();
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
    }
    await expect(
      uploadCall({ ...call, signal: controller.signal, messages: endless() }),
    ).rejects.toMatchObject({ code: 'timeout' });
  });
});
