/** For tests: a data directory of its own, clients of one watchdog, and the certainty that nothing is left behind. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { bootTimeMs } from '../../lib/boot-time.ts';
import { silentLog } from '../../lib/log.ts';
import { findProcessGroups } from '../cgroups/process-groups.ts';
import type { AttemptKey, AttemptSpec, Exit } from '../drivers/driver.ts';
import { attemptSpec } from '../drivers/driver-contract.test-kit.ts';
import { ProcessDriver } from '../drivers/process/process-driver.ts';
import type { ReadLogOptions } from './attempt-log.ts';
import { readLog } from './attempt-log.ts';
import { groupPrefixOf } from './cgroup-containment.ts';
import type { WatchdogClientOptions } from './client.ts';
import { WatchdogClient } from './client.ts';
import { attemptDirectory, workDirectory } from './paths.ts';
import { readStat } from './processes.ts';

export interface WatchdogHarness {
  readonly dataDirectory: string;
  /** A daemon's client; any number, one after the other or at once. */
  client(options?: Partial<WatchdogClientOptions>): WatchdogClient;
  driver(options?: Partial<WatchdogClientOptions>): ProcessDriver;
  /** Kills all attempts and the watchdog. */
  dispose(): Promise<void>;
}

/** Holds a lease from the beginning. */
class LeasedClient extends WatchdogClient {
  leaseMs = DEFAULT_LEASE_MS;

  override async open(session: number, signal: AbortSignal): Promise<void> {
    await super.open(session, signal);
    if (this.leaseMs > 0) await this.extendLease(session, bootTimeMs() + this.leaseMs, signal);
  }
}

const DEFAULT_LEASE_MS = 3_600_000;

const LAST_SESSION = 1_000_000;

/**
 * @param options.directoryLength the least length of the data directory's path
 * @param options.leaseMs that a client has from the beginning; 0: none
 */
export async function createWatchdogHarness(
  options: { readonly directoryLength?: number; readonly leaseMs?: number } = {},
): Promise<WatchdogHarness> {
  const root = mkdtempSync(join(tmpdir(), 'jarvis-watchdog-'));
  const dataDirectory = join(root, 'd'.repeat(Math.max(1, (options.directoryLength ?? 0) - root.length)));
  mkdirSync(dataDirectory);
  const clients: WatchdogClient[] = [];
  const client = (changes: Partial<WatchdogClientOptions> = {}): WatchdogClient => {
    const made = new LeasedClient({ dataDirectory, log: silentLog, ...changes });
    made.leaseMs = options.leaseMs ?? DEFAULT_LEASE_MS;
    clients.push(made);
    return made;
  };
  return {
    dataDirectory,
    client,
    driver: (changes) => new ProcessDriver(client(changes)),
    async dispose() {
      // First those that would start it again.
      await Promise.all(clients.map((each) => each.close()));
      const last = client();
      const signal = AbortSignal.timeout(15_000);
      await last.open(LAST_SESSION, signal);
      const pid = await last.watchdogPid(signal);
      await last.shutdown({ killAll: true }, signal);
      await waitUntil(() => isGone(pid));
      await last.close();
      await endLateStarters(root);
      const left = findProcessGroups()?.groupsBeginning(groupPrefixOf(dataDirectory)) ?? [];
      if (left.length > 0) throw new Error(`control groups were left behind: ${left.join(', ')}`);
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** One that lost the race for the lock, but so slowly that the winner has left meanwhile, would stay for a while. */
async function endLateStarters(root: string): Promise<void> {
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    const path = `/proc/${pid}/cmdline`;
    const commandLine = existsSync(path) ? await readFile(path, 'utf8').catch(() => '') : '';
    if (!commandLine.includes(`"dataDirectory":"${root}/`)) continue;
    process.kill(Number(pid), 'SIGKILL');
    await waitUntil(() => isGone(Number(pid)));
  }
}

/** A shell script as an attempt of session 5. */
export function shell(script: string, changes: Partial<AttemptSpec> = {}): AttemptSpec {
  return attemptSpec({ command: ['sh', '-c', script], ...changes });
}

export async function run(client: WatchdogClient, spec: AttemptSpec): Promise<Exit> {
  const never = new AbortController().signal;
  await client.start(spec, never);
  return client.wait(spec, never);
}

/** Everything that its log holds. */
export async function readOutput(
  { dataDirectory }: WatchdogHarness,
  key: AttemptKey,
  options: ReadLogOptions = {},
): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const { data } of readLog(attemptDirectory(dataDirectory, key), options)) chunks.push(data);
  return Buffer.concat(chunks).toString();
}

/** Waits for a file that the script writes into its directory: it is whole once it ends with a line feed. */
export async function readPid(
  { dataDirectory }: WatchdogHarness,
  key: AttemptKey,
  name: string,
): Promise<number> {
  const path = join(workDirectory(attemptDirectory(dataDirectory, key)), name);
  let text = '';
  await waitUntil(async () => {
    if (existsSync(path)) text = await readFile(path, 'utf8');
    return text.endsWith('\n');
  });
  return Number(text);
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
