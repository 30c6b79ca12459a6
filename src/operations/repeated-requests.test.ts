import { describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { batchToWire, dagToWire } from '../spec/group-wire.ts';
import { wireFromPlain } from '../spec/wire.ts';
import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';
import type { MembershipControl } from './node-port.ts';
import type { RoutingOperations } from './router.ts';

const TASK = { name: 'a', command: ['true'] };
const context = testContext();

function alone(
  membership?: MembershipControl,
  version?: number,
): { cluster: TestCluster; operations: RoutingOperations } {
  const cluster = new TestCluster(['n1'], version);
  cluster.register('n1', 'n1:7101');
  const parts = { remotes: inProcessRemotes(new Map()), ...(membership === undefined ? {} : { membership }) };
  return { cluster, operations: testOperations(cluster, 'n1', parts) };
}

describe('a request that is sent again with its key', () => {
  it.each([
    [
      'a task',
      async (operations: RoutingOperations, key: string, more: object) => {
        const tasks = [wireFromPlain({ ...TASK, ...more })];
        const answer = await operations.submitTasks({ tasks, idempotency_key: key }, context);
        return answer.tasks[0]?.id;
      },
    ],
    [
      'a batch',
      async (operations: RoutingOperations, key: string, more: object) =>
        (await operations.submitBatch(batchToWire([{ ...TASK, ...more }], key), context)).batch_id,
    ],
    [
      'a DAG',
      async (operations: RoutingOperations, key: string, more: object) => {
        const dag = { name: 'd', tasks: [{ id: 'a', ...TASK, ...more }] };
        return (await operations.submitDag(dagToWire(dag, key), context)).id;
      },
    ],
  ])('makes nothing anew of %s, also where a default of the cluster has changed', async (_what, submit) => {
    const { operations } = alone();
    const change = async (attempts: number) => {
      const changes = JSON.stringify({ retry_policy: { max_attempts: attempts } });
      await operations.setConfig({ heartbeat: undefined, idempotency_key: '', changes }, context);
    };
    const first = await submit(operations, 'k1', {});
    await change(7);
    expect(await submit(operations, 'k1', {})).toBe(first);
    const second = await submit(operations, 'k2', {});
    expect(second).not.toBe(first);
    await change(9);
    expect(await submit(operations, 'k2', {})).toBe(second);
    await expect(submit(operations, 'k2', { priority: 'high' })).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
  });

  it('changes no member twice, and another request by its key is refused', async () => {
    const changes: string[] = [];
    const { operations } = alone({
      change: async ({ action, name }) => void changes.push(`${action} ${name}`),
      transfer: async () => {},
    });
    const add = { action: 'add', name: 'n2', address: 'n2:7101', other: '', idempotency_key: 'k' };
    await operations.changeMember(add, context);
    await operations.changeMember(add, context);
    expect(changes).toEqual(['add n2']);
    await expect(operations.changeMember({ ...add, name: 'n3' }, context)).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
    await operations.changeMember({ ...add, idempotency_key: '' }, context);
    expect(changes).toEqual(['add n2', 'add n2']);
  });

  it('changes a member also where members of an earlier version know no such keys, and is not remembered', async () => {
    const changes: string[] = [];
    const change = async ({ name }: { readonly name: string }): Promise<void> => void changes.push(name);
    const { operations, cluster } = alone({ change, transfer: async (to) => void changes.push(to) }, 1);
    const add = { action: 'add', name: 'n2', address: 'n2:7101', other: '', idempotency_key: 'k' };
    const transfer = { to: 'n3', idempotency_key: 'k' };
    for (let time = 0; time < 2; time += 1) await operations.changeMember(add, context);
    await operations.transferLeadership(transfer, context);
    expect(changes).toEqual(['n2', 'n2', 'n3']);
    expect([...cluster.rows.keys()].filter((key) => key.startsWith('idempotency/'))).toEqual([]);
  });

  it('is not remembered where the change of a member failed', async () => {
    let fails = true;
    const changes: string[] = [];
    const { operations } = alone({
      change: async ({ name }) => {
        if (fails) throw new Error('not now');
        changes.push(name);
      },
      transfer: async () => {},
    });
    const add = { action: 'add', name: 'n2', address: 'n2:7101', other: '', idempotency_key: 'k' };
    await expect(operations.changeMember(add, context)).rejects.toThrow('not now');
    fails = false;
    await operations.changeMember({ ...add, name: 'n3' }, context);
    expect(changes).toEqual(['n3']);
  });

  it('hands leadership over once', async () => {
    const handed: string[] = [];
    const { cluster, operations } = alone({
      change: async () => {},
      transfer: async (to) => {
        handed.push(to);
        // To another node, and back by chance.
        cluster.lead('n2');
        cluster.lead('n1');
      },
    });
    const transfer = { to: '', idempotency_key: 'k' };
    await operations.transferLeadership(transfer, context);
    await operations.transferLeadership(transfer, context);
    expect(handed).toEqual(['']);
    await expect(operations.transferLeadership({ ...transfer, to: 'n3' }, context)).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
  });

  it('hands leadership over where the first try did not', async () => {
    let tries = 0;
    const { cluster, operations } = alone({
      change: async () => {},
      transfer: async () => {
        tries += 1;
        if (tries === 1) throw new Error('not now');
        cluster.lead('n2');
        cluster.lead('n1');
      },
    });
    const transfer = { to: '', idempotency_key: 'k' };
    await expect(operations.transferLeadership(transfer, context)).rejects.toThrow('not now');
    await operations.transferLeadership(transfer, context);
    expect(tries).toBe(2);
  });

  it('is not remembered where leadership was not handed over, also when there has been another term', async () => {
    const handed: string[] = [];
    let fails = true;
    const { cluster, operations } = alone({
      change: async () => {},
      transfer: async (to) => {
        if (fails) throw new JarvisError('conflict', 'not taken over in time');
        handed.push(to);
      },
    });
    const transfer = { to: 'n2', idempotency_key: 'k' };
    await expect(operations.transferLeadership(transfer, context)).rejects.toThrow('not taken over');
    cluster.lead('n1');
    fails = false;
    await operations.transferLeadership({ ...transfer, to: 'n3' }, context);
    expect(handed).toEqual(['n3']);
  });

  it('hands leadership over where another node than the one named leads next', async () => {
    const handed: string[] = [];
    const { cluster, operations } = alone({
      change: async () => {},
      transfer: async (to) => {
        handed.push(to);
        if (handed.length === 1) {
          // Not to that one: in the next term this node leads again, and is asked again.
          cluster.lead('n1');
          throw new JarvisError('outcome_unknown', 'the connection broke');
        }
        cluster.lead('n2');
        cluster.lead('n1');
      },
    });
    const transfer = { to: 'n2', idempotency_key: 'k' };
    await operations.transferLeadership(transfer, context);
    await operations.transferLeadership(transfer, context);
    expect(handed).toEqual(['n2', 'n2']);
  });

  it('hands leadership over once where its caller gave no key and the answer was lost', async () => {
    let handed = 0;
    const { cluster, operations } = alone({
      change: async () => {},
      transfer: async () => {
        handed += 1;
        cluster.lead('n2');
        cluster.lead('n1');
        throw new JarvisError('outcome_unknown', 'the connection broke');
      },
    });
    await operations.transferLeadership({ to: '' }, context);
    expect(handed).toBe(1);
  });
});
