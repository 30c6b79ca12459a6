import type { WriteRequest } from './segment-writer.ts';

/** Group commit takes no more than this at a time, so that the first of a long queue does not wait for the last. */
const BATCH_BYTES = 4 * 1024 * 1024;
const BATCH_REQUESTS = 512;

/** Removes the requests of the next batch from the front of the queue: at least one, where there is one. */
export function takeBatch(queue: WriteRequest[]): readonly WriteRequest[] {
  let bytes = 0;
  let count = 0;
  for (const request of queue) {
    bytes += request.records.byteLength;
    if (count > 0 && (bytes > BATCH_BYTES || count >= BATCH_REQUESTS)) break;
    count += 1;
  }
  return queue.splice(0, count);
}
