/** For tests: a data directory of its own, clients of one watchdog, and the certainty that nothing is left behind. */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { silentLog } from '../../lib/log.ts';
import { ProcessDriver } from '../drivers/process/process-driver.ts';
import type { WatchdogClientOptions } from './client.ts';
import { WatchdogClient } from './client.ts';
import { readStat } from './processes.ts';

export interface WatchdogHarness {
  readonly dataDirectory: string;
  /** A daemon's client; any number, one after the other or at once. */
  client(options?: Partial<WatchdogClientOptions>): WatchdogClient;
  driver(options?: Partial<WatchdogClientOptions>): ProcessDriver;
  /** Kills all attempts and the watchdog. */
  dispose(): Promise<void>;
}

const LAST_SESSION = 1_000_000;

/** @param options.directoryLength the least length of the data directory's path */
export async function createWatchdogHarness(
  options: { readonly directoryLength?: number } = {},
): Promise<WatchdogHarness> {
  const root = mkdtempSync(join(tmpdir(), 'jarvis-watchdog-'));
  const dataDirectory = join(root, 'd'.repeat(Math.max(1, (options.directoryLength ?? 0) - root.length)));
  mkdirSync(dataDirectory);
  const clients: WatchdogClient[] = [];
  const client = (changes: Partial<WatchdogClientOptions> = {}): WatchdogClient => {
    const made = new WatchdogClient({ dataDirectory, log: silentLog, ...changes });
    clients.push(made);
    return made;
  };
  return {
    dataDirectory,
    client,
    driver: (changes) => new ProcessDriver(client(changes)),
    async dispose() {
      const last = client();
      const signal = AbortSignal.timeout(15_000);
      await last.open(LAST_SESSION, signal);
      const pid = await last.watchdogPid(signal);
      await last.shutdown({ killAll: true }, signal);
      await waitUntil(() => isGone(pid));
      await Promise.all(clients.map((each) => each.close()));
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** Whether nothing of that process runs; a zombie that nobody reaps counts as gone. */
export function isGone(pid: number): boolean {
  return readStat(pid)?.dead ?? true;
}

/** @throws where it has not come true in time */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${String(condition)}`);
    await delay(5);
  }
}
