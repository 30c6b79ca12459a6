/**
 * The resource monitor of a node by itself, as that has it: run with its settings as JSON, it measures until its input ends. Each line that
 * comes in is answered with one of what the process has used so far, and what is known of the attempts.
 */
import { createInterface } from 'node:readline';

import { Confinement } from '../../src/agent/cgroups/confinement.ts';
import { ResourceMonitor } from '../../src/agent/monitor/resource-monitor.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';

export interface MonitorSettings {
  /** Control groups of attempts, from the root of the hierarchies. */
  readonly groups: readonly string[];
  /** Where the node's own processes count as being, as /proc/self/cgroup says it; null: where they are. */
  readonly membership: string | null;
  readonly groupPrefix: string;
}

export interface MonitorReport {
  /** Of all threads, since the start. */
  readonly cpuMs: number;
  readonly atMs: number;
  /** Attempts of which something is known. */
  readonly measured: number;
  readonly oldestMs: number;
  /** What is measured of the node's own group. */
  readonly isConfined: boolean;
}

async function main(text: string | undefined): Promise<void> {
  if (text === undefined) throw new Error('usage: monitor-main.ts SETTINGS');
  const { groups, membership, groupPrefix } = JSON.parse(text) as MonitorSettings;
  const startedAtMs = Date.now();
  const running = groups.map((cgroup, at) => ({
    taskId: `task-${at}`,
    assignment: 1,
    attempt: 1,
    fencingToken: '1',
    startedAtMs,
    cgroup,
    isContainer: false,
  }));
  const monitor = new ResourceMonitor({
    node: 'bench',
    directory: '.',
    confinement: new Confinement({
      prefixes: [groupPrefix],
      // Any limit is less.
      machine: { cpuMillis: Number.MAX_SAFE_INTEGER, memoryBytes: Number.MAX_SAFE_INTEGER },
      ...(membership === null ? {} : { membership: () => membership }),
    }),
    drivers: [{ name: 'process', running: () => running }],
    clock: systemClock,
    log: silentLog,
  });
  monitor.start();
  for await (const _ of createInterface({ input: process.stdin })) {
    const { user, system } = process.cpuUsage();
    const { attempts, usage } = await monitor.read({ sinceMs: null, limit: null, attempt: null });
    const sampled = attempts.map(({ sampled_at: at }) => Date.parse(at));
    const report: MonitorReport = {
      cpuMs: (user + system) / 1000,
      atMs: performance.now(),
      measured: attempts.length,
      oldestMs: Date.now() - Math.min(...sampled),
      isConfined: (usage?.cpu_scope ?? '') !== '',
    };
    console.log(JSON.stringify(report));
  }
  await monitor.close();
}

await main(process.argv[2]);
