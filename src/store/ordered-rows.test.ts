/** Events read back from every position, whatever of them is in memory, on its way to disk, or there. */
import * as fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';

import { silentLog } from '../lib/log.ts';
import type { Command } from '../model/commands.ts';
import type { EventRow } from '../model/events.ts';
import type { Row } from '../raft/ports.ts';
import { specOf } from '../scheduler/core/testing/values.ts';
import { encodeCommand } from './codec.ts';
import { openSchedulerMachine, type SchedulerMachine } from './scheduler-machine.ts';
import { TaskReads } from './task-reads.ts';
import { StillClock, temporaryDirectory } from './testing.ts';
import { runs } from '../lib/testing/property-runs.ts';

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

async function apply(machine: SchedulerMachine, command: Command): Promise<void> {
  const index = machine.appliedIndex + 1;
  await machine.apply([{ index, term: 1, type: 'normal', data: encodeCommand(command) }]);
}

const INIT: Command = {
  type: 'initCluster',
  atMs: 1,
  term: 1,
  clusterId: 'c',
  epoch: 1,
  config: { heartbeat: { intervalMs: 1, warningMs: 2, timeoutMs: 3 } },
};
const SUBMIT: Command = { type: 'submitTasks', atMs: 1, tasks: [specOf()], idempotency: null };
/** Leaves no event. */
const NOTHING: Command = { type: 'cancelTask', atMs: 1, taskId: 'none', idempotency: null };

describe('rows of entries', () => {
  it('are found from every position and in every piece, over checkpoints, restarts and installed snapshots', async () => {
    const step = fc.constantFrom(
      'submit',
      'submit',
      'submit',
      'nothing',
      'checkpoint',
      'half',
      'restart',
      'install',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 25 }),
        fc.integer({ min: 1, max: 5 }),
        async (steps, count) => {
          const directory = `${temporaryDirectory()}/state`;
          let machine = await open(directory, true);
          await apply(machine, INIT);
          const expected: number[] = [];
          let under: Promise<unknown> = Promise.resolve();
          for (const one of steps) {
            if (one === 'submit') expected.push(machine.appliedIndex + 1);
            if (one === 'submit') await apply(machine, SUBMIT);
            else if (one === 'nothing') await apply(machine, NOTHING);
            else if (one === 'checkpoint') await machine.checkpoint();
            else if (one === 'half') under = machine.checkpoint();
            else if (one === 'restart') {
              await machine.checkpoint();
              await machine.close();
              machine = await open(directory, false);
            } else {
              await machine.checkpoint();
              const stream = await machine.rows();
              const all: Row[] = [];
              for await (const row of stream.rows) all.push(row);
              await stream.close();
              await machine.install(
                { index: stream.index, term: 1 },
                (async function* () {
                  yield* all;
                })(),
              );
            }
          }
          const reads = new TaskReads(machine);
          for (let from = 0; from <= machine.appliedIndex + 1; from += 1) {
            const found: EventRow[] = [];
            for (let next = from; ; next = (found.at(-1)?.index ?? 0) + 1) {
              const { rows, appliedIndex } = await reads.rowsFrom('event', { index: next, part: 0 }, count);
              expect(appliedIndex).toBe(machine.appliedIndex);
              found.push(...rows);
              if (rows.length < count) break;
            }
            expect(found.map(({ index }) => index)).toEqual(expected.filter((index) => index >= from));
          }
          await under;
        },
      ),
      { numRuns: runs(25) },
    );
  });
});
