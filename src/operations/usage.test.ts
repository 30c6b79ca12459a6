import { beforeEach, describe, expect, it } from 'vitest';

import { AttemptUsage, NodeUsage } from '../generated/cluster.ts';
import { wireFromPlain } from '../spec/wire.ts';
import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';
import type { UsageQuestion } from './node-port.ts';
import type { RoutingOperations } from './router.ts';

const context = testContext();
const NAMES = ['n1', 'n2', 'n3'];
let cluster: TestCluster;
let nodes: Map<string, RoutingOperations>;
/** What each node was asked. */
let questions: (readonly [node: string, question: UsageQuestion])[];

beforeEach(() => {
  cluster = new TestCluster(NAMES);
  nodes = new Map();
  questions = [];
  for (const name of NAMES) {
    cluster.register(name, `${name}:7101`);
    const localUsage = {
      read: async (question: UsageQuestion) => {
        questions.push([name, question]);
        const { attempt } = question;
        const attempts = attempt === null ? [] : [AttemptUsage.create({ task_id: attempt.taskId })];
        return NodeUsage.create({ node: name, interval: 10, attempts });
      },
    };
    const parts = { remotes: inProcessRemotes(nodes), localUsage };
    nodes.set(`${name}:7101`, testOperations(cluster, name, parts));
  }
});

function at(name: string): RoutingOperations {
  return nodes.get(`${name}:7101`) as RoutingOperations;
}

async function submitted(): Promise<string> {
  const request = { tasks: [wireFromPlain({ command: ['true'] })], idempotency_key: '' };
  return (await at('n1').submitTasks(request, context)).tasks[0]?.id ?? '';
}

describe('what a node uses', () => {
  const since = '2026-11-24T00:00:00Z';
  const question = { sinceMs: Date.parse(since), limit: 3, attempt: null };

  it.each(['n1', 'n2', 'n3'])('is asked of that node itself, through %s', async (asked) => {
    expect(await at(asked).getNodeUsage({ name: 'n2', since, limit: 3 }, context)).toMatchObject({
      node: 'n2',
    });
    expect(questions).toEqual([['n2', question]]);
  });

  it('needs no leader', async () => {
    cluster.lead(null);
    expect(await at('n1').getNodeUsage({ name: 'n2' }, context)).toMatchObject({ node: 'n2' });
  });

  it('is not known of one that is not there, or does not answer', async () => {
    await expect(at('n2').getNodeUsage({ name: 'n9' }, context)).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('n9'),
    });
    nodes.delete('n3:7101');
    await expect(at('n1').getNodeUsage({ name: 'n3' }, context)).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  it('is never asked on by one that was asked for another', async () => {
    const forwarded = { ...context, forwarded: true };
    await expect(at('n1').getNodeUsage({ name: 'n2' }, forwarded)).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(questions).toEqual([]);
  });

  it('is refused since a time that is none', async () => {
    await expect(at('n1').getNodeUsage({ name: 'n2', since: 'noon' }, context)).rejects.toMatchObject({
      code: 'invalid',
      faults: [{ path: 'since', message: expect.stringContaining('noon') }],
    });
  });
});

describe('what a task uses', () => {
  it('is asked of the node that runs it, about its newest attempt', async () => {
    const id = await submitted();
    cluster.assign(id, 'n3');
    cluster.report(id, 'RUNNING');
    const prefix = id.slice(0, 12);
    expect(await at('n2').getTaskUsage({ id: prefix }, context)).toMatchObject({
      task_id: id,
      node: 'n3',
      interval: 10,
      usage: { task_id: id },
    });
    expect(questions).toEqual([
      ['n3', { sinceMs: null, limit: null, attempt: { taskId: id, assignment: 1 } }],
    ]);
  });

  it('is nothing while it does not run', async () => {
    const id = await submitted();
    const refused = { code: 'conflict', message: expect.stringContaining(`${id} is PENDING`) };
    await expect(at('n2').getTaskUsage({ id }, context)).rejects.toMatchObject(refused);
    await expect(at('n2').getTaskUsage({ id: 'task-zzzz' }, context)).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});
