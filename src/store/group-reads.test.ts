/** Batches and DAGs in the real store: rows that come late, rows that memory has given up, and restarts in between. */
import { describe, expect, it, onTestFinished } from 'vitest';

import { invariant } from '../lib/assert.ts';
import { silentLog } from '../lib/log.ts';
import type { Command } from '../model/commands.ts';
import type { BatchRow } from '../model/group.ts';
import { memberIds } from '../scheduler/core/groups/rows.ts';
import { advanceOf, batchInput, dagInput, retryInput } from '../scheduler/core/testing/groups.ts';
import { specOf } from '../scheduler/core/testing/values.ts';
import type { CommandInput } from '../scheduler/ports.ts';
import { encodeCommand } from './codec.ts';
import { openSchedulerMachine, type SchedulerMachine } from './scheduler-machine.ts';
import { TaskReads } from './task-reads.ts';
import { StillClock, temporaryDirectory } from './testing.ts';

const everything = (): boolean => true;

class Cluster {
  readonly directory = `${temporaryDirectory()}/state`;
  machine!: SchedulerMachine;
  reads!: TaskReads;

  async open(isNew: boolean): Promise<void> {
    const { directory } = this;
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
    this.machine = machine;
    this.reads = new TaskReads(machine);
  }

  async apply<Result = unknown>(input: CommandInput): Promise<Result> {
    const command: Command = { ...input, atMs: 1 };
    const index = this.machine.appliedIndex + 1;
    const [outcome] = await this.machine.apply([
      { index, term: 1, type: 'normal', data: encodeCommand(command) },
    ]);
    if (outcome?.type !== 'done') throw new Error(outcome?.message);
    return outcome.result as Result;
  }

  async submit(name: string): Promise<void> {
    await this.apply({ type: 'submitTasks', tasks: [specOf({ name })], idempotency: null });
  }

  async advance(): Promise<boolean> {
    const { state } = this.machine.core;
    const next = state.nextWorkingGroup();
    const row = next === null ? undefined : (state.batches.get(next.id) ?? state.dags.get(next.id));
    if (next === null || row === undefined) return false;
    await this.apply(advanceOf(row, next.table, 1));
    return true;
  }

  async restart(): Promise<void> {
    await this.machine.checkpoint();
    const { digest } = this.machine;
    await this.machine.close();
    await this.open(false);
    invariant(this.machine.digest === digest, 'a restart changes nothing');
  }

  /** All tasks, in pages of that size. */
  async names(limit: number): Promise<readonly string[]> {
    const names: string[] = [];
    let cursor = '';
    do {
      const page = await this.reads.tasksNewestFirst({ cursor, limit, matches: everything });
      names.push(...page.tasks.map(({ task }) => task.name));
      cursor = page.nextCursor;
    } while (cursor !== '');
    return names;
  }
}

async function formed(): Promise<Cluster> {
  const cluster = new Cluster();
  await cluster.open(true);
  const config = { heartbeat: { intervalMs: 1, warningMs: 2, timeoutMs: 3 } };
  await cluster.apply({ type: 'initCluster', term: 1, clusterId: 'c', epoch: 1, config });
  return cluster;
}

/** With the rows of so many of the batch. */
function made(count: number): readonly string[] {
  return ['after', ...Array.from({ length: count }, (_, at) => `b${count - 1 - at}`), 'before'];
}

const template = specOf({ name: 'b{{index}}' });

describe('tasks that are made late', () => {
  it('stand where they were submitted, whatever of them is in memory or on disk', async () => {
    const cluster = await formed();
    await cluster.submit('before');
    await cluster.apply(batchInput({ type: 'template', template, count: 8 }, { sliceTasks: 3 }));
    await cluster.submit('after');
    for (const limit of [1, 2, 100]) expect(await cluster.names(limit)).toEqual(made(3));
    await cluster.machine.checkpoint();
    await cluster.advance();
    for (const limit of [1, 2, 100]) expect(await cluster.names(limit)).toEqual(made(6));
    await cluster.restart();
    for (const limit of [1, 2, 100]) expect(await cluster.names(limit)).toEqual(made(6));
    await cluster.advance();
    expect(await cluster.advance()).toBe(false);
    for (const limit of [1, 2, 100]) expect(await cluster.names(limit)).toEqual(made(8));
  });
});

describe('batches and DAGs', () => {
  it('are listed apart, newest first, and found by how their ids begin', async () => {
    const cluster = await formed();
    const ids: string[] = [];
    for (let at = 0; at < 5; at += 1) {
      const work = { type: 'template', template, count: 1 } as const;
      ids.unshift((await cluster.apply<{ id: string }>(batchInput(work))).id);
      if (at === 2) await cluster.machine.checkpoint();
      await cluster.apply(dagInput([[], [0]]));
    }
    const pages: (readonly string[])[] = [];
    let cursor = '';
    do {
      const page = await cluster.reads.groupsNewestFirst({ table: 'batch', cursor, limit: 2 });
      pages.push(page.groups.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== '');
    expect(pages).toEqual([ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
    const dags = await cluster.reads.groupsNewestFirst({ table: 'dag', cursor: '', limit: 100 });
    expect(dags.groups).toHaveLength(5);
    expect(await cluster.reads.groupIdsWithPrefix('batch', ids[1]?.slice(0, 14) ?? '', 2)).toEqual([ids[1]]);
    await expect(
      cluster.reads.groupsNewestFirst({ table: 'dag', cursor: 'bm8', limit: 1 }),
    ).rejects.toMatchObject({
      code: 'invalid',
    });
  });

  it('begin anew from the store alone', async () => {
    const cluster = await formed();
    const work = { type: 'template', template, count: 5 } as const;
    const { id } = await cluster.apply<{ id: string }>(batchInput(work, { sliceTasks: 2 }));
    const dag = await cluster.apply<{ id: string }>(dagInput([[1], [], [0]], { sliceTasks: 2 }));
    while (await cluster.advance());
    for (const [table, group] of [['batch', id] as const, ['dag', dag.id] as const])
      await cluster.apply({ type: 'cancelGroup', table, id: group, idempotency: null });
    while (await cluster.advance());
    await cluster.restart();
    const { state } = cluster.machine.core;
    expect(state.tasks.size + state.batches.size + state.dags.size + state.specs.size).toBe(0);
    for (const [table, group] of [['batch', id] as const, ['dag', dag.id] as const]) {
      const row = await cluster.reads.read(table, group);
      if (row === null) throw new Error(`${group} is there`);
      expect(row).toMatchObject({ status: 'CANCELLED' });
      await cluster.apply(retryInput(row, table));
    }
    while (await cluster.advance());
    expect((await cluster.reads.read('batch', id))?.counts).toMatchObject({ PENDING: 5, CANCELLED: 0 });
    expect((await cluster.reads.read('dag', dag.id))?.counts).toMatchObject({ PENDING: 1, WAITING: 2 });
    expect(state.tasks.size).toBe(8);
    expect(state.specs.size).toBe(4);
    const row = (await cluster.reads.read('batch', id)) as BatchRow;
    expect(state.tasks.get(memberIds(row)(4))).toMatchObject({ name: 'b4', status: 'PENDING' });
    await cluster.restart();
    expect(cluster.machine.core.state.graphs.size).toBe(1);
  });
});
