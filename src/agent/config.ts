/**
 * What a node is told at its start: a YAML file, JARVISD_* variables and flags, in rising precedence. Everything is
 * checked before anything is done; the result is complete, with every default filled in.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { parse as parseYaml } from 'yaml';
import { z } from 'zod';

import { splitAddress } from '../lib/address.ts';
import { JarvisError, messageOf, type Fault } from '../lib/errors.ts';
import { LOG_LEVELS, type LogLevelName } from '../lib/log.ts';
import { isName, NAME_RULE } from '../lib/names.ts';
import { limits } from '../lib/limits.ts';
import type { TlsFiles } from '../lib/tls-files.ts';
import {
  formatMemoryBytes,
  parseBytesPerSecond,
  parseCpuMillis,
  parseMemoryBytes,
} from '../lib/quantities.ts';
import type { Pairs } from '../model/task.ts';
import type { PeerAddress } from '../raft/bootstrap.ts';
import type { AllSettings, StatedSettings } from '../spec/settings/settings.ts';
import { clusterFields, parseClusterConfig } from './cluster-config.ts';
import type { DockerPolicy } from './drivers/docker/options.ts';
import {
  PATH,
  durationUpTo,
  parsed,
  pathText,
  splitPairs,
  text,
  wholeNumber,
  yamlOfText,
} from './config-fields.ts';
import { tlsOfCluster } from './enrolment/enrolled-files.ts';
import { parseJoinCredentials, type JoinCredentials } from './join-credentials.ts';
import { policyKeysAt, policySchema } from './policy-config.ts';
import { checkLoopback, parseTls, tlsFields } from './tls-config.ts';

const DRIVER_NAMES = ['process', 'docker', 'noop'] as const;
/** An upgrade with a start that takes its time (docs/contract.md, section 1). */
const DEFAULT_RESTART_GRACE_MS = 120_000;
/** Longer than most tasks take, shorter than whoever stops a machine waits. */
const DEFAULT_DRAIN_DEADLINE_MS = 600_000;
const MOST_DRAIN_DEADLINE_MS = 24 * 3_600_000;
const RESOURCES = 'cpu=4,memory=8Gi, or a map; each may be absent';
type DriverChoice = (typeof DRIVER_NAMES)[number];

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

/** Values as they come, by key of the file; flags and variables have the same keys. */
export type RawConfig = Readonly<Record<string, unknown>>;

const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((value) => value === 'true')], {
  error: 'is neither true nor false',
});

const ADDRESS_RULE = 'host:port, such as 127.0.0.1:7101 or [::1]:7101';
const address = parsed(parseAddress, ADDRESS_RULE);

/** `a=1,b=2` or a map. */
const assignments = z.union(
  [
    z.string().transform((value, context) => {
      const pairs = splitPairs(value);
      const twice = pairs.find(([name], at) => pairs.findIndex(([other]) => other === name) < at);
      if (twice === undefined) return Object.fromEntries(pairs);
      context.addIssue({ code: 'custom', message: `names ${JSON.stringify(twice[0])} twice` });
      return z.NEVER;
    }),
    z.record(z.string(), text),
  ],
  // Of a text it is said what is wrong with it; anything else is no list at all.
  {
    error: (issue) =>
      typeof issue.input === 'string' ? undefined : 'is not a list such as a=1,b=2, or a map',
  },
);

/** `host:port,host:port`, or a list of them. */
const addressList = z.union(
  [z.string().transform((value) => value.split(',').map((item) => item.trim())), z.array(z.string())],
  { error: 'is not a list such as host:7101,host:7101' },
);

const driverNames = z.union(
  [z.string().transform((value) => value.split(',').map((name) => name.trim())), z.array(z.string())],
  { error: `is not a list; allowed: ${DRIVER_NAMES.join(', ')}` },
);

/** `a.example,b.example`, or a list of them. */
const hostNames = z.union(
  [z.string().transform((value) => value.split(',').map((item) => item.trim())), z.array(z.string())],
  { error: 'is not a list such as n1.example,jarvis.example' },
);

export const rawSchema = z.strictObject({
  name: text.pipe(z.string().refine(isName, `is not ${NAME_RULE}`)).describe(NAME_RULE),
  data_dir: pathText,
  listen: address,
  advertise: address.optional(),
  http: address,
  peers: assignments.describe('n1=host:port,n2=host:port, or a map').default({}),
  join: addressList.describe('host:port,host:port, or a list').optional(),
  // Looked at later: what is said of a value here would show it.
  join_token: z.unknown().describe('a join token').optional(),
  join_token_file: z.unknown().describe(PATH).optional(),
  labels: assignments
    .describe(`a=1,b=2, or a map; ${NAME_RULE}; values of at most 256 characters`)
    .default({}),
  capacity: assignments.describe(RESOURCES).default({}),
  reserve: assignments.describe(RESOURCES).default({}),
  drivers: driverNames.describe(`${DRIVER_NAMES.join(', ')}; several with commas, or a list`).optional(),
  // A map in the file; YAML in a variable.
  policy: z.preprocess(yamlOfText, policySchema).prefault({}),
  lease_reads: flag.default(false),
  snapshot_rate: parsed(
    (value) => parseBytesPerSecond(value, limits.snapshotLeastBytesPerSecond),
    `bytes per second such as 64MB/s or 1Gi; at least ${formatMemoryBytes(limits.snapshotLeastBytesPerSecond)}`,
  ).default(limits.snapshotBytesPerSecond),
  restart_grace: durationUpTo(limits.restartGraceMs, 'none').default(DEFAULT_RESTART_GRACE_MS),
  drain_on_exit: flag.default(false),
  drain_deadline: durationUpTo(MOST_DRAIN_DEADLINE_MS, 'at once').default(DEFAULT_DRAIN_DEADLINE_MS),
  auth: flag.default(false),
  http_hosts: hostNames.describe('names with commas, or a list').default([]),
  http_rate: wholeNumber(1, limits.httpMostRate).default(limits.httpRate),
  insecure: flag.default(false),
  ...tlsFields,
  tls_ca_key: pathText.optional(),
  kill_tasks_on_exit: flag.default(false),
  log_level: z
    .enum(LOG_LEVELS, { error: `is not a level; allowed: ${LOG_LEVELS.join(', ')}` })
    .default('info'),
  ...clusterFields,
});

export const CONFIG_KEYS = Object.keys(rawSchema.shape);

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

/** The file's values, the environment's above them, the flags' on top. @throws JarvisError invalid */
export function gatherConfig(sources: {
  readonly file: string | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly flags: RawConfig;
}): RawConfig {
  const fromFile = sources.file === null ? {} : readConfigFile(sources.file);
  const fromEnvironment: Record<string, unknown> = {};
  for (const [variable, value] of Object.entries(sources.environment)) {
    if (!variable.startsWith('JARVISD_') || value === undefined) continue;
    const key = variable.slice('JARVISD_'.length).toLowerCase();
    if (!CONFIG_KEYS.includes(key)) {
      throw invalidConfig([{ path: variable, message: `is not a setting; allowed: ${environmentNames()}` }]);
    }
    fromEnvironment[key] = value;
  }
  return { ...fromFile, ...fromEnvironment, ...sources.flags };
}

function environmentNames(): string {
  return CONFIG_KEYS.map((key) => `JARVISD_${key.toUpperCase()}`).join(', ');
}

function readConfigFile(file: string): RawConfig {
  let content: unknown;
  try {
    content = parseYaml(readFileSync(file, 'utf8'), { maxAliasCount: 100, logLevel: 'error' });
  } catch (error) {
    // Below the first line stands a picture of the place, which that line names already.
    const [what = ''] = messageOf(error).split('\n');
    throw new JarvisError('invalid', `--config ${file}: ${what.replace(/:$/, '')}`, { cause: error });
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new JarvisError('invalid', `--config ${file}: a map of settings is expected`);
  }
  return { ...content };
}

function invalidConfig(faults: readonly Fault[]): JarvisError {
  const lines = faults.map(({ path: where, message }) => `${where}: ${message}`);
  return new JarvisError('invalid', lines.join('; '), { faults });
}

function faultsOf(issue: z.core.$ZodIssue, raw: RawConfig): readonly Fault[] {
  const where = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const allowed = where === '' ? CONFIG_KEYS.join(', ') : (policyKeysAt(where) ?? '');
    return issue.keys.map((key) => ({
      path: where === '' ? key : `${where}.${key}`,
      message: `is not a setting; allowed: ${allowed}`,
    }));
  }
  const given = issue.path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    raw,
  );
  if (given === undefined) return [{ path: where, message: 'is required' }];
  const value = JSON.stringify(given);
  // A parser of quantities names the value itself.
  return [
    {
      path: where,
      message: issue.message.includes(value) ? issue.message : `${value} ${messageOfIssue(issue)}`,
    },
  ];
}

/** A union says only that no branch fits: the text's own branch knows what is wrong with a text. */
function messageOfIssue(issue: z.core.$ZodIssue): string {
  const cause =
    issue.code === 'invalid_union' ? issue.errors.flat().find(({ code }) => code === 'custom') : undefined;
  return cause?.message ?? issue.message;
}

/** Checks `host:port`; [::1]:7101 for IPv6. @throws JarvisError invalid */
function parseAddress(value: string): string {
  try {
    splitAddress(value);
  } catch (error) {
    throw new JarvisError('invalid', `is not ${ADDRESS_RULE}`, { cause: error });
  }
  return value;
}

/** One that others connect to. @throws JarvisError invalid */
function parseReachable(value: string): string {
  if (splitAddress(parseAddress(value)).port > 0) return value;
  throw new JarvisError('invalid', 'is no address to connect to: port 0');
}

function parsePeers(raw: Record<string, string>, faults: Fault[]): readonly PeerAddress[] {
  const peers: PeerAddress[] = [];
  for (const [name, address] of Object.entries(raw)) {
    if (!isName(name)) faults.push({ path: 'peers', message: `${JSON.stringify(name)} is not ${NAME_RULE}` });
    try {
      peers.push({ name, address: parseReachable(address) });
    } catch (error) {
      faults.push({
        path: 'peers',
        message: `${name}=${address}: ${JSON.stringify(address)} ${messageOf(error)}`,
      });
    }
  }
  if (new Set(peers.map(({ address }) => address)).size < peers.length) {
    faults.push({ path: 'peers', message: 'two peers have the same address' });
  }
  return peers;
}

function parseJoin(raw: readonly string[] | undefined, faults: Fault[]): readonly string[] {
  const addresses: string[] = [];
  for (const address of raw ?? []) {
    try {
      addresses.push(parseReachable(address));
    } catch (error) {
      faults.push({ path: 'join', message: `${JSON.stringify(address)} ${messageOf(error)}` });
    }
  }
  return addresses;
}

function checkSelf(
  self: { name: string; advertise: string; peers: readonly PeerAddress[] },
  faults: Fault[],
): void {
  const { name, advertise, peers } = self;
  if (peers.length === 0) {
    faults.push({
      path: 'peers',
      message: 'names no peer; a list such as n1=host:7101,n2=host:7101 is needed, or join',
    });
    return;
  }
  const own = peers.find((peer) => peer.name === name);
  const names = peers.map((peer) => peer.name).join(', ');
  if (own === undefined) {
    faults.push({ path: 'peers', message: `does not name this node, ${name}; it names ${names}` });
  } else if (own.address !== advertise) {
    faults.push({
      path: 'peers',
      message: `says ${own.address} for this node, ${name}; it listens on (or advertises) ${advertise}`,
    });
  }
}

function parseDrivers(raw: readonly string[], faults: Fault[]): readonly DriverChoice[] {
  const drivers: DriverChoice[] = [];
  if (raw.length === 0)
    faults.push({ path: 'drivers', message: `names none; allowed: ${DRIVER_NAMES.join(', ')}` });
  for (const name of new Set(raw)) {
    const driver = DRIVER_NAMES.find((known) => known === name);
    if (driver !== undefined) drivers.push(driver);
    else
      faults.push({
        path: 'drivers',
        message: `${JSON.stringify(name)}; allowed: ${DRIVER_NAMES.join(', ')}`,
      });
  }
  return drivers;
}

function parseResources(
  key: 'capacity' | 'reserve',
  raw: Record<string, string>,
  faults: Fault[],
): { cpuMillis: number | null; memoryBytes: number | null } {
  const resources: { cpuMillis: number | null; memoryBytes: number | null } = {
    cpuMillis: null,
    memoryBytes: null,
  };
  for (const [name, value] of Object.entries(raw)) {
    try {
      if (name === 'cpu') resources.cpuMillis = parseCpuMillis(value);
      else if (name === 'memory') resources.memoryBytes = parseMemoryBytes(value);
      else faults.push({ path: `${key}.${name}`, message: 'is not a resource; allowed: cpu, memory' });
    } catch (error) {
      faults.push({ path: `${key}.${name}`, message: messageOf(error) });
    }
  }
  return resources;
}

function parseLabels(raw: Record<string, string>, faults: Fault[]): Pairs {
  for (const [name, value] of Object.entries(raw)) {
    if (!isName(name))
      faults.push({ path: 'labels', message: `${JSON.stringify(name)} is not ${NAME_RULE}` });
    if (value.length > 256) faults.push({ path: `labels.${name}`, message: 'is longer than 256 characters' });
  }
  return Object.entries(raw).sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * Under which names callers reach `http`, beside addresses and `localhost`. Null: under any, since they show a token, which
 * no page of another site has.
 */
export function ownHosts(config: NodeConfig): readonly string[] | null {
  if (authRequired(config)) return null;
  return [splitAddress(config.http).host, splitAddress(config.advertise).host, ...config.httpHosts];
}
