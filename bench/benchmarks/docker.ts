/** How fast the cluster gets containers done, many and single ones, against the engine alone. */
import { startDockerBed, IMAGES, type DockerBed } from '../../test/support/docker-bed/docker-bed.ts';
import { bedObstacle } from '../../test/support/docker-bed/programs.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { compare } from '../compare.ts';
import { median } from '../statistics.ts';
import { AttemptGroups } from '../support/attempt-groups.ts';
import { BareContainers } from '../support/bare-containers.ts';
import { ClusterClient, startCluster, type Work } from '../support/clusters.ts';

const CONTAINERS = { full: 100, quick: 30 };
const RATE_ROUNDS = { full: 5, quick: 2 };
/** More do not make the engine any faster. */
const CONTAINERS_AT_ONCE = 8;
const RATE_GOAL = 0.9;
const LATENCY_ROUNDS = { full: 7, quick: 3 };
/** Of one round, one after the other. */
const SINGLES = { full: 5, quick: 3 };
/** At most 15 % above the engine's own time. */
const LATENCY_GOAL = 1 / 1.15;
const SETTLE_TIMEOUT_MS = 30_000;

export const dockerBenchmark: Benchmark = {
  name: 'docker',
  description: 'containers that do nothing: many on three nodes, single ones on one; ceiling: bare dockerode',
  peers: [],
  obstacle: bedObstacle,
  run,
};

async function run(context: BenchmarkContext): Promise<readonly Result[]> {
  const { scope, say } = context;
  say('docker: starting an engine of its own …');
  const groups = await AttemptGroups.own(scope);
  const bed = await scope.own({
    start: () => startDockerBed(),
    end: (started) => started.stop(),
    describe: ({ engine }) => `--- the end of the log of dockerd\n${engine.logTail()}\n`,
  });
  const image = bed.openRegistry.reference(IMAGES.hello);
  await bed.engine.api.pull(image);
  const bare = new BareContainers(bed.engine.socketPath, image);
  const on = (nodes: number, body: (parts: Parts) => Promise<readonly Result[]>) =>
    scope.nested(async (inner) => {
      const env = { DOCKER_HOST: bed.dockerHost };
      const cluster = await startCluster(inner, { nodes, drivers: 'process,docker', env });
      groups.add(cluster);
      const client = await ClusterClient.connect({ scope: inner, say }, cluster);
      return body({ context, bed, image, bare, client });
    });
  return [...(await on(3, compareRates)), ...(await on(1, compareLatencies))];
}

interface Parts {
  readonly context: BenchmarkContext;
  readonly bed: DockerBed;
  readonly image: string;
  readonly bare: BareContainers;
  readonly client: ClusterClient;
}

function compareRates(parts: Parts): Promise<readonly Result[]> {
  const { context, bed, bare, client } = parts;
  const count = context.isQuick ? CONTAINERS.quick : CONTAINERS.full;
  return compare(context, {
    name: 'docker',
    unit: 'containers/s',
    better: 'higher',
    rounds: context.isQuick ? RATE_ROUNDS.quick : RATE_ROUNDS.full,
    goal: RATE_GOAL,
    ours: async (signal) => (count * 1000) / (await client.run(workOf(parts), count, signal)),
    ceiling: {
      label: 'bare',
      measure: async (signal) => (count * 1000) / (await bare.run(count, CONTAINERS_AT_ONCE, signal)),
    },
    settle: () => emptyEngine(bed),
  });
}

function compareLatencies(parts: Parts): Promise<readonly Result[]> {
  const { context, bed, bare, client } = parts;
  const count = context.isQuick ? SINGLES.quick : SINGLES.full;
  return compare(context, {
    name: 'docker latency',
    unit: 'ms',
    better: 'lower',
    rounds: context.isQuick ? LATENCY_ROUNDS.quick : LATENCY_ROUNDS.full,
    goal: LATENCY_GOAL,
    ours: (signal) => medianMs({ count, signal, bed }, () => client.run(workOf(parts), 1, signal)),
    ceiling: {
      label: 'bare',
      measure: (signal) => medianMs({ count, signal, bed }, () => bare.run(1, 1, signal)),
    },
  });
}

/** One after the other, each on an engine that does nothing else. */
async function medianMs(
  { count, signal, bed }: { readonly count: number; readonly signal: AbortSignal; readonly bed: DockerBed },
  once: () => Promise<number>,
): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < count; at += 1) {
    signal.throwIfAborted();
    await emptyEngine(bed);
    times.push(await once());
  }
  return median(times);
}

/** As the bare ones are. */
function workOf({ image }: Parts): Work {
  return { image, command: ['true'], network: 'none' };
}

/** What the cluster removes after a task has completed would else be work for the other side. */
async function emptyEngine({ engine }: DockerBed): Promise<void> {
  await waitFor('the last containers to be removed', async () => (await engine.api.list()).length === 0, {
    timeoutMs: SETTLE_TIMEOUT_MS,
    intervalMs: 20,
  });
}
