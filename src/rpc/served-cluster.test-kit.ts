/** For tests: three nodes in this process, with real gRPC between them and to clients. */
import { ClusterService } from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import type { RoutingOperations } from '../operations/router.ts';
import { ChannelPool } from './channel.ts';
import { clusterService, nodeLogsService } from './cluster-service.ts';
import { healthService } from './health-service.ts';
import { createRemotes } from './remotes.ts';
import type { RpcServer } from './server.ts';
import { createServer } from './server.ts';

export class ServedCluster {
  readonly cluster = new TestCluster(['n1', 'n2', 'n3']);
  readonly operations = new Map<string, RoutingOperations>();
  readonly #servers = new Map<string, RpcServer>();
  readonly #closers: (() => void)[] = [];

  private constructor() {}

  /** The first of n1, n2 and n3 leads. The log of every attempt says `from` and the name of its node. */
  static async start(): Promise<ServedCluster> {
    const served = new ServedCluster();
    for (const name of ['n1', 'n2', 'n3']) await served.#serve(name);
    served.cluster.lead('n1');
    return served;
  }

  async #serve(name: string): Promise<void> {
    const pool = new ChannelPool();
    const localLogs = {
      async *read(): AsyncGenerator<LogChunk> {
        yield { stream: 'stdout', at_ms: 1, data: Buffer.from(`from ${name}`) };
      },
    };
    const remotes = createRemotes(pool);
    const own = testOperations(this.cluster, name, { remotes, localLogs });
    const health = healthService({
      readiness: () => ({ ready: this.cluster.leader !== null, reason: '' }),
      services: [ClusterService],
      clock: systemClock,
      log: silentLog,
    });
    const services = [clusterService(own, silentLog), nodeLogsService(localLogs, silentLog), health];
    const server = await createServer({ listen: '127.0.0.1:0', services });
    this.cluster.register(name, server.address);
    this.#servers.set(name, server);
    this.operations.set(name, own);
    this.#closers.push(() => {
      remotes.close();
      pool.close();
    });
  }

  /** Of a node, `host:port`. */
  address(name: string): string {
    const server = this.#servers.get(name);
    if (server === undefined) throw new Error(`no node ${name}`);
    return server.address;
  }

  async stop(name: string): Promise<void> {
    await this.#servers.get(name)?.close(0);
  }

  async close(): Promise<void> {
    for (const close of this.#closers) close();
    await Promise.all([...this.#servers.values()].map((server) => server.close(0)));
  }
}
