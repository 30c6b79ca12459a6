import { describe, expect, it } from 'vitest';

import { SubmitBatchRequest, SubmitDagRequest } from '../generated/cluster.ts';
import { limits } from '../lib/limits.ts';
import { wireFromPlain } from '../spec/wire.ts';
import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';

const context = testContext();

describe('a sensitive variable, which members of an earlier build would lose or show', () => {
  it('is refused until the last of them is upgraded, however it is submitted', async () => {
    const cluster = new TestCluster(['n1'], 1);
    cluster.register('n1', 'n1:7101');
    const operations = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
    const plain = wireFromPlain({ command: ['true'], env: { LEVEL: '9' } });
    const task = wireFromPlain({ command: ['true'], env: { TOKEN: { value: 's3cr3t', sensitive: true } } });
    const tasks = { tasks: [plain, task], idempotency_key: '' };
    const batch = SubmitBatchRequest.create({ name: 'b', template: task, count: 2 });
    const listed = SubmitBatchRequest.create({ name: 'b', tasks: [plain, task] });
    const dag = SubmitDagRequest.create({ name: 'd', tasks: [{ id: 'a', task, dependencies: [] }] });
    const all = [
      () => operations.submitTasks(tasks, context),
      () => operations.acceptTasks(tasks, context),
      () => operations.submitBatch(batch, context),
      () => operations.submitBatch(listed, context),
      () => operations.submitDag(dag, context),
    ];
    for (const submit of all)
      await expect(submit()).rejects.toMatchObject({
        code: 'unavailable',
        retryAfterMs: limits.upgradeRetryMs,
        message:
          'the cluster is at version 1 until all nodes are upgraded: sensitive variables need version 2',
      });
    expect(cluster.state.tasks.size).toBe(0);
    await operations.submitTasks({ tasks: [plain], idempotency_key: '' }, context);
    cluster.execute({ type: 'raiseVersion', term: cluster.term, version: 2 });
    for (const submit of all) await submit();
    expect(cluster.state.tasks.size).toBe(1 + 2 + 2 + 2 + 2 + 1);
  });
});
