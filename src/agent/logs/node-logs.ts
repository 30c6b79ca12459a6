/** All that a node does with the output of tasks once it is on disk: read it, keep it for its time, take and hand over. */
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { ChannelPool } from '../../rpc/channel.ts';
import type { Service } from '../../rpc/server.ts';
import { AttemptLogs } from '../local-logs.ts';
import { handOverPeers, handOverService } from './hand-over-service.ts';
import { LogHandOver } from './log-hand-over.ts';
import { LogReceiver } from './log-receiver.ts';
import { LogKeeper } from './log-keeper.ts';
import type { LogsCluster } from './logs-cluster.ts';

export interface NodeLogsOptions {
  readonly dataDirectory: string;
  readonly clusterId: string;
  /** Of the data directory. */
  readonly incarnation: string;
  /** Some attempts write nothing at all: those of the driver that is for tests. */
  readonly mayBeSilent: boolean;
  readonly cluster: LogsCluster;
  readonly pool: ChannelPool;
  readonly clock: Clock;
  readonly log: Log;
}

export class NodeLogs {
  /** Of the attempts whose output this node has. */
  readonly local: AttemptLogs;
  /** For a drain: to be run when nothing runs here any more, and while the cluster can still be reached. */
  readonly handOver: LogHandOver;
  readonly service: Service;
  readonly #keeper: LogKeeper;
  readonly #receiver: LogReceiver;

  constructor(options: NodeLogsOptions) {
    const { dataDirectory, clusterId, cluster, clock, log } = options;
    this.#keeper = new LogKeeper({
      dataDirectory,
      retention: () => cluster.logRetention(),
      clock,
      log,
    });
    this.local = new AttemptLogs({
      dataDirectory,
      whyGone: (endedAtMs) => (options.mayBeSilent ? null : this.#keeper.whyGone(endedAtMs)),
    });
    this.#receiver = new LogReceiver({ dataDirectory, clusterId, room: this.#keeper });
    const peers = handOverPeers(options);
    this.handOver = new LogHandOver({ dataDirectory, clusterId, peers, clock, random: Math.random, log });
    this.service = handOverService({
      clusterId,
      receiver: this.#receiver,
      handOver: this.handOver,
      cluster,
      log,
    });
  }

  /** All the output that is kept here, as of the last look; null before the first. */
  get keptBytes(): number | null {
    return this.#keeper.keptBytes;
  }

  async start(): Promise<void> {
    await this.#receiver.clear();
    await this.#keeper.start();
  }

  async close(): Promise<void> {
    await this.#keeper.close();
  }
}
