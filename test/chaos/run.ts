/** One run: three nodes, faults and load at the same time, then everything is healed and judged. */
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { OWNED_LABEL } from '../../src/agent/drivers/docker/naming.ts';
import { messageOf } from '../../src/lib/errors.ts';
import type { Api } from '../support/api.ts';
import { attemptGroupPrefixes, removeAttemptGroups } from '../support/attempt-groups.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { IMAGES, startDockerBed, type DockerBed } from '../support/docker-bed/docker-bed.ts';
import { within } from '../support/wait.ts';
import { Caller } from './caller.ts';
import { Calls, JsonLines, Stopwatch } from './calls.ts';
import { planFaults, type Fault } from './faults.ts';
import type { GroupJson } from './groups.ts';
import { Guards } from './guards.ts';
import { History } from './history.ts';
import { acknowledgedIds, judge, JUDGES, type Evidence, type Finding } from './judges.ts';
import { Links } from './links.ts';
import { Nemesis } from './nemesis.ts';
import { commandOf, type ChaosOptions } from './options.ts';
import { Recorder } from './recorder.ts';
import { writeReport, type Report } from './report.ts';
import { leave, settle, type Settling } from './settle.ts';
import { CLIENTS, runWorkload } from './workload.ts';

/** Per second of the run. */
const LEAST_ACKNOWLEDGED = 0.5;
const LEAST_HISTORY = 1;
/** One who hangs is given up, and that is a finding. */
const CLIENT_TIMEOUT_MS = 30_000;
const PRELOAD = pathToFileURL(path.join(import.meta.dirname, 'preload.ts')).href;

interface Result {
  readonly findings: Finding[];
  counts: Readonly<Record<string, number>>;
  inflicted: Readonly<Record<string, number>>;
}

/**
 * Writes `history.jsonl`, `calls.jsonl`, `nemesis.jsonl`, the report and the nodes' logs.
 * @throws the reason of the signal, with everything ended
 */
export async function runChaos(options: ChaosOptions, signal: AbortSignal): Promise<Report> {
  mkdirSync(options.directory, { recursive: true });
  const begunMs = performance.now();
  const { seed, seconds, workloads, nemesis, plant, without } = options;
  const faults = planFaults(seconds, seed, nemesis);
  const result: Result = { findings: [], counts: {}, inflicted: {} };
  try {
    await withEngine(options, (bed) => withCluster({ options, bed, faults, result, signal }));
  } catch (error) {
    signal.throwIfAborted();
    result.findings.push({ judge: 'run', message: messageOf(error) });
  }
  const { findings } = result;
  const report: Report = {
    seed,
    seconds,
    passed: findings.length === 0,
    plant,
    workloads,
    nemesis,
    judges: Object.keys(JUDGES).filter((name) => !without.includes(name)),
    command: commandOf(options),
    ...result,
    faults,
    tookMs: Math.round(performance.now() - begunMs),
  };
  writeReport(report, options.directory);
  return report;
}

/** An engine for the nodes alone, where anything of the run needs one. */
async function withEngine(
  { workloads, nemesis }: ChaosOptions,
  body: (bed: DockerBed | null) => Promise<void>,
): Promise<void> {
  if (!workloads.includes('containers') && !nemesis.includes('pause-engine')) return await body(null);
  const bed = await startDockerBed();
  try {
    await body(bed);
  } finally {
    await bed.stop();
  }
}

interface ClusterParts {
  readonly options: ChaosOptions;
  readonly bed: DockerBed | null;
  readonly faults: readonly (readonly Fault[])[];
  readonly result: Result;
  readonly signal: AbortSignal;
}

async function withCluster(parts: ClusterParts): Promise<void> {
  const { options, bed, result, signal } = parts;
  const opened = Promise.withResolvers<Links>();
  const cluster = await TestCluster.create({
    heartbeat: SHORT_HEARTBEAT,
    drivers: bed === null ? 'process' : 'process,docker',
    policy: { mounts: ['MARKS'] },
    env: bed === null ? {} : { DOCKER_HOST: bed.dockerHost },
    envOf: async (members) => {
      const links = await Links.open(members);
      opened.resolve(links);
      return environmentOf(links, options.plant);
    },
  });
  const links = await opened.promise;
  const groups: string[] = [];
  const files = {
    history: new JsonLines(path.join(options.directory, 'history.jsonl')),
    calls: new JsonLines(path.join(options.directory, 'calls.jsonl')),
    nemesis: new JsonLines(path.join(options.directory, 'nemesis.jsonl')),
  };
  try {
    await unlessAborted(runCluster({ ...parts, cluster, links, groups, files }), signal);
  } finally {
    for (const file of Object.values(files)) file.close();
    for (const { settings } of cluster.nodes) copyLog(settings.logFile, options.directory);
    groups.push(...presentGroups(cluster));
    await cluster.dispose();
    await links.close();
    if (bed !== null) await clearEngine(bed, groups, result.findings);
  }
}

/** Of nodes that know who they are. */
function presentGroups({ nodes }: TestCluster): readonly string[] {
  return nodes
    .filter(({ settings }) => existsSync(path.join(settings.dataDir, 'identity.json')))
    .flatMap((node) => attemptGroupPrefixes({ nodes: [node] }));
}

function environmentOf(links: Links, plant: string | null) {
  return (name: string): Readonly<Record<string, string>> => ({
    NODE_OPTIONS: `--import=${PRELOAD}`,
    JARVIS_CHAOS_LINKS: JSON.stringify(links.addressesOf(name)),
    ...(plant === null ? {} : { JARVIS_CHAOS_PLANT: plant }),
  });
}

async function runCluster(
  parts: ClusterParts & {
    readonly cluster: TestCluster;
    readonly links: Links;
    /** Filled with what the nodes' control groups begin with. */
    readonly groups: string[];
    readonly files: Readonly<Record<'history' | 'calls' | 'nemesis', JsonLines>>;
  },
): Promise<void> {
  const { options, cluster, links, bed, faults, result, signal, groups, files } = parts;
  const { findings } = result;
  const watch = new Stopwatch();
  const calls = new Calls(files.calls);
  const history = new History({ lines: files.history, watch, clients: CLIENTS });
  const guards = new Guards();
  const caller = new Caller({ cluster, calls, watch });
  const recorder = new Recorder(path.join(cluster.directory, 'marks'));
  await cluster.start();
  watch.begin();
  const nemesis = new Nemesis({ cluster, links, guards, watch, lines: files.nemesis, bed, groups, signal });
  const image = bed?.openRegistry.reference(IMAGES.hello) ?? null;
  const work = { caller, history, recorder, seed: options.seed, names: options.workloads, image };
  await disturb({
    seconds: options.seconds,
    watch,
    findings,
    signal,
    load: (until) => runWorkload(work, until),
    faults: (until) => Promise.all(faults.map((lane) => nemesis.run(lane, until))),
  });
  const settling: Settling = { cluster, caller, nemesis, bed, findings };
  const final = await settle(settling);
  const shownGroups = await groupsOf(cluster.api());
  const evidence: Evidence = {
    operations: calls.operations,
    sightings: calls.sightings,
    history: history.operations,
    isUnguarded: (node, atMs) => guards.isUnguarded(node, atMs),
    final,
    runs: recorder.lines(),
    groups: shownGroups,
    least: {
      acknowledged: LEAST_ACKNOWLEDGED * options.seconds,
      history: LEAST_HISTORY * options.seconds,
    },
  };
  findings.push(...judge(evidence, options.without));
  await leave(settling);
  result.counts = countOf(evidence);
  result.inflicted = Object.fromEntries(nemesis.inflicted);
}

async function groupsOf(api: Api): Promise<readonly GroupJson[]> {
  const groups: GroupJson[] = [];
  for (const url of ['/batches', '/dags']) {
    for (let cursor = ''; ;) {
      const query = `?limit=1000${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`;
      const page = await api.get<{ items: readonly GroupJson[]; next_cursor: string | null }>(url + query);
      groups.push(...page.items);
      cursor = page.next_cursor ?? '';
      if (cursor === '') break;
    }
  }
  return groups;
}

/** Load and faults for as long as the run shall last. */
async function disturb(parts: {
  readonly seconds: number;
  readonly watch: Stopwatch;
  readonly findings: Finding[];
  readonly signal: AbortSignal;
  readonly load: (until: AbortSignal) => Promise<unknown>;
  readonly faults: (until: AbortSignal) => Promise<unknown>;
}): Promise<void> {
  const { seconds, watch, findings } = parts;
  const stopping = new AbortController();
  const until = AbortSignal.any([stopping.signal, parts.signal]);
  const endTimer = setTimeout(() => stopping.abort(), Math.max(0, seconds * 1000 - watch.nowMs()));
  const load = parts.load(until).then(() => true);
  // Where the faults fail first it is not waited for.
  load.catch(() => undefined);
  try {
    await parts.faults(until).catch((error: unknown) => {
      if (!until.aborted) throw error;
    });
    const limitMs = seconds * 1000 - watch.nowMs() + CLIENT_TIMEOUT_MS;
    if (!(await within(load, limitMs, false))) {
      const message = `one is still waiting ${CLIENT_TIMEOUT_MS} ms after the end`;
      findings.push({ judge: 'clients', message });
    }
  } finally {
    clearTimeout(endTimer);
    stopping.abort();
  }
}

/** After the nodes: what is left there now nobody would end any more. */
async function clearEngine(bed: DockerBed, groups: readonly string[], findings: Finding[]): Promise<void> {
  await bed.engine.heal();
  for (const { Id, Names, Labels } of await bed.engine.api.list()) {
    if (!(OWNED_LABEL in Labels)) continue;
    findings.push({ judge: 'processes', message: `left behind: container ${Names.join(' ')}` });
    await bed.engine.api.remove(Id);
  }
  await removeAttemptGroups(groups);
}

/** @throws the reason of the signal as soon as it is aborted; what goes on then comes to nothing */
async function unlessAborted(body: Promise<void>, signal: AbortSignal): Promise<void> {
  body.catch(() => undefined);
  signal.throwIfAborted();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  await Promise.race([body, aborted]);
}

function countOf({ operations, history, final, runs }: Evidence): Record<string, number> {
  const [tasks = []] = Object.values(final);
  const withStatus = (status: string): number => tasks.filter((task) => task.status === status).length;
  return {
    calls: operations.length,
    'without answer': operations.filter(({ ok }) => ok === null).length,
    acknowledged: acknowledgedIds(operations).size,
    history: history.length,
    unknown: history.filter(({ ok }) => ok === 'unknown').length,
    completed: withStatus('COMPLETED'),
    cancelled: withStatus('CANCELLED'),
    attempts: tasks.reduce((sum, { attempt }) => sum + attempt, 0),
    lost: tasks.flatMap(({ attempts }) => attempts).filter(({ status }) => status === 'LOST').length,
    starts: runs.filter(({ what }) => what === 'start').length,
    'in containers': runs.filter(({ what, pid }) => what === 'start' && pid === 1).length,
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
