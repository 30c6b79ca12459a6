/**
 * What a node is told at its start. Everything is checked before anything is done; the result is complete, with every
 * default filled in.
 */
import path from 'node:path';

import { splitAddress } from '../lib/address.ts';
import type { Fault } from '../lib/errors.ts';
import type { LogLevelName } from '../lib/log.ts';
import type { TlsFiles } from '../lib/tls-files.ts';
import type { Pairs } from '../model/task.ts';
import type { PeerAddress } from '../raft/bootstrap.ts';
import type { AllSettings, StatedSettings } from '../spec/settings/settings.ts';
import { parseClusterConfig } from './cluster-config.ts';
import { faultsOf, invalidConfig } from './config-faults.ts';
import { rawSchema, type DriverChoice, type RawConfig } from './config-schema.ts';
import {
  checkSelf,
  parseDrivers,
  parseJoin,
  parseLabels,
  parsePeers,
  parseResources,
} from './config-values.ts';
import type { DockerPolicy } from './drivers/docker/options.ts';
import { tlsOfCluster } from './enrolment/enrolled-files.ts';
import { parseJoinCredentials, type JoinCredentials } from './join-credentials.ts';
import { checkLoopback, parseTls } from './tls-config.ts';

export interface NodeConfig extends JoinCredentials {
  readonly name: string;
  readonly dataDir: string;
  /** host:port of gRPC. */
  readonly listen: string;
  /** host:port under which others reach `listen`. */
  readonly advertise: string;
  /** host:port of HTTP. */
  readonly http: string;
  /** Founders of a new cluster; empty where `join` is not. */
  readonly peers: readonly PeerAddress[];
  /** host:port of members of a running cluster. */
  readonly join: readonly string[];
  readonly labels: Pairs;
  /** Null: measured, less `reserve`. */
  readonly capacity: { readonly cpuMillis: number | null; readonly memoryBytes: number | null };
  readonly reserve: { readonly cpuMillis: number; readonly memoryBytes: number };
  /** Null: process, and docker where an engine answers. */
  readonly drivers: readonly DriverChoice[] | null;
  /** What tasks may use here. */
  readonly policy: DockerPolicy;
  /** Reads trust the clock for less than an election timeout (docs/raft.md). */
  readonly leaseReads: boolean;
  /** The lease that is asked for at a stop, for the tasks that run on without the daemon; 0: none. */
  readonly restartGraceMs: number;
  /** At SIGTERM it drains itself first. */
  readonly drainOnExit: boolean;
  /** Then, what still runs after it is stopped, and moved. */
  readonly drainDeadlineMs: number;
  /** Of all snapshots that it sends to other members, together. */
  readonly snapshotBytesPerSecond: number;
  /** Callers must show a token: see {@link authRequired}. */
  readonly auth: boolean;
  /** Names, beside its addresses, under which callers reach `http`. */
  readonly httpHosts: readonly string[];
  /** Requests over HTTP of one address in a second, on average over `limits.httpRateWindowMs`. */
  readonly httpRate: number;
  readonly insecure: boolean;
  /** Null: without TLS. */
  readonly tls: TlsFiles | null;
  /** The key of the cluster's authority, with which this node signs certificates of others; null: it does not. */
  readonly tlsCaKey: string | null;
  readonly killTasksOnExit: boolean;
  readonly logLevel: LogLevelName;
  /** Cluster-wide; the founders' must agree. */
  readonly cluster: AllSettings;
  /** Of that, what was named. */
  readonly stated: StatedSettings;
}

/** @throws JarvisError invalid, with one fault for each thing that is wrong */
export function parseConfig(raw: RawConfig): NodeConfig {
  const result = rawSchema.safeParse(raw);
  if (!result.success) {
    const ofCluster: Fault[] = [];
    parseClusterConfig(raw, 1, ofCluster);
    throw invalidConfig([...result.error.issues.flatMap((issue) => faultsOf(issue, raw)), ...ofCluster]);
  }
  const value = result.data;
  const faults: Fault[] = [];
  const peers = parsePeers(value.peers, faults);
  const join = parseJoin(value.join, faults);
  const credentials = parseJoinCredentials(value, faults);
  const advertise = value.advertise ?? value.listen;
  if (join.length > 0 && peers.length > 0)
    faults.push({
      path: 'join',
      message: 'and peers exclude each other: one enters a cluster, the other forms one',
    });
  if (faults.length === 0 && join.length === 0) checkSelf({ name: value.name, advertise, peers }, faults);
  const drivers = value.drivers === undefined ? null : parseDrivers(value.drivers, faults);
  const capacity = parseResources('capacity', value.capacity, faults);
  const reserve = parseResources('reserve', value.reserve, faults);
  const labels = parseLabels(value.labels, faults);
  const voters = Math.max(peers.length, join.length > 0 ? 3 : 1);
  const { cluster, stated } = parseClusterConfig(raw, voters, faults);
  const dataDir = path.resolve(value.data_dir);
  const tls = parseTls(value, faults) ?? tlsOfCluster(dataDir, credentials);
  if (value.tls_ca_key !== undefined && tls === null)
    faults.push({ path: 'tls_ca_key', message: 'is of no use without TLS (tls_cert, tls_key and tls_ca)' });
  if (!value.insecure && tls === null) checkLoopback({ listen: value.listen, http: value.http }, faults);
  if (faults.length > 0) throw invalidConfig(faults);
  return {
    name: value.name,
    dataDir,
    listen: value.listen,
    advertise,
    http: value.http,
    peers,
    join,
    ...credentials,
    labels,
    capacity,
    reserve: { cpuMillis: reserve.cpuMillis ?? 0, memoryBytes: reserve.memoryBytes ?? 0 },
    drivers,
    policy: value.policy,
    leaseReads: value.lease_reads,
    restartGraceMs: value.restart_grace,
    drainOnExit: value.drain_on_exit,
    drainDeadlineMs: value.drain_deadline,
    snapshotBytesPerSecond: value.snapshot_rate,
    auth: value.auth,
    httpHosts: value.http_hosts,
    httpRate: value.http_rate,
    insecure: value.insecure,
    tls,
    tlsCaKey: value.tls_ca_key ?? null,
    killTasksOnExit: value.kill_tasks_on_exit,
    logLevel: value.log_level,
    cluster,
    stated,
  };
}

/** Whether whoever calls, over gRPC and HTTP, must show a token. */
export function authRequired({ auth, tls }: Pick<NodeConfig, 'auth' | 'tls'>): boolean {
  return auth || tls !== null;
}

/**
 * Under which names callers reach `http`, beside addresses and `localhost`. Null: under any, since they show a token, which
 * no page of another site has.
 */
export function ownHosts(config: NodeConfig): readonly string[] | null {
  if (authRequired(config)) return null;
  return [splitAddress(config.http).host, splitAddress(config.advertise).host, ...config.httpHosts];
}
