/**
 * A task that writes 100 MB/s for a minute: how much of that its node takes, how late heartbeats come meanwhile, how much disk
 * it costs. Held against what was asked for, or what it should be at most. That the end of the output is right is a condition.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { DEFAULT_LOG_LIMITS } from '../../src/agent/watchdog/limits.ts';
import type { NodeJson, TaskJson } from '../../test/support/api.ts';
import { FINAL_STATUSES } from '../../test/support/api.ts';
import type { TestCluster } from '../../test/support/cluster.ts';
import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { resultOf } from '../compare.ts';
import { rounded } from '../statistics.ts';
import { startCluster } from '../support/clusters.ts';

const NODES = 3;
const ROUNDS = 1;
const SECONDS = { full: 60, quick: 10 };
const RATE_MB = 100;
const BYTES_PER_MB = 1e6;
const CHUNK_BYTES = 1_000_000;
/** Two of the product's intervals: one beat may be lost. */
const HEARTBEAT_AIM_MS = 4000;
/** Beside the files of the log, while the oldest is being dropped. */
const DISK_AIM_MB = ((DEFAULT_LOG_LIMITS.maxFiles + 1) * DEFAULT_LOG_LIMITS.maxFileBytes) / BYTES_PER_MB;
const LOOK_MS = 100;

export const outputBenchmark: Benchmark = {
  name: 'output',
  description: `a task that writes ${RATE_MB} MB/s: rate, heartbeats, disk; ceiling: what was asked for, and the aims`,
  peers: [],
  obstacle: () => (process.platform === 'linux' ? null : `Jarvis runs on Linux, this is ${process.platform}`),
  run,
};

/** Writes numbered pieces at the rate, or as fast as they are taken where that is slower. */
const WRITER = `
const { writeSync } = require('node:fs');
const [count, bytes, periodMs] = process.argv.slice(1).map(Number);
const sleeper = new Int32Array(new SharedArrayBuffer(4));
const begunMs = performance.now();
const filler = ('x'.repeat(99) + '\\n').repeat(bytes / 100);
for (let at = 0; at < count; at += 1) {
  const waitMs = begunMs + at * periodMs - performance.now();
  if (waitMs > 0) Atomics.wait(sleeper, 0, 0, waitMs);
  const piece = Buffer.from(String(at).padStart(99, '0') + '\\n' + filler.slice(100));
  for (let sent = 0; sent < bytes; ) sent += writeSync(1, piece, sent);
}
console.log('end of ' + count);
`;

interface Seen {
  readonly gapMs: number;
  readonly diskBytes: number;
  readonly task: TaskJson;
}

async function run(context: BenchmarkContext): Promise<readonly Result[]> {
  const { scope, say, isQuick } = context;
  const cluster = await startCluster(scope, { nodes: NODES });
  const rates: number[] = [];
  const gaps: number[] = [];
  const disks: number[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    const count = ((isQuick ? SECONDS.quick : SECONDS.full) * RATE_MB * BYTES_PER_MB) / CHUNK_BYTES;
    const { gapMs, diskBytes, task } = await measure(cluster, count, scope.signal);
    const tookMs = Date.parse(task.finished_at ?? '') - Date.parse(task.attempts[0]?.started_at ?? '');
    rates.push((count * CHUNK_BYTES) / BYTES_PER_MB / (tookMs / 1000));
    gaps.push(gapMs);
    disks.push(diskBytes / BYTES_PER_MB);
    await checkEnd(cluster, task, count);
    const figures = [rates.at(-1), gapMs, disks.at(-1)].map((figure) => rounded(figure ?? 0));
    say(`output: ${figures[0]} MB/s, longest between two heartbeats ${figures[1]} ms, disk ${figures[2]} MB`);
  }
  const aims = (aim: number): readonly number[] => rates.map(() => aim);
  return [
    resultOf({ name: 'output rate', unit: 'MB/s', better: 'higher', goal: 0.95 }, rates, aims(RATE_MB)),
    resultOf(
      { name: 'output heartbeats', unit: 'ms', better: 'lower', goal: 1 },
      gaps,
      aims(HEARTBEAT_AIM_MS),
    ),
    resultOf({ name: 'output disk', unit: 'MB', better: 'lower', goal: 1 }, disks, aims(DISK_AIM_MB)),
  ];
}

async function measure(cluster: TestCluster, count: number, signal: AbortSignal): Promise<Seen> {
  const periodMs = (CHUNK_BYTES / BYTES_PER_MB / RATE_MB) * 1000;
  const { term } = await cluster.api().cluster();
  const { id } = await cluster.api().submit({
    command: [process.execPath, '-e', WRITER, String(count), String(CHUNK_BYTES), String(periodMs)],
    retry_policy: { max_attempts: 1 },
  });
  let diskBytes = 0;
  let gapMs = 0;
  const beats = new Map<string, number>();
  for (;;) {
    signal.throwIfAborted();
    const task = await cluster.api().task(id);
    for (const node of await cluster.api().nodes()) gapMs = Math.max(gapMs, gapOf(node, beats));
    if (task.node !== null) diskBytes = Math.max(diskBytes, bytesBelow(directoryOf(cluster, task)));
    if (FINAL_STATUSES.has(task.status)) {
      const after = await cluster.api().cluster();
      if (after.term !== term)
        throw new Error(`another leader was elected: term ${term} became ${after.term}`);
      if (task.status !== 'COMPLETED')
        throw new Error(`the writer is ${task.status}: ${JSON.stringify(task.attempts)}`);
      return { gapMs, diskBytes, task };
    }
    await delay(LOOK_MS, undefined, { signal });
  }
}

/** Between the newest two of its heartbeats that were seen. */
function gapOf({ name, status, last_heartbeat_at: time }: NodeJson, beats: Map<string, number>): number {
  if (status !== 'AVAILABLE') throw new Error(`${name} is ${status}`);
  const atMs = Date.parse(time ?? '');
  const beforeMs = beats.get(name) ?? atMs;
  beats.set(name, atMs);
  return atMs - beforeMs;
}

function directoryOf(cluster: TestCluster, { id, node }: TaskJson): string {
  return path.join(cluster.node(node ?? '').settings.dataDir, 'tasks', id);
}

function bytesBelow(directory: string): number {
  // Not before the attempt begins.
  if (!existsSync(directory)) return 0;
  let bytes = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    // A file of the log may be dropped in between.
    bytes += statSync(path.join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

/** @throws Error where the last lines are not those that were written last */
async function checkEnd(cluster: TestCluster, { id, attempts }: TaskJson, count: number): Promise<void> {
  const pieceLines = CHUNK_BYTES / 100;
  const { stdout } = await cluster.cli(['logs', id, '--tail', String(pieceLines + 1)]);
  const lines = stdout.split('\n');
  const first = String(count - 1).padStart(99, '0');
  if (lines[0] !== first || lines.at(-2) !== `end of ${count}` || lines.length !== pieceLines + 2)
    throw new Error(
      `the end of the output of ${JSON.stringify(attempts)} is wrong: it begins with ${lines[0]}`,
    );
}
