/**
 * The composition root: makes the parts of a node, in the order in which they need each other, and closes them in the
 * opposite one. It listens from the beginning, also while the cluster forms, and says so to whoever calls.
 */
import type { JoinReply, JoinRequest } from '../generated/raft.ts';
import { systemClock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { LogLevels } from '../lib/log-levels.ts';
import type { Caller, Readiness } from '../operations/port.ts';
import { openDataDirectory, type DataDirectory } from '../raft/data-directory.ts';
import { ClusterFormation } from '../raft/form-cluster.ts';
import { RaftPeerService } from '../raft/transport/raft-service.ts';
import { ChannelPool } from '../rpc/channel.ts';
import { unaryHandler } from '../rpc/handlers.ts';
import { Closers } from './closers.ts';
import type { NodeConfig } from './config.ts';
import { CopylessNode } from './copyless/copyless-node.ts';
import { DiskErrors } from './disk-errors.ts';
import { enterCluster } from './enter-cluster.ts';
import { foundingText } from './founding-text.ts';
import { Guarding } from './guarding.ts';
import { listen } from './listeners.ts';
import { MemberNode } from './member-node.ts';
import { memberServices } from './member-services.ts';
import { NodeMetrics } from './node-metrics.ts';
import type { NodeParts } from './node-parts.ts';
import type { Entered, NodeRole } from './node-role.ts';
import type { NodeSecurity } from './node-security.ts';
import { StartingOperations } from './starting-operations.ts';

export class Daemon {
  readonly #logLevels: LogLevels;
  readonly #closers: Closers;
  readonly #diskErrors = new DiskErrors(systemClock);
  readonly #guarding: Guarding;
  readonly #parts: NodeParts;
  readonly #failed = Promise.withResolvers<never>();
  /** Null until it is part of a cluster. */
  #role: NodeRole | null = null;
  /** To its being ready, in a sentence, whatever its role may say. */
  #obstacle: string | null = 'the node is starting';

  constructor(options: {
    config: NodeConfig;
    security: NodeSecurity;
    log: Log;
    logLevels: LogLevels;
    version: string;
  }) {
    const { config, security, version, log, logLevels } = options;
    this.#logLevels = logLevels;
    this.#closers = new Closers(log);
    const parts = { clock: systemClock, log };
    this.#guarding = new Guarding({ config, ...parts });
    this.#parts = {
      config,
      security,
      version,
      ...parts,
      metrics: new NodeMetrics({ name: config.name, version, tls: security.tls, ...parts }),
      closing: (name, close) => this.#closers.add(name, close),
    };
    // `run` hears of a failure; one before or after it has a listener too, so that none counts as unhandled.
    this.#failed.promise.catch(() => {});
  }

  /** Runs the node until the signal is aborted. @throws whatever keeps it from running, or ends it */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#start(signal);
    } catch (error) {
      if (signal.aborted) return;
      this.#diskErrors.note(error);
      this.#role?.sayLastWords();
      throw error;
    }
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      await Promise.race([stopped, this.#failed.promise]);
    } catch (error) {
      this.#role?.sayLastWords();
      throw error;
    }
  }

  /** Of the members but for this node, as it last knew them; none where it is no member. */
  get memberAddresses(): readonly string[] {
    return this.#role?.memberAddresses ?? [];
  }

  /** Before a stop, where the settings say so. Resolves at once while it is starting. */
  async drain(signal: AbortSignal): Promise<void> {
    if (this.#role === null) return;
    this.#obstacle = 'the node drains itself before it stops';
    await this.#role.drain(signal);
  }

  /** Closes everything, the newest first; what fails to is logged. */
  async close(): Promise<void> {
    this.#obstacle = 'the node is stopping';
    await this.#closers.close();
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { config, security, clock, log, metrics } = this.#parts;
    const directory = await openDataDirectory(config.dataDir, { name: config.name });
    this.#closers.add('data directory', () => directory.close());
    const formation = this.#formation(directory);
    const peerService = new RaftPeerService({
      formation,
      join: unaryHandler((request, { caller }) => this.#admit(request, caller), log),
      log,
    });
    const services = memberServices(security.tls !== null);
    const operations = new StartingOperations();
    // Closed after the servers: what they are still answering may have been sent on.
    const pool = new ChannelPool(security.channels);
    this.#closers.add('channels', async () => {
      await this.#role?.said;
      pool.close();
    });
    this.#closers.add('metrics', () => metrics.close());
    this.#closers.add('guard', () => this.#guarding.close());
    const { http, rpc } = await listen({
      config,
      security,
      operations,
      services: [peerService, ...Object.values(services).map(({ service }) => service)],
      guarding: this.#guarding,
      readiness: () => this.#readiness(),
      metrics,
      closing: this.#parts.closing,
      clock,
      log,
    });

    const cluster =
      directory.identity.cluster ??
      (await enterCluster({
        config,
        directory,
        formation,
        pool,
        clock,
        signal,
        log,
        onWaiting: (reason) => {
          this.#obstacle = reason;
        },
      }));
    const entered: Entered = {
      directory,
      cluster,
      formation,
      pool,
      peerService,
      services,
      operations,
      http,
      rpc,
      guarding: this.#guarding,
      diskErrors: this.#diskErrors,
      logLevels: this.#logLevels,
      signal,
      onFailure: (error) => this.#fail(error),
    };
    const isMember = directory.identity.withoutCopy === undefined;
    const role = isMember ? new MemberNode(this.#parts, entered) : new CopylessNode(this.#parts, entered);
    this.#role = role;
    this.#obstacle = null;
    await role.serve();
  }

  #readiness(): Readiness {
    if (this.#obstacle !== null) return { ready: false, reason: this.#obstacle };
    return this.#role?.readiness() ?? { ready: false, reason: 'the node is starting' };
  }

  #formation(directory: DataDirectory): ClusterFormation {
    const { name, peers, cluster } = this.#parts.config;
    const { incarnation } = directory.identity;
    const self = { name, incarnation, peers, config: foundingText(cluster) };
    return new ClusterFormation({ self, formed: directory.identity.cluster, log: this.#parts.log });
  }

  async #admit(request: JoinRequest, caller: Caller | undefined): Promise<JoinReply> {
    if (this.#role === null) throw new JarvisError('unavailable', 'this node is not part of a cluster yet');
    return this.#role.admit(request, caller);
  }

  #fail(error: unknown): void {
    this.#diskErrors.note(error);
    this.#role?.halt();
    this.#failed.reject(error instanceof Error ? error : new Error(messageOf(error)));
  }
}
