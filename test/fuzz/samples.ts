/** Commands and rows of a cluster that has done a little of everything: what damaged ones are made of. */
import type { Command } from '../../src/model/commands.ts';
import { TestCluster } from '../../src/scheduler/core/testing/test-cluster.ts';
import { containerOf, registrationOf, reportOf, specOf } from '../../src/scheduler/core/testing/values.ts';
import type { CommandInput } from '../../src/scheduler/ports.ts';

interface Sampled {
  readonly cluster: TestCluster;
  readonly commands: readonly Command[];
}

/** The same at every call. */
export function sampleCluster(): Sampled {
  const cluster = TestCluster.formed();
  const commands: Command[] = [];
  const done = (input: CommandInput): void => {
    commands.push({ ...input, atMs: cluster.atMs });
    cluster.run(input);
  };
  done(registrationOf('n1', { labels: [['zone', 'a']], drivers: ['process', 'docker'] }));
  done({
    type: 'reconcileNode',
    node: 'n1',
    session: cluster.state.nodes.get('n1')?.session ?? 0,
    known: [],
  });
  const idempotency = { key: 'anonymous|POST /tasks|k1', requestDigest: 'abc' };
  const specs = [
    specOf({ env: [['A', 'b']], labels: [['team', 'x']] }),
    specOf({ container: containerOf({ user: 'app' }), priority: 'high', timeoutMs: 60_000 }),
  ];
  done({ type: 'submitTasks', tasks: specs, idempotency });
  done({ type: 'submitMany', submissions: [{ tasks: [specOf()], idempotency: null }] });
  done({
    type: 'submitBatch',
    name: 'ten',
    maxParallel: 2,
    maxFailures: null,
    sliceTasks: 500,
    idempotency: null,
    work: { type: 'template', template: specOf({ name: 'part-{{index}}' }), count: 3 },
  });
  const [first, second] = [...cluster.state.tasks.keys()].sort();
  const session = cluster.state.nodes.get('n1')?.session ?? 0;
  const taskIds = [first ?? '', second ?? ''];
  const assignments = taskIds.map((taskId) => ({ taskId, node: 'n1', session }));
  done({ type: 'assign', term: 1, planIndex: cluster.index, assignments });
  for (const status of ['RUNNING', 'FAILED', 'COMPLETED'] as const) {
    const reports = taskIds.map((taskId) => {
      const assignment = cluster.state.tasks.get(taskId)?.attempts.at(-1)?.assignment ?? 1;
      const at = { taskId, assignment, atMs: cluster.atMs };
      return reportOf(at, status, { logTail: 'hello\n', result: { rows: [1, 2.5, 'x'] }, startedAtMs: 5 });
    });
    done({ type: 'reportAttempts', node: 'n1', session, reports });
  }
  done({ type: 'retryDue', term: 1, taskIds });
  done({ type: 'cancelTask', taskId: second ?? '', idempotency: null });
  done({
    type: 'updateTask',
    taskId: first ?? '',
    specId: first ?? '',
    changes: { priority: 'low' },
    idempotency: null,
  });
  done({ type: 'labelNode', node: 'n1', labels: [['zone', null]], idempotency: null });
  done({ type: 'drainNode', node: 'n1', withinMs: 1000, graceMs: null, startId: null, idempotency: null });
  done({ type: 'setHeartbeat', heartbeat: { intervalMs: 1000 }, idempotency: null });
  done({ type: 'nodeOffline', term: 1, node: 'n1', session });
  return { cluster, commands };
}

export function sampleCommands(): readonly Command[] {
  return sampleCluster().commands;
}

export function sampleRows(): readonly { readonly key: string; readonly row: object }[] {
  return [...sampleCluster().cluster.stored].map(([key, { row }]) => ({ key, row }));
}
