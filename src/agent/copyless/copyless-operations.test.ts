import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ListTasksRequest, NodeUsage, type EventsPiece } from '../../generated/cluster.ts';
import { systemClock } from '../../lib/clock.ts';
import { LogLevels } from '../../lib/log-levels.ts';
import { silentLog } from '../../lib/log.ts';
import { FakeMembers } from '../../operations/copyless/copyless.test-kit.ts';
import { testContext } from '../../operations/operations.test-kit.ts';
import type { RoutingOperations } from '../../operations/router.ts';
import { ChannelPool } from '../../rpc/channel.ts';
import { ServedCluster } from '../../rpc/served-cluster.test-kit.ts';
import { wireFromPlain } from '../../spec/wire.ts';
import { copylessOperations } from './copyless-operations.ts';

const NAMES = ['n1', 'n2', 'n3'];
const context = testContext();

let served: ServedCluster;
let leaders: FakeMembers;
let worker: RoutingOperations;
let closers: (() => void | Promise<void>)[];

beforeEach(async () => {
  served = await ServedCluster.start();
  const pool = new ChannelPool();
  closers = [() => pool.close()];
  leaders = new FakeMembers(
    'w1',
    NAMES.map((name) => ({ name, address: served.address(name) })),
  );
  worker = copylessOperations(
    {
      config: { name: 'w1' },
      security: { tls: null },
      version: '0.1.0',
      clock: systemClock,
      log: silentLog,
      closing: (_name, close) => closers.push(close),
    },
    {
      leaders,
      pool,
      localLogs: {
        async *read() {
          yield { stream: 'stdout', at_ms: 1, data: Buffer.from('from w1') };
        },
      },
      localUsage: { read: async () => NodeUsage.create({ node: 'w1' }) },
      logLevels: new LogLevels('info', systemClock),
    },
  );
});

afterEach(async () => {
  for (const close of closers.reverse()) await close();
  await served.close();
});

async function submit(): Promise<string> {
  const tasks = [wireFromPlain({ command: ['true'] })];
  const answer = await worker.submitTasks({ tasks, idempotency_key: '' }, context);
  return answer.tasks[0]?.id ?? '';
}

async function logsOf(id: string): Promise<string> {
  let text = '';
  for await (const { data } of worker.readLogs(
    { id, attempt: 0, follow: false, tail: undefined, stream: '' },
    context,
  ))
    text += data.toString();
  return text;
}

describe('over gRPC', () => {
  it('sends on to the leader what is asked of it, over its changes', async () => {
    const id = await submit();
    served.cluster.lead('n2');
    leaders.lead('n2');
    await served.stop('n1');
    expect((await worker.getTask({ id }, context)).id).toBe(id);
    expect(
      (
        await worker.acceptTasks(
          { tasks: [wireFromPlain({ command: ['true'] })], idempotency_key: 'k' },
          context,
        )
      ).taskIds,
    ).toHaveLength(1);
    expect(worker.version()).toMatchObject({ name: 'w1' });
  });

  it('has a member answer from its own state what may be stale, without a leader and with members away', async () => {
    const id = await submit();
    served.cluster.lead(null);
    leaders.lead(null);
    await served.stop('n1');
    await served.stop('n3');
    const stale = testContext({ isStale: true });
    expect((await worker.getTask({ id }, stale)).id).toBe(id);
    expect((await worker.listTasks(ListTasksRequest.create({ limit: 10 }), stale)).items).toHaveLength(1);
    expect((await worker.listNodes(stale)).items).toHaveLength(3);
    expect((await worker.getCluster({ consistency: 'stale' }, context)).node?.name).toBe('n2');
  });

  it('goes on with events at another member where one stops', async () => {
    await submit();
    const pieces: EventsPiece[] = [];
    let positions: string[] = [];
    for await (const piece of worker.watchEvents(
      { since: 'oldest', follow: true, kind: ['task'], id: [] },
      context,
    )) {
      if (piece.events.length === 0) continue;
      pieces.push(piece);
      positions = pieces.flatMap(({ events }) => events).map(({ index, position }) => `${index}.${position}`);
      if (pieces.length === 2) break;
      served.cluster.lead('n2');
      leaders.lead('n2');
      await served.stop('n1');
      await submit();
    }
    expect(pieces).toHaveLength(2);
    expect(new Set(positions).size).toBe(positions.length);
  });

  it('reads the output of an attempt from the node that has it', async () => {
    const id = await submit();
    served.cluster.assign(id, 'n2');
    served.cluster.report(id, 'RUNNING');
    expect(await logsOf(id)).toBe('from n2');
  });

  it('reads the output of its own attempts here', async () => {
    served.cluster.register('w1', '127.0.0.1:1');
    const id = await submit();
    served.cluster.assign(id, 'w1');
    served.cluster.report(id, 'RUNNING');
    expect(await logsOf(id)).toBe('from w1');
  });
});
