/** Starts the watchdog, detached from the daemon: in a session of its own, with no stream in common. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';

import { programFile } from '../../lib/program-files.ts';
import type { WatchdogOptions } from './options.ts';
import { DIAGNOSTICS_FILE, watchdogDirectory } from './paths.ts';

export interface LaunchedWatchdog {
  readonly pid: number | undefined;
  /** Resolves when it has ended, or could not be started. */
  readonly ended: Promise<void>;
}

const MAIN = programFile('agent/watchdog/main');
/** Meant for the daemon's process alone. */
const NOT_INHERITED = new Set(['NODE_OPTIONS', 'NODE_V8_COVERAGE', 'NODE_CHANNEL_FD', 'NODE_UNIQUE_ID']);

export function launchWatchdog(options: WatchdogOptions): LaunchedWatchdog {
  const directory = watchdogDirectory(options.dataDirectory);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const diagnostics = openSync(join(directory, DIAGNOSTICS_FILE), 'a', 0o600);
  try {
    // A small young generation: output is pumped through it, and little else.
    const flags = ['--max-semi-space-size=1', '--disable-warning=ExperimentalWarning'];
    const child = spawn(process.execPath, [...flags, MAIN, '--options', JSON.stringify(options)], {
      cwd: '/',
      detached: true,
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !NOT_INHERITED.has(name))),
      stdio: ['ignore', diagnostics, diagnostics],
    });
    child.unref();
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    return { pid: child.pid, ended };
  } finally {
    closeSync(diagnostics);
  }
}
