/**
 * Durable submits: acknowledged means synced by a majority. Ours against a process that syncs and answers the same
 * calls alone, and beside etcd. Nothing of what is submitted runs: each node is full with one task.
 */
import { randomUUID } from 'node:crypto';

import { ClusterService, type SubmitTasksRequest } from '../../src/generated/cluster.ts';
import { wireFromPlain } from '../../src/spec/wire.ts';
import type { TestCluster } from '../../test/support/cluster.ts';
import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { compare } from '../compare.ts';
import type { Scope } from '../scope.ts';
import { BARE_LOG, BARE_LOG_STREAM, startBareLog } from '../support/bare-log.ts';
import { Callers, type RatedCallers } from '../support/callers.ts';
import { startCluster } from '../support/clusters.ts';
import { StreamCallers } from '../support/stream-callers.ts';
import { ETCD_PUT, ETCD_PUTS, etcdObstacle, startEtcd } from '../support/etcd.ts';

const ETCD = 'etcd';
const NODES = 3;
const ROUNDS = { full: 7, quick: 3 };
const QUICK_SHARE = 0.25;

/** One way to write; `calls` of a round, so that it takes a few seconds. */
interface Shape {
  readonly name: string;
  readonly clients: number;
  readonly connections: number;
  /** All over one stream: answered in order, and sent on without waiting. */
  readonly isStream?: boolean;
  /** Tasks in a call. */
  readonly batch: number;
  readonly calls: number;
  readonly goal: number;
}

const SHAPES: readonly Shape[] = [
  { name: 'commit 64', clients: 64, connections: 64, batch: 1, calls: 12_000, goal: 0.5 },
  { name: 'commit 256', clients: 256, connections: 256, batch: 1, calls: 12_000, goal: 0.5 },
  { name: 'commit pipelined', clients: 1000, connections: 1, batch: 1, calls: 16_000, goal: 0.5 },
  {
    name: 'commit stream',
    clients: 1000,
    connections: 1,
    isStream: true,
    batch: 1,
    calls: 30_000,
    goal: 0.5,
  },
  { name: 'commit batches', clients: 16, connections: 1, batch: 100, calls: 200, goal: 0.15 },
];

export const commitBenchmark: Benchmark = {
  name: 'commit',
  description: 'durable submits, one by one and in batches; ceiling: a bare process that syncs and answers',
  peers: [ETCD],
  obstacle: (peer) => {
    if (process.platform !== 'linux') return `Jarvis runs on Linux, this is ${process.platform}`;
    return peer === ETCD ? etcdObstacle() : null;
  },
  run,
};

async function run(context: BenchmarkContext): Promise<readonly Result[]> {
  const { scope, peer } = context;
  const results: Result[] = [];
  for (const shape of SHAPES) {
    // Anew each time: else the later ones would bear the state of those before them.
    const rows = await scope.nested(async (inner) => {
      const ours = await fullCluster(inner);
      const bare = await startBareLog(inner);
      const etcd = peer === ETCD ? await startEtcd(inner) : null;
      return measure(context, shape, { scope: inner, ours, bare, etcd });
    });
    results.push(...rows);
  }
  return results;
}

interface Addresses {
  readonly scope: Scope;
  readonly ours: string;
  readonly bare: string;
  readonly etcd: string | null;
}

async function measure(
  context: BenchmarkContext,
  shape: Shape,
  addresses: Addresses,
): Promise<readonly Result[]> {
  const { isQuick } = context;
  const { scope, etcd } = addresses;
  const { name, clients, batch, goal } = shape;
  const calls = isQuick ? Math.ceil(shape.calls * QUICK_SHARE) : shape.calls;
  const load = { calls, clients };
  const spec = wireFromPlain({ name: 'bench', command: ['true'] });
  const tasks = Array.from({ length: batch }, () => spec);
  const request = (): SubmitTasksRequest => ({ tasks, idempotency_key: randomUUID() });
  const bytes = ClusterService.submitTasks.requestSerialize(request());
  const { ours, bare } = await callersOf(shape, addresses);
  const peer =
    etcd === null ? null : await etcdRate(scope, { address: etcd, shape, calls, bytes: bytes.byteLength });
  const check = (made: number): void => {
    if (made !== batch) throw new Error(`${made} tasks instead of ${batch}`);
  };
  return compare(context, {
    name,
    unit: 'tasks/s',
    better: 'higher',
    rounds: isQuick ? ROUNDS.quick : ROUNDS.full,
    goal,
    ours: async (signal) => batch * (await ours.rate({ ...load, request, check }, signal)),
    ceiling: {
      label: 'bare',
      measure: async (signal) =>
        batch * (await bare.rate({ ...load, request: () => bytes, check: () => undefined }, signal)),
    },
    ...(peer === null
      ? {}
      : { peer: { label: ETCD, measure: async (signal) => batch * (await peer(signal)) } }),
  });
}

/** How many tasks a request made. */
type Submitters = RatedCallers<SubmitTasksRequest, number>;

async function callersOf(
  { connections, isStream = false }: Shape,
  { scope, ours, bare }: Addresses,
): Promise<{ readonly ours: Submitters; readonly bare: RatedCallers<Buffer, Buffer> }> {
  const { submitTasks, streamSubmits } = ClusterService;
  if (!isStream) {
    const responseDeserialize = (bytes: Buffer): number =>
      submitTasks.responseDeserialize(bytes).tasks.length;
    const method = { ...submitTasks, responseDeserialize };
    return {
      ours: await Callers.own(scope, { address: ours, method, connections }),
      bare: await Callers.own(scope, { address: bare, method: BARE_LOG, connections }),
    };
  }
  const responseDeserialize = (bytes: Buffer): number =>
    streamSubmits.responseDeserialize(bytes).task_ids.length;
  return {
    ours: await StreamCallers.own(scope, {
      address: ours,
      method: { ...streamSubmits, responseDeserialize },
    }),
    bare: await StreamCallers.own(scope, { address: bare, method: BARE_LOG_STREAM }),
  };
}

/** A value of as many bytes as a submit of ours has; a batch is one transaction. @returns calls per second */
async function etcdRate(
  scope: Scope,
  options: {
    readonly address: string;
    readonly shape: Shape;
    readonly calls: number;
    readonly bytes: number;
  },
): Promise<(signal: AbortSignal) => Promise<number>> {
  const { address, shape, calls, bytes } = options;
  const { clients, connections, batch } = shape;
  const value = 'x'.repeat(Math.ceil(bytes / batch));
  const put = () => ({ key: randomUUID(), value });
  const load = { calls, clients, check: () => undefined };
  if (batch === 1) {
    const callers = await Callers.own(scope, { address, method: ETCD_PUT, connections });
    return (signal) => callers.rate({ ...load, request: put }, signal);
  }
  const callers = await Callers.own(scope, { address, method: ETCD_PUTS, connections });
  return (signal) => callers.rate({ ...load, request: () => Array.from({ length: batch }, put) }, signal);
}

/** @returns the leader's address, once every node is full */
async function fullCluster(scope: Scope): Promise<string> {
  const cluster = await startCluster(scope, { nodes: NODES, drivers: 'noop', capacity: 'cpu=1,memory=1Gi' });
  await fill(cluster);
  const leader = await cluster.leader();
  return leader.settings.listen;
}

async function fill(cluster: TestCluster): Promise<void> {
  for (let at = 0; at < NODES; at += 1) {
    const { id } = await cluster.api().submit({ command: ['noop', '86399s'], resources: { cpu: '1' } });
    await cluster.task(id, ({ status }) => status === 'RUNNING');
  }
}
