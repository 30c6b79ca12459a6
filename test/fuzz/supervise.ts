/** Runs a target in a thread and watches it: an input that does not end in time is a finding, too. */
import { Worker } from 'node:worker_threads';

import type { TargetReport } from './run.ts';
import type { WorkerTask } from './worker.ts';

/** For one input: hundreds of times what any takes, on a machine that is busy with other things. */
const HANG_MS = 20_000;
const LOOK_MS = 250;

export type Supervised =
  | { readonly type: 'ended'; readonly report: TargetReport }
  /** At that input, or before the first (-1). */
  | { readonly type: 'hung'; readonly index: number }
  /** The thread itself has ended: an error that nobody caught, or memory that ran out. */
  | { readonly type: 'died'; readonly index: number; readonly message: string };

export async function supervise(
  task: Omit<WorkerTask, 'position'>,
  hangMs: number = HANG_MS,
): Promise<Supervised> {
  const position = new Int32Array(new SharedArrayBuffer(4));
  const workerData: WorkerTask = { ...task, position: position.buffer };
  const worker = new Worker(new URL('worker.ts', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: 1024 },
  });
  const index = (): number => Atomics.load(position, 0) - 1;
  const { promise, resolve } = Promise.withResolvers<Supervised>();
  worker.once('message', (report: TargetReport) => resolve({ type: 'ended', report }));
  worker.once('error', (error: Error) =>
    resolve({ type: 'died', index: index(), message: error.stack ?? error.message }),
  );
  worker.once('exit', (status) =>
    resolve({ type: 'died', index: index(), message: `its thread ended with status ${status}` }),
  );
  let [last, sinceMs] = [index(), performance.now()];
  const timer = setInterval(() => {
    const now = index();
    if (now !== last) [last, sinceMs] = [now, performance.now()];
    else if (performance.now() - sinceMs > hangMs) resolve({ type: 'hung', index: now });
  }, LOOK_MS);
  try {
    return await promise;
  } finally {
    clearInterval(timer);
    await worker.terminate();
  }
}
