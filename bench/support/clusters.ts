/** Clusters of real nodes, and what a client does with them. Both belong to the benchmark's scope. */
import { randomUUID } from 'node:crypto';

import { watchTask } from '../../src/cli/follow.ts';
import { dialGrpc } from '../../src/cli/grpc-connection.ts';
import { Peers } from '../../src/cli/peers.ts';
import type { Task } from '../../src/generated/cluster.ts';
import { limits } from '../../src/lib/limits.ts';
import { wireFromPlain } from '../../src/spec/wire.ts';
import { TestCluster, type ClusterOptions } from '../../test/support/cluster.ts';
import type { BenchmarkContext } from '../benchmark.ts';
import type { Scope } from '../scope.ts';

/** In one submission, and in one page of a list. */
export const MAX_BATCH = limits.tasksPerSubmission;

/** All nodes are ready. */
export async function startCluster(scope: Scope, options: ClusterOptions): Promise<TestCluster> {
  const cluster = await scope.own({
    start: () => TestCluster.create(options),
    end: (started) => started.dispose(),
    describe: (started) => started.logTails(),
  });
  await cluster.start();
  return cluster;
}

/** What is run, as many times as there are tasks. */
export interface Work {
  readonly command: readonly string[];
  readonly image?: string;
  readonly network?: string;
}

/**
 * As `jarvisctl` is one, with a single peer: where that does not answer for a while, the client tries again, and what is
 * measured is slow. That peer is not the leader where there is another node: two of three clients have drawn such a one.
 */
export class ClusterClient {
  readonly #peers: Peers;

  private constructor(peers: Peers) {
    this.#peers = peers;
  }

  static async connect(
    { scope, say }: Pick<BenchmarkContext, 'scope' | 'say'>,
    cluster: TestCluster,
  ): Promise<ClusterClient> {
    const [follower] = await cluster.followers();
    const { settings } = follower ?? (await cluster.leader());
    return scope.own({
      start: () => {
        const peers = new Peers({
          addresses: [settings.listen],
          dial: dialGrpc,
          onOutage: (message) => say(`client: ${message}`),
        });
        return Promise.resolve(new ClusterClient(peers));
      },
      end: (client) => {
        client.#peers.close();
        return Promise.resolve();
      },
    });
  }

  /**
   * From the submission, in one request, until the client knows that all have completed.
   * @param count at most {@link MAX_BATCH}
   * @returns how long it took, in milliseconds
   * @throws Error where one of them ends in any other way
   */
  async run(work: Work, count: number, signal: AbortSignal): Promise<number> {
    const name = `bench-${randomUUID()}`;
    // A second attempt would hide that the first one failed.
    const spec = wireFromPlain({ ...work, name, retry_policy: { max_attempts: 1 } });
    const request = { tasks: Array.from({ length: count }, () => spec), idempotency_key: name };
    const begunMs = performance.now();
    const { tasks } = await this.#peers.call((peer, inner) => peer.submitTasks(request, inner), signal);
    const last = tasks.at(-1);
    if (last === undefined || tasks.length !== count || last.image !== work.image) {
      throw new Error(
        `${count} tasks were asked for, the answer is ${tasks.length}: ${JSON.stringify(last)}`,
      );
    }
    await this.#untilCompleted(last.id, signal);
    if (count > 1) await this.#untilAllCompleted(name, count, signal);
    return performance.now() - begunMs;
  }

  /**
   * When the last one has completed: asks once which others are left, and watches those. To watch each of them from the
   * beginning would be work of the order of what is measured. They are listed whatever their status, because such a list
   * ends at the last of them; one of open tasks would go on through all that have ever completed.
   */
  async #untilAllCompleted(name: string, count: number, signal: AbortSignal): Promise<void> {
    const query = {
      status: [],
      node: '',
      name,
      label: [],
      batch_id: '',
      dag_id: '',
      limit: count,
      cursor: '',
    };
    const { items } = await this.#peers.call((peer, inner) => peer.listTasks(query, inner), signal);
    if (items.length !== count) throw new Error(`${items.length} of ${count} tasks are listed`);
    const left = items.filter(({ status }) => status !== 'COMPLETED');
    await Promise.all(left.map(({ id }) => this.#untilCompleted(id, signal)));
  }

  async #untilCompleted(id: string, signal: AbortSignal): Promise<void> {
    let last: Task | null = null;
    for await (const task of watchTask(this.#peers, id, signal)) last = task;
    if (last?.status !== 'COMPLETED') throw new Error(`${id} did not complete: ${describeTask(last)}`);
  }
}

function describeTask(task: Task | null): string {
  if (task === null) return 'the watch ended without a word';
  const { status, error } = task;
  return error === undefined ? status : `${status}, ${error.type}: ${error.message}`;
}
