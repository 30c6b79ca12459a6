/**
 * The thread that writes the log: synchronous calls, so that no busy pool delays a sync. What queues while a batch is
 * synced goes into the next one (group commit).
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';

import { invariant } from '../../lib/assert.ts';
import { nodeLogFiles } from './log-files.ts';
import type { WriterPosition } from './recovery.ts';
import { SegmentWriter, type WriteRequest, type WriterSettings, type WriterStats } from './segment-writer.ts';
import { takeBatch } from './take-batch.ts';

export interface ThreadStart {
  readonly settings: WriterSettings;
  readonly position: WriterPosition;
}

export type ToThread =
  | { readonly type: 'write'; readonly request: WriteRequest }
  | { readonly type: 'close' };

export type FromThread =
  | { readonly type: 'ready'; readonly stats: WriterStats }
  | {
      readonly type: 'written';
      /** So many requests more, in order, are durable. */
      readonly requests: number;
      readonly syncMs: number | null;
      readonly stats: WriterStats;
    }
  | { readonly type: 'failed'; readonly message: string; readonly systemCode: string }
  | { readonly type: 'closed' };

/** Without a write for so long, what can wait is done. */
const IDLE_MS = 100;

function main(): void {
  invariant(parentPort !== null, 'the writer runs on a thread of its own');
  const port = parentPort;
  const { settings, position } = workerData as ThreadStart;
  const queue: WriteRequest[] = [];
  let idleTimer: NodeJS.Timeout | null = null;
  let closing = false;
  let stopped = false;
  let writer: SegmentWriter | null = null;
  const say = (message: FromThread): void => port.postMessage(message);

  const guarded = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      // After a failed write nothing is known: whatever comes later is refused by the front, and is not written.
      const { message, code } = error as NodeJS.ErrnoException;
      say({ type: 'failed', message, systemCode: code ?? '' });
      stop(() => writer?.abandon());
    }
  };

  const stop = (release: () => void): void => {
    stopped = true;
    if (idleTimer !== null) clearTimeout(idleTimer);
    port.removeAllListeners('message');
    port.close();
    release();
  };

  const take = (message: ToThread): void => {
    if (message.type === 'close') closing = true;
    else queue.push(message.request);
  };

  const drain = (): void => {
    for (;;) {
      for (let queued = receiveMessageOnPort(port); queued !== undefined; queued = receiveMessageOnPort(port))
        take(queued.message as ToThread);
      const batch = takeBatch(queue);
      if (batch.length === 0 || writer === null) break;
      const syncMs = writer.write(batch);
      say({ type: 'written', requests: batch.length, syncMs, stats: writer.stats });
    }
    if (!closing) return;
    writer?.close();
    say({ type: 'closed' });
    stop(() => {});
  };

  const idle = (): void => {
    idleTimer = null;
    guarded(() => {
      if (writer?.idle() === true) idleTimer = setTimeout(idle, 0);
    });
  };

  guarded(() => {
    writer = new SegmentWriter(nodeLogFiles, settings, position);
    say({ type: 'ready', stats: writer.stats });
    idleTimer = setTimeout(idle, IDLE_MS);
    port.on('message', (message: ToThread) => {
      if (idleTimer !== null) clearTimeout(idleTimer);
      idleTimer = null;
      take(message);
      guarded(drain);
      // The descriptors of a writer that has failed are closed: they may be anybody's by then.
      if (!closing && !stopped) idleTimer = setTimeout(idle, IDLE_MS);
    });
  });
}

main();
