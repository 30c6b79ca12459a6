/** Whatever a check accepts can be applied: submitted, planned, run and ended, and nothing of that throws. */
import { Ajv } from 'ajv';
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
import { plainBatch, plainDag, plainTask } from './plain-specs.test-kit.ts';
import { batchSchemaOf, dagSchemaOf, taskSchema } from './json-schemas.ts';
import { checkTaskSpec } from './task-schema.ts';

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
    ['task', plainTask],
    ['batch', plainBatch],
    ['dag', plainDag],
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

describe('what a check accepts, its JSON Schema', () => {
  const kinds = { task: taskSchema(), batch: batchSchemaOf(), dag: dagSchemaOf() };

  it.each([
    ['task', plainTask],
    ['batch', plainBatch],
    ['dag', plainDag],
  ] as const)('accepts as well: %s', async (kind, plain) => {
    const validate = new Ajv({ strict: false, logger: false }).compile(kinds[kind]);
    await fc.assert(
      fc.asyncProperty(plain as fc.Arbitrary<unknown>, async (one) => {
        if ((await inputOf(kind, one)) === null) return;
        expect({ valid: validate(one), errors: validate.errors }).toEqual({ valid: true, errors: null });
      }),
      { numRuns: runs(300) },
    );
  });
});
