/** The ceiling of durable calls: a process that only appends, syncs and answers (`bare-log-main.ts`). */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { guardDirectory } from '../../test/support/guard.ts';
import { endProcessesOf } from '../../test/support/processes.ts';
import { within } from '../../test/support/wait.ts';
import type { Scope } from '../scope.ts';

const START_TIMEOUT_MS = 20_000;
const bytes = (value: Buffer): Buffer => value;

/** The bytes of any message: they are stored and sent back, not read. */
export const BARE_LOG = {
  path: '/bench.BareLog/Append',
  requestStream: false,
  responseStream: false,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
} as const;

/** The same in a stream: the bytes of each message come back, in order. */
export const BARE_LOG_STREAM = {
  ...BARE_LOG,
  path: '/bench.BareLog/AppendAll',
  requestStream: true,
  responseStream: true,
} as const;

/** @returns its address */
export async function startBareLog(scope: Scope): Promise<string> {
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-bench-bare-'));
  const guard = guardDirectory(directory);
  const { child } = await scope.own({
    start: () => {
      const program = fileURLToPath(new URL('./bare-log-main.ts', import.meta.url));
      const started = spawn(process.execPath, [program, path.join(directory, 'file')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      return Promise.resolve({ child: started });
    },
    end: async () => {
      await endProcessesOf(directory);
      await rm(directory, { recursive: true, force: true });
      await guard.dismiss();
    },
  });
  const port = await within(firstLine(child), START_TIMEOUT_MS, null);
  if (port === null) throw new Error('the bare log did not start');
  return `127.0.0.1:${port}`;
}

function firstLine({ stdout }: ChildProcess): Promise<string | null> {
  if (stdout === null) throw new Error('its output is read');
  return new Promise((resolve) => {
    const lines = createInterface({ input: stdout });
    lines.once('line', resolve);
    lines.once('close', () => resolve(null));
  });
}
