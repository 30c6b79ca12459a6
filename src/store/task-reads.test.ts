import * as fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';

import { silentLog } from '../lib/log.ts';
import type { Command, Outcome } from '../model/commands.ts';
import { NO_LIMITS } from '../model/earlier-rows.ts';
import type { TaskSpec } from '../model/task.ts';
import { encodeCommand } from './codec.ts';
import { openSchedulerMachine, type SchedulerMachine } from './scheduler-machine.ts';
import { TaskReads } from './task-reads.ts';
import { StillClock, temporaryDirectory } from './testing.ts';
import { runs } from '../lib/testing/property-runs.ts';

const SPEC: TaskSpec = {
  name: 'hello',
  container: null,
  user: null,
  command: ['true'],
  env: [],
  workingDir: null,
  resources: { cpuMillis: 100, memoryBytes: 1024 },
  limits: NO_LIMITS,
  priority: 'normal',
  timeoutMs: null,
  stopGraceMs: 1000,
  retryPolicy: {
    maxAttempts: 1,
    backoffStrategy: 'fixed',
    backoffBase: 1,
    maxBackoff: 1,
    retryableErrors: [],
    nonRetryableErrors: [],
  },
  onNodeLoss: 'reschedule',
  labels: [],
};
const everything = (): boolean => true;

class Cluster {
  readonly directory: string;
  machine: SchedulerMachine;
  reads: TaskReads;

  constructor(directory: string, machine: SchedulerMachine) {
    this.directory = directory;
    this.machine = machine;
    this.reads = new TaskReads(machine);
  }

  async apply(...commands: readonly Command[]): Promise<readonly Outcome[]> {
    const first = this.machine.appliedIndex + 1;
    return await this.machine.apply(
      commands.map((command, position) => ({
        index: first + position,
        term: 1,
        type: 'normal',
        data: encodeCommand(command),
      })),
    );
  }

  /** Ids of the new tasks, in the order of their names. */
  async submit(...names: readonly string[]): Promise<readonly string[]> {
    const tasks = names.map((name) => ({ ...SPEC, name }));
    const [outcome] = await this.apply({ type: 'submitTasks', atMs: 1, tasks, idempotency: null });
    if (outcome?.type !== 'done') throw new Error(outcome?.message);
    return (outcome.result as { taskIds: readonly string[] }).taskIds;
  }

  async cancel(taskId: string, key: string | null = null): Promise<Outcome | undefined> {
    const idempotency = key === null ? null : { key, requestDigest: 'd' };
    const [outcome] = await this.apply({ type: 'cancelTask', atMs: 1, taskId, idempotency });
    return outcome;
  }

  async names(cursor: string, limit: number): Promise<{ names: readonly string[]; nextCursor: string }> {
    const { tasks, nextCursor } = await this.reads.tasksNewestFirst({ cursor, limit, matches: everything });
    return { names: tasks.map(({ spec }) => spec.spec.name), nextCursor };
  }
}

async function open(directory: string, isNew: boolean): Promise<SchedulerMachine> {
  const machine = await openSchedulerMachine({
    directory,
    isNew,
    snapshots: [],
    logFirstIndex: 1,
    clock: new StillClock(),
    logger: silentLog,
    onFailure: () => {},
  });
  onTestFinished(() => machine.close());
  return machine;
}

async function formed(): Promise<Cluster> {
  const directory = `${temporaryDirectory()}/state`;
  const cluster = new Cluster(directory, await open(directory, true));
  await cluster.apply({
    type: 'initCluster',
    atMs: 1,
    term: 1,
    clusterId: 'c',
    epoch: 1,
    config: { heartbeat: { intervalMs: 1, warningMs: 2, timeoutMs: 3 } },
  });
  return cluster;
}

describe("the scheduler's state in the store", () => {
  it('comes back as it was: open tasks with their specs in memory, finished ones in the store only', async () => {
    const cluster = await formed();
    const [a = '', b = ''] = await cluster.submit('a', 'b');
    await cluster.cancel(a, 'key');
    await cluster.machine.checkpoint();
    const { state } = cluster.machine.core;
    await cluster.machine.close();
    const again = await open(cluster.directory, false);
    expect(again.core.state.cluster).toEqual(state.cluster);
    expect(again.core.state.tasks).toEqual(state.tasks);
    expect(again.core.state.specs).toEqual(state.specs);
    expect([...again.core.state.pending()].map(({ id }) => id)).toEqual([b]);
    const reads = new TaskReads(again);
    expect(await reads.read('task', a)).toMatchObject({ id: a, status: 'CANCELLED' });
    expect(await reads.read('spec', a)).toMatchObject({ spec: { name: 'a' } });
    expect(await reads.read('idempotency', 'key')).toMatchObject({ requestDigest: 'd' });
    expect(await reads.read('task', 'none')).toBeNull();
  });

  it('knows finished tasks and idempotency keys when a command names them', async () => {
    const cluster = await formed();
    const [a = ''] = await cluster.submit('a');
    const first = await cluster.cancel(a, 'key');
    await cluster.machine.checkpoint();
    const { digest } = cluster.machine;
    expect(await cluster.cancel(a, 'key')).toEqual(first);
    expect(await cluster.cancel('task-none')).toMatchObject({ type: 'refused', code: 'not_found' });
    expect(cluster.machine.digest).toBe(digest);
    expect(cluster.machine.poisonedCommands).toBe(0);
  });

  it.each([
    [{ type: 'unheardOf', atMs: 1 }],
    [{ type: 'retryDue' }],
    [{ type: 'reportAttempts', atMs: 1 }],
    [{ type: 'submitTasks', atMs: 1, tasks: [null], idempotency: null }],
  ])('refuses what has not the shape of a command: %j', async (command) => {
    const cluster = await formed();
    const [outcome] = await cluster.apply(command as unknown as Command);
    expect(outcome).toMatchObject({ type: 'refused', code: 'internal' });
    expect(cluster.machine.poisonedCommands).toBe(1);
    expect(cluster.machine.appliedIndex).toBe(2);
  });
});

describe('lists of tasks', () => {
  it('are newest first, over what is checkpointed and what is not', async () => {
    const cluster = await formed();
    const [a = ''] = await cluster.submit('a', 'b', 'c');
    await cluster.machine.checkpoint();
    await cluster.submit('d');
    await cluster.cancel(a);
    expect(await cluster.names('', 10)).toEqual({ names: ['d', 'c', 'b', 'a'], nextCursor: '' });
    const first = await cluster.names('', 2);
    expect(first.names).toEqual(['d', 'c']);
    expect(await cluster.names(first.nextCursor, 2)).toEqual({ names: ['b', 'a'], nextCursor: '' });
  });

  it('page over a set that changes: each task that was there once, none twice', async () => {
    const step = fc.oneof(
      fc.record({ type: fc.constant('submit' as const), count: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ type: fc.constant('cancel' as const), which: fc.nat(30) }),
      fc.record({ type: fc.constant('checkpoint' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { maxLength: 3 }), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 4 }),
        async (rounds, limit) => {
          const cluster = await formed();
          const ids: string[] = [];
          const change = async (steps: (typeof rounds)[number]): Promise<void> => {
            for (const one of steps) {
              if (one.type === 'checkpoint') await cluster.machine.checkpoint();
              else if (one.type === 'cancel') await cluster.cancel(ids[one.which] ?? 'none');
              else {
                const names = Array.from({ length: one.count }, (_, at) => `t${ids.length + at}`);
                ids.push(...(await cluster.submit(...names)));
              }
            }
          };
          await change([{ type: 'submit', count: 5 }, ...(rounds[0] ?? [])]);
          const expected = ids.map((_, at) => `t${at}`).reverse();
          const seen: string[] = [];
          let cursor = '';
          for (let page = 0; ; page += 1) {
            const { names, nextCursor } = await cluster.names(cursor, limit);
            seen.push(...names);
            if (nextCursor === '') break;
            cursor = nextCursor;
            await change(rounds[(page % (rounds.length - 1 || 1)) + 1] ?? []);
          }
          expect(seen).toEqual(expected);
          await cluster.machine.close();
        },
      ),
      { numRuns: runs(25) },
    );
  });

  it('look at a bounded number of rows a call, and go on from there', async () => {
    const cluster = await formed();
    await cluster.submit(...Array.from({ length: 40 }, (_, at) => `t${at}`));
    await cluster.machine.checkpoint();
    const reads = new TaskReads(cluster.machine, 15);
    let looked = 0;
    const query = {
      limit: 5,
      matches: (_task: unknown, { spec }: { spec: TaskSpec }) => {
        looked += 1;
        return spec.name === 't3';
      },
    };
    const pages: number[] = [];
    let found = '';
    for (let cursor = ''; pages.length < 10;) {
      const page = await reads.tasksNewestFirst({ ...query, cursor });
      pages.push(looked);
      looked = 0;
      found += page.tasks.map(({ spec }) => spec.spec.name).join();
      cursor = page.nextCursor;
      if (cursor === '') break;
    }
    expect(pages).toEqual([15, 15, 10]);
    expect(found).toBe('t3');
  });

  it.each([
    'x',
    'AAAA',
    '!',
    Buffer.from('1:5').toString('base64url'),
    Buffer.from('2:0000000000000001.0000000000').toString('base64url'),
  ])('refuse the cursor %j', async (cursor) => {
    const cluster = await formed();
    await expect(cluster.names(cursor, 1)).rejects.toMatchObject({ code: 'invalid' });
  });

  it('refuse a cursor that was changed, and limits beyond the bounds', async () => {
    const cluster = await formed();
    await cluster.submit('a', 'b');
    const { nextCursor } = await cluster.names('', 1);
    for (const cursor of [`${nextCursor}=`, ` ${nextCursor}`, nextCursor.slice(1)]) {
      await expect(cluster.names(cursor, 1)).rejects.toMatchObject({ code: 'invalid' });
    }
    for (const limit of [0, -1, 1.5, 1001, Number.NaN]) {
      await expect(cluster.names('', limit)).rejects.toMatchObject({ code: 'invalid' });
    }
  });

  it('find ids by prefix in the overlay and in LevelDB, at most as many as asked for', async () => {
    const cluster = await formed();
    const stored = await cluster.submit(...Array.from({ length: 30 }, (_, at) => `t${at}`));
    await cluster.machine.checkpoint();
    const fresh = await cluster.submit('u', 'v');
    const all = [...stored, ...fresh].sort();
    const { reads } = cluster;
    expect(await reads.taskIdsWithPrefix('', 1000)).toEqual(all);
    for (const id of [stored[3] ?? '', fresh[1] ?? '']) {
      expect(await reads.taskIdsWithPrefix(id, 2)).toEqual([id]);
      const prefix = id.slice(0, 6);
      const expected = all.filter((other) => other.startsWith(prefix));
      expect(await reads.taskIdsWithPrefix(prefix, 1000)).toEqual(expected);
    }
    expect(await reads.taskIdsWithPrefix('nothing', 2)).toEqual([]);
  });
});
