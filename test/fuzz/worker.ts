/** The thread in which targets run: what hangs in it can be ended from outside. */
import { parentPort, workerData } from 'node:worker_threads';

import { invariant } from '../../src/lib/assert.ts';
import { plant } from '../sim/mutate.ts';
import { PLANTS } from './plants.ts';
import type { Finding, TargetReport } from './run.ts';

export interface WorkerTask {
  readonly target: string;
  readonly seed: number;
  readonly count: number;
  readonly ms: number | null;
  readonly plant: string | null;
  /** Base64: this one alone. */
  readonly input: string | null;
  /** Of two 32-bit integers: how many inputs were begun, and whether it is past its preparations. */
  readonly position: SharedArrayBuffer;
}

export type WorkerAnswer = TargetReport;

async function answer(task: WorkerTask): Promise<WorkerAnswer> {
  const planted = PLANTS.find(({ name }) => name === task.plant);
  if (planted !== undefined) plant(planted);
  // Loaded only now, so that what is planted is in it.
  const { runOne, runTarget } = await import('./run.ts');
  const { TARGETS } = await import('./targets.ts');
  const target = TARGETS.find(({ name }) => name === task.target);
  invariant(target !== undefined, `there is a target ${task.target}`);
  if (task.input !== null) {
    const finding: Finding | null = await runOne(target, Buffer.from(task.input, 'base64'));
    return { inputs: 1, endings: {}, grownBytes: 0, finding };
  }
  const position = new Int32Array(task.position);
  return await runTarget(target, {
    ...task,
    onInput: (index) => Atomics.store(position, 0, index + 1),
  });
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of a thread has no origins
parentPort?.postMessage(await answer(workerData as WorkerTask));
