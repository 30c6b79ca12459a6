/** One run: three nodes, faults and load at the same time, then everything is healed and judged. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../src/lib/errors.ts';
import { limits } from '../../src/lib/limits.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { FINAL_STATUSES, type TaskJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { waitFor, within } from '../support/wait.ts';
import { History } from './history.ts';
import { acknowledgedIds, judge, type Evidence, type Finding } from './judges.ts';
import { Nemesis } from './nemesis.ts';
import type { ChaosOptions } from './options.ts';
import { planFaults, type Fault } from './schedule.ts';
import { Workload } from './workload.ts';

export interface Report {
  readonly seed: number;
  readonly seconds: number;
  readonly passed: boolean;
  readonly findings: readonly Finding[];
  readonly counts: Readonly<Record<string, number>>;
  readonly faults: readonly Fault[];
  readonly tookMs: number;
}

/** Per second of the run. */
const LEAST_ACKNOWLEDGED = 1;
/** One who hangs is given up, and that is a finding. */
const CLIENT_TIMEOUT_MS = 30_000;
const FINAL_TIMEOUT_MS = 45_000;
const LEAVE_TIMEOUT_MS = 15_000;
const AGREEMENT_SLACK_MS = 5000;
const AGREEMENT_PAUSE_MS = 500;

interface Parts {
  readonly options: ChaosOptions;
  readonly cluster: TestCluster;
  readonly history: History;
  readonly nemesis: Nemesis;
  readonly workload: Workload;
  readonly findings: Finding[];
}

/** Writes `history.jsonl`, `report.json` and the nodes' logs. */
export async function runChaos(options: ChaosOptions): Promise<Report> {
  mkdirSync(options.directory, { recursive: true });
  const begunMs = performance.now();
  const faults = planFaults(options.seconds, seededRandom(options.seed));
  const cluster = await TestCluster.create({ heartbeat: SHORT_HEARTBEAT });
  const history = new History(path.join(options.directory, 'history.jsonl'));
  const findings: Finding[] = [];
  let counts: Readonly<Record<string, number>> = {};
  try {
    await cluster.start();
    history.begin();
    const nemesis = new Nemesis(cluster, history);
    const workload = new Workload({ cluster, history, seed: options.seed });
    const parts = { options, cluster, history, nemesis, workload, findings };
    await disturb(parts, faults);
    const evidence = await heal(parts);
    findings.push(...judge(evidence));
    await leave(parts);
    counts = countOf(evidence, faults);
  } catch (error) {
    findings.push({ judge: 'run', message: messageOf(error) });
  } finally {
    history.close();
    for (const { settings } of cluster.nodes) copyLog(settings.logFile, options.directory);
    await cluster.dispose();
  }
  const { seed, seconds } = options;
  const tookMs = Math.round(performance.now() - begunMs);
  const report = { seed, seconds, passed: findings.length === 0, findings, counts, faults, tookMs };
  writeFileSync(path.join(options.directory, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
  return report;
}

/** Load and faults for as long as the run shall last. */
async function disturb(parts: Parts, faults: readonly Fault[]): Promise<void> {
  const { options, history, nemesis, workload, findings } = parts;
  const stopping = new AbortController();
  const endTimer = setTimeout(() => stopping.abort(), Math.max(0, options.seconds * 1000 - history.nowMs()));
  const load = workload.run(stopping.signal);
  const quiet = nemesis.run(faults, stopping.signal).catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
  });
  try {
    await quiet;
    const limitMs = options.seconds * 1000 - history.nowMs() + CLIENT_TIMEOUT_MS;
    const ended = await within(
      load.then(() => true),
      limitMs,
      false,
    );
    if (!ended) {
      findings.push({
        judge: 'clients',
        message: `one is still waiting ${CLIENT_TIMEOUT_MS} ms after the end`,
      });
    }
  } finally {
    clearTimeout(endTimer);
    stopping.abort();
  }
}

/** Everything up again; what every node shows once all tasks are over, or after a while. */
async function heal({ options, cluster, history, nemesis, workload, findings }: Parts): Promise<Evidence> {
  await nemesis.heal();
  const [first] = cluster.nodes;
  if (first === undefined) throw new Error('a cluster has nodes');
  const look = (): Promise<readonly TaskJson[]> => workload.look(first.api, 'end', 20_000);
  try {
    await waitFor(
      'all tasks are over',
      async () => (await look()).every(({ status }) => FINAL_STATUSES.has(status)),
      { timeoutMs: FINAL_TIMEOUT_MS, intervalMs: 250 },
    );
    await waitFor('all nodes are AVAILABLE', async () =>
      (await first.api.nodes()).every(({ status }) => status === 'AVAILABLE'),
    );
    await waitFor('no task runs any more', () => taskProcesses(cluster).length === 0, {
      timeoutMs: LEAVE_TIMEOUT_MS,
    });
  } catch (error) {
    const left = taskProcesses(cluster).map(({ pid, commandLine }) => `${pid} ${commandLine}`);
    findings.push({
      judge: 'end',
      message: `${messageOf(error)}; ${left.length} task processes: ${left.join('; ')}`,
    });
  }
  const final = await finalLooks(cluster, workload);
  const { operations, sightings } = history;
  const leastAcknowledged = LEAST_ACKNOWLEDGED * options.seconds;
  return { operations, sightings, final, runs: workload.runLines(), leastAcknowledged };
}

/**
 * What every node shows, once they agree that all is over. A write whose caller has given up may still be sent on by a node
 * and come between two looks, for as long as a route takes; whoever differs after that is judged.
 */
async function finalLooks(cluster: TestCluster, workload: Workload): Promise<Evidence['final']> {
  const deadlineMs = performance.now() + limits.routeTimeoutMs + AGREEMENT_SLACK_MS;
  for (;;) {
    const final: Record<string, readonly TaskJson[]> = {};
    for (const { name, api } of cluster.nodes) final[name] = await workload.look(api, 'end', 20_000);
    const shown = new Set(Object.values(final).map((tasks) => JSON.stringify(tasks)));
    const areOver = Object.values(final).every((tasks) => tasks.every(isOver));
    if ((shown.size === 1 && areOver) || performance.now() > deadlineMs) return final;
    await delay(AGREEMENT_PAUSE_MS);
  }
}

function isOver({ status }: TaskJson): boolean {
  return FINAL_STATUSES.has(status);
}

function aboutProcesses(message: string): Finding {
  return { judge: 'processes', message };
}

/** A stop in order leaves nothing behind. */
async function leave({ cluster, nemesis, findings }: Parts): Promise<void> {
  const wrong = await within(nemesis.stop(), LEAVE_TIMEOUT_MS, ['not all have stopped in time']);
  findings.push(...[...nemesis.unexpected, ...wrong].map(aboutProcesses));
  try {
    await waitFor('all processes are gone', () => cluster.processes().length === 0, {
      timeoutMs: LEAVE_TIMEOUT_MS,
    });
  } catch {
    findings.push(
      ...cluster.processes().map((left) => aboutProcesses(`left behind: ${left.pid} ${left.commandLine}`)),
    );
  }
}

function taskProcesses(cluster: TestCluster) {
  return cluster
    .processes()
    .filter(({ commandLine }) => !/\/(agent|watchdog)\/main\.(ts|js)/.test(commandLine));
}

function countOf({ operations, final, runs }: Evidence, faults: readonly Fault[]): Record<string, number> {
  const [tasks = []] = Object.values(final);
  const withStatus = (status: string): number => tasks.filter((task) => task.status === status).length;
  return {
    operations: operations.length,
    unknown: operations.filter(({ ok, process }) => ok === null && process !== 'nemesis').length,
    acknowledged: acknowledgedIds(operations).size,
    completed: withStatus('COMPLETED'),
    cancelled: withStatus('CANCELLED'),
    attempts: tasks.reduce((sum, { attempt }) => sum + attempt, 0),
    lost: tasks.flatMap(({ attempts }) => attempts).filter(({ status }) => status === 'LOST').length,
    starts: runs.filter(({ what }) => what === 'start').length,
    faults: faults.length,
  };
}

function copyLog(file: string, directory: string): void {
  try {
    copyFileSync(file, path.join(directory, path.basename(file)));
  } catch (error) {
    // A node that never came up has none.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
