/** Power cuts of one cluster, one after the other, while it is written to; after each all promises are judged. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../src/lib/errors.ts';
import { seededRandom, type Random } from '../../src/lib/random.ts';
import { atOnce } from '../../bench/support/at-once.ts';
import { FINAL_STATUSES, type TaskJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { endProcessesOf } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';
import { cutPower, PowerDisk, type LastWrites } from './disk.ts';
import { faultsOf } from './judge.ts';
import type { PowerOptions } from './options.ts';
import { Writers, type Acknowledged, type Sighting } from './writers.ts';

/** Sparse: a run of twenty cuts writes less. */
const DISK_BYTES = 4 * 1024 ** 3;
/** How long is written before the cut. */
const WRITING_MS: readonly [number, number] = [400, 2500];
/** Between the cut and the end of the processes: what is acknowledged then is held against them as well. */
const DYING_MS: readonly [number, number] = [0, 300];
/** A second cut while the nodes recover from the first, or are up again. */
const RECOVERING_MS: readonly [number, number] = [0, 3000];
/** What is cut, in turn. */
const KINDS = ['all', 'all twice', 'the leader'] as const;
const LEAST_ACKNOWLEDGED = 10;
const FINAL_TIMEOUT_MS = 120_000;
const NODE_END_TIMEOUT_MS = 20_000;
const CALLS_AT_ONCE = 8;

export interface PowerReport {
  readonly cuts: number;
  readonly acknowledged: number;
  /** Breaches of promises, and whatever kept the run from going on. */
  readonly faults: readonly string[];
}

interface Parts {
  readonly cluster: TestCluster;
  /** By node. */
  readonly disks: ReadonlyMap<string, PowerDisk>;
  readonly random: Random;
  readonly acknowledged: Acknowledged[];
  readonly sightings: Map<string, Sighting>;
}

/** Ends early where a round finds fault. Leaves nothing behind, neither mounts nor processes nor files. */
export async function runPowerCuts(
  { seed, count }: PowerOptions,
  say: (message: string) => void,
): Promise<PowerReport> {
  const cluster = await TestCluster.create({
    heartbeat: SHORT_HEARTBEAT,
    dataDirOf: (directory, name) => path.join(directory, 'disks', name, 'disk', 'data'),
  });
  const disks = new Map<string, PowerDisk>();
  const acknowledged: Acknowledged[] = [];
  const parts: Parts = { cluster, disks, random: seededRandom(seed), acknowledged, sightings: new Map() };
  const faults: string[] = [];
  let cuts = 0;
  try {
    mkdirSync(path.join(cluster.directory, 'disks'));
    for (const { name } of cluster.nodes) {
      disks.set(name, await PowerDisk.create(path.join(cluster.directory, 'disks', name), DISK_BYTES));
    }
    await cluster.start();
    while (cuts < count && faults.length === 0) {
      cuts += 1;
      const { what, found } = await oneCut(parts, cuts);
      faults.push(...found);
      say(`cut ${cuts}/${count}: ${what}`);
    }
  } catch (error) {
    faults.push(`cut ${cuts}: ${messageOf(error)}\n${cluster.logTails()}`);
  } finally {
    await endProcessesOf(cluster.directory);
    for (const disk of disks.values())
      await disk.unmount().catch((error: unknown) => faults.push(messageOf(error)));
    await cluster.dispose();
  }
  return { cuts, acknowledged: acknowledged.length, faults };
}

async function oneCut(parts: Parts, round: number): Promise<{ what: string; found: readonly string[] }> {
  const { cluster, random, acknowledged, sightings } = parts;
  const logsBefore = cluster.nodes.map((node) => node.log().length);
  const writers = new Writers(cluster, round, Math.floor(random() * 2 ** 32));
  await writers.progress(LEAST_ACKNOWLEDGED);
  await delay(between(WRITING_MS, random()));
  const before = writers.acknowledged.length;
  const kind = KINDS[(round - 1) % KINDS.length] ?? 'all';
  const last = random() < 0.5 ? 'nothing' : 'journal';
  if (kind === 'the leader') await cutLeader(parts, writers, last);
  else await cutAll(parts, last);
  if (kind === 'all twice') {
    await delay(between(RECOVERING_MS, random()));
    await cutAll(parts, last);
  }
  const begunMs = performance.now();
  await cluster.ready();
  await writers.progress(1);
  const readyMs = Math.round(performance.now() - begunMs);
  await writers.stop();
  acknowledged.push(...writers.acknowledged);
  for (const [id, sighting] of writers.sightings) sightings.set(id, sighting);
  const found = await judgeRound(parts, writers.acknowledged);
  const torn = cluster.nodes.filter((node, at) => node.log().slice(logsBefore[at]).includes('torn tail'));
  const what =
    `${kind}, with ${last} of the unsynced: ${before} acknowledged before it, ${writers.acknowledged.length - before} after; ` +
    `torn tails: ${torn.map(({ name }) => name).join(', ') || 'none'}; ready and acknowledging after ${readyMs} ms`;
  return { what, found };
}

/** All disks at once. What the nodes, which run on for a moment, acknowledge without a disk is held against them. */
async function cutAll({ cluster, disks, random }: Parts, last: LastWrites): Promise<void> {
  await cutPower([...disks.values()], last);
  await delay(between(DYING_MS, random()));
  await endProcessesOf(cluster.directory);
  for (const disk of disks.values()) await disk.powerCycle();
  for (const node of cluster.nodes) {
    await node.ended;
    node.start();
  }
}

/** The others go on; the leader has to notice and to end by itself, and comes back with what its disk kept. */
async function cutLeader({ cluster, disks }: Parts, writers: Writers, last: LastWrites): Promise<void> {
  const leader = await cluster.leader();
  const disk = disks.get(leader.name);
  if (disk === undefined) throw new Error(`${leader.name} has no disk`);
  const logBefore = leader.log().length;
  await cutPower([disk], last);
  await writers.progress(LEAST_ACKNOWLEDGED);
  await waitFor(`the end of ${leader.name}, whose disk fails`, () => !leader.isRunning, {
    timeoutMs: NODE_END_TIMEOUT_MS,
  });
  const { code, signal } = await leader.ended;
  if (code === null || code === 0) throw new Error(`${leader.name} ended with ${signal ?? code}`);
  const says = leader.log().slice(logBefore).includes('the log cannot be written');
  if (!says) throw new Error(`${leader.name} ended without a word about its log`);
  // Its watchdog and tasks.
  await endProcessesOf(disk.mountPoint);
  await disk.powerCycle();
  leader.start();
}

/** Once all tasks are over: what each node shows, and what it answers to a request that was acknowledged before. */
async function judgeRound(parts: Parts, ofRound: readonly Acknowledged[]): Promise<readonly string[]> {
  const { cluster, acknowledged, sightings } = parts;
  const large = ofRound.filter(({ size }) => size === 'large').map(({ id }) => id);
  await waitFor(
    'all tasks are over',
    async () => (await look(cluster.api(), large)).every(({ status }) => FINAL_STATUSES.has(status)),
    { timeoutMs: FINAL_TIMEOUT_MS, intervalMs: 200 },
  ).catch(() => undefined);
  const shown = new Map<string, readonly TaskJson[]>();
  for (const { name, api } of cluster.nodes) shown.set(name, await look(api, large));
  const faults = [...faultsOf({ acknowledged, sightings, shown, looked: new Set(large) })];
  await each(ofRound, async ({ key, id, spec }, at) => {
    const node = cluster.nodes[at % cluster.nodes.length] ?? cluster.nodes[0];
    const again = await node?.api.submit(spec, { key });
    if (again?.id !== id) faults.push(`${key}: acknowledged as ${id}, and asked again as ${again?.id}`);
  });
  return faults;
}

/** All small tasks, and those of the large ones; what is missing is missing here as well. */
async function look(
  api: TestCluster['nodes'][number]['api'],
  large: readonly string[],
): Promise<readonly TaskJson[]> {
  const tasks = [...(await api.tasks('&label=size%3Dsmall'))];
  await each(large, async (id) => {
    const { status, text } = await api.call('GET', `/tasks/${id}`, null);
    if (status === 200) tasks.push(JSON.parse(text) as TaskJson);
    else if (status !== 404) throw new Error(`GET /tasks/${id} on ${api.name}: ${status} ${text}`);
  });
  return tasks;
}

async function each<T>(items: readonly T[], work: (item: T, at: number) => Promise<void>): Promise<void> {
  const signal = new AbortController().signal;
  await atOnce({ count: items.length, width: CALLS_AT_ONCE, signal }, async (at) => {
    const item = items[at];
    if (item !== undefined) await work(item, at);
  });
}

function between([least, most]: readonly [number, number], drawn: number): number {
  return least + drawn * (most - least);
}
