/** Whatever a check accepts can be applied: submitted, planned, run and ended, and nothing of that throws. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { runs } from '../lib/testing/property-runs.ts';
import { isTerminal } from '../model/phases.ts';
import { nodeHolding } from '../scheduler/core/node-loads.ts';
import { plan, toAssignments } from '../scheduler/core/placement/plan.ts';
import { TestCluster } from '../scheduler/core/testing/test-cluster.ts';
import { TestGroup } from '../scheduler/core/testing/groups.ts';
import { registrationOf, reportOf } from '../scheduler/core/testing/values.ts';
import type { CommandInput } from '../scheduler/ports.ts';
import { checkBatch } from './batch-schema.ts';
import { checkDag } from './dag-schema.ts';
import { checkTaskSpec } from './task-schema.ts';

/** Mostly what may stand there, the edges included; sometimes anything. */
function mostly(...values: readonly unknown[]): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom(...values) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<unknown>(
        NaN,
        -1,
        0,
        1e300,
        '',
        '-1',
        'NaN',
        '\0',
        {},
        [],
        true,
        '__proto__',
      ),
    },
  );
}

const cpu = mostly('100m', 1, 0.5, '3500m', 1_000_000, null);
const memory = mostly('64Mi', 16_777_216, '1Gi', 2 ** 52, null);
const text = mostly('a', 'x'.repeat(128), 'é', 'a b', 'constructor');
const texts = fc.array(text, { maxLength: 2 });
const labels = fc.dictionary(fc.constantFrom('team', 'zone', '1', '07', 'toString'), text, { maxKeys: 3 });
const key = mostly('zone', '1', 'constructor');
const rule = fc.oneof(
  fc.record({
    key,
    operator: fc.constantFrom('in', 'not_in'),
    values: fc.array(text, { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ key, operator: fc.constantFrom('exists', 'not_exists') }),
);
const weighted = fc.tuple(rule, mostly(1, -100, 100)).map(([one, weight]) => ({ ...one, weight }));
const anti = mostly({ batch: 'self' }, { labels: { team: 'a' } });
const part = { requiredKeys: [] };
const fields = {
  name: mostly('a', '0', 'constructor', 'x'.repeat(128)),
  command: mostly(['true'], ['sh', '-c', 'x'], ['a', '']),
  env: fc.dictionary(fc.constantFrom('A', '_', 'PATH', 'constructor'), text, { maxKeys: 3 }),
  resources: fc.record({ cpu, memory }, part),
  limits: fc.record({ pids: mostly(1, 500, 4_194_304) }, part),
  priority: mostly('critical', 'high', 'normal', 'low'),
  timeout: mostly(1, '24d', '5m', 0.5, null),
  stop_grace: mostly(0, '1h', '10s'),
  not_before: mostly(null, '2026-12-01T00:00:00Z', '9999-12-31T23:59:59Z', '1970-01-01T00:00:00Z'),
  concurrency: mostly({ key: 'db', max: 1 }, { key: 'constructor', max: 1_000_000 }, null),
  retry_policy: fc.record(
    {
      max_attempts: mostly(1, 2, 100),
      backoff_strategy: mostly('fixed', 'exponential'),
      backoff_base: mostly(0.001, 2, 604_800, 0),
      max_backoff: mostly(0, 300, 604_800),
      retryable_errors: texts,
    },
    part,
  ),
  affinity: fc.record(
    {
      required: fc.array(rule, { maxLength: 1 }),
      preferred: fc.array(weighted, { maxLength: 2 }),
      anti: fc.array(anti, { maxLength: 2 }),
    },
    part,
  ),
  locality: mostly(
    null,
    { near: ['zone=a'] },
    { near: [{ task: 'constructor' }] },
    { near: ['node=n1', { task: 'a' }] },
  ),
  labels,
  on_node_loss: mostly('reschedule', 'fail', 'wait'),
};
const task = fc.record(fields, { requiredKeys: ['command'] });
const bounds = {
  max_parallel: mostly(null, 1, 1_000_000),
  max_failures: mostly(null, 0, 5),
};
const batch = fc.oneof(
  fc.record(
    { ...bounds, tasks: fc.array(task, { minLength: 1, maxLength: 4 }) },
    { requiredKeys: ['tasks'] },
  ),
  fc.record({ ...bounds, template: task, count: mostly(1, 7) }, { requiredKeys: ['template', 'count'] }),
);
const dag = fc.record(
  {
    ...bounds,
    name: mostly('etl', 'constructor'),
    tasks: fc.array(
      fc
        .tuple(
          task,
          fc.constantFrom('a', 'b', 'c', 'constructor', '1'),
          fc.array(fc.constantFrom('a', 'b', '1'), { maxLength: 2 }),
        )
        .map(([one, id, dependencies]) => ({ ...one, id, dependencies })),
      { minLength: 1, maxLength: 4 },
    ),
  },
  { requiredKeys: ['name', 'tasks'] },
);

async function inputOf(kind: 'task' | 'batch' | 'dag', plain: unknown): Promise<CommandInput | null> {
  const common = { idempotency: null, sliceTasks: 2 };
  if (kind === 'task') {
    const checked = checkTaskSpec(plain);
    return checked.type === 'valid'
      ? { type: 'submitTasks', tasks: [checked.spec], idempotency: null }
      : null;
  }
  if (kind === 'batch') {
    const checked = await checkBatch(plain);
    return checked.type === 'valid' ? { type: 'submitBatch', ...common, ...checked.spec } : null;
  }
  const checked = await checkDag(plain);
  return checked.type === 'valid' ? { type: 'submitDag', ...common, ...checked.spec } : null;
}

/** Each of its commands is applied without a throw. */
function applied(cluster: TestCluster, input: CommandInput): void {
  expect(cluster.run(input).poisoned).toBe(false);
}

/** Runs what is there to its end, with failures and losses in between. */
function carryOut(cluster: TestCluster, picks: readonly number[]): void {
  for (let round = 0; round < 12; round += 1) {
    for (let next = cluster.state.nextWorkingGroup(); next !== null; next = cluster.state.nextWorkingGroup())
      if (!new TestGroup(cluster, next.table, next.id).advance()) break;
    const assignments = toAssignments(plan(cluster.state, new Map(), 100).assignments);
    applied(cluster, { type: 'assign', term: 1, planIndex: cluster.index, assignments });
    for (const one of cluster.state.tasks.values()) {
      const attempt = one.attempts.at(-1);
      if (nodeHolding(one) === null || attempt === undefined) continue;
      const status = (['COMPLETED', 'FAILED', 'LOST', 'COMPLETED'] as const)[
        (picks[round % picks.length] ?? 0) % 4
      ];
      const at = { taskId: one.id, assignment: attempt.assignment, atMs: cluster.atMs };
      const session = cluster.state.nodes.get(attempt.node)?.session ?? 0;
      const reports = [reportOf(at, status ?? 'COMPLETED')];
      applied(cluster, { type: 'reportAttempts', node: attempt.node, session, reports });
    }
    cluster.atMs += 4_000_000;
    const taskIds = [...cluster.state.retriesDue(cluster.atMs)].map(({ id }) => id);
    applied(cluster, { type: 'retryDue', term: 1, taskIds });
  }
  for (const { id } of cluster.state.tasks.values())
    applied(cluster, { type: 'cancelTask', taskId: id, idempotency: null });
}

describe('what a check accepts', () => {
  it.each([
    ['task', task],
    ['batch', batch],
    ['dag', dag],
  ] as const)('can be applied, whatever it is: %s', async (kind, plain) => {
    let accepted = 0;
    let ended = 0;
    await fc.assert(
      fc.asyncProperty(
        plain as fc.Arbitrary<unknown>,
        fc.array(fc.nat({ max: 3 }), { minLength: 1 }),
        async (one, picks) => {
          const input = await inputOf(kind, one);
          if (input === null) return;
          accepted += 1;
          const cluster = TestCluster.formed();
          for (const name of ['n1', 'n2']) {
            const session = cluster.register(
              name,
              registrationOf(name, { drivers: ['process', 'docker'], labels: [['zone', 'a']] }),
            );
            cluster.reconcile(name, session, []);
          }
          applied(cluster, input);
          carryOut(cluster, picks);
          ended += [...cluster.stored.values()].filter(
            ({ table, row }) => table === 'task' && isTerminal((row as { status: 'COMPLETED' }).status),
          ).length;
        },
      ),
      { numRuns: runs(300) },
    );
    // How many that are is chance: about one in twenty.
    expect(accepted).toBeGreaterThan(0);
    expect(ended).toBeGreaterThan(0);
  });
});
