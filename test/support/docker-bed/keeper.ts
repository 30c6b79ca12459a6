/**
 * Clears a bed whose test process ended without doing so: interrupted, killed or crashed. It learns of that end by its
 * standard input, stands in a session of its own so that an interrupt from the keyboard does not reach it, and is told
 * `done` when there is nothing left to do.
 */
import { createInterface } from 'node:readline';

import { clearBed } from './clear.ts';
import type { BedRecord } from './clear.ts';

let record: BedRecord | null = null;
let isDone = false;
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'done') {
    isDone = true;
  } else {
    record = JSON.parse(line) as BedRecord;
    process.stdout.write('ready\n');
  }
}
if (record !== null && !isDone) await clearBed(record);
