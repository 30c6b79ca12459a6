import { closeSync, fstatSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

import { expect, it } from 'vitest';

import { nodeLogFiles } from './log-files.ts';
import { createLog } from './segment-writer.ts';
import { startThreadWriter } from './writers.ts';

const SEGMENT_BYTES = 64 * 1024;

it('has a writer that fails close its files once: their numbers are soon those of others', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'jarvis-writer-'));
  const settings = {
    directory,
    identity: { clusterId: 'c', incarnation: 'i' },
    segmentBytes: SEGMENT_BYTES,
  };
  const position = createLog(nodeLogFiles, settings);
  const failed = Promise.withResolvers<Error>();
  const events = { written: () => {}, failed: (error: Error) => failed.resolve(error) };
  const writer = await startThreadWriter({ settings, position, events });
  // The next segment cannot be made.
  await rm(directory, { recursive: true });
  const records = new Uint8Array(2 * SEGMENT_BYTES);
  writer.post({ records, hardState: null, base: null, lastIndex: 1, compacts: false });
  expect((await failed.promise).message).toContain('ENOENT');
  const others: number[] = [];
  for (let opened = 0; opened < 50; opened += 1) {
    others.push(openSync('/dev/null', 'r'));
    await turn();
  }
  // Until the thread has ended, whatever it had in mind before.
  await writer.close();
  for (const descriptor of others) {
    expect(fstatSync(descriptor).isCharacterDevice()).toBe(true);
    closeSync(descriptor);
  }
});
