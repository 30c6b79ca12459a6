/**
 * A node's data directory: who the node is (docs/storage.md, "Who is who"), where its stores are, and the lock that
 * keeps a second process out. The identity stands outside the stores, so that a lost store is never taken for a new node.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { invariant } from '../lib/assert.ts';
import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { JarvisError } from '../lib/errors.ts';
import { lockFile, type FileLock } from '../lib/file-lock.ts';
import { FORMAT, namesIn, readRecord, writeRecord } from './directory-records.ts';
import { makeDirectoryDurably, syncDirectory } from './durable-file.ts';
import {
  clusterSchema,
  identitySchema,
  WITHOUT_COPY_FORMAT,
  type ClusterRecord,
  type NodeIdentity,
} from './node-identity.ts';
import type { Peer } from './ports.ts';
import { countStart, writeStarts, type Starts } from './starts.ts';
import { StorageError } from './storage-error.ts';

const IDENTITY_NAME = 'identity.json';
const LOCK_NAME = 'lock';
/** The state may be about to be replaced, under names of its own. */
const STORES = /^(?:log|snapshots|state(?:\.\w+)?)$/;
/** A node that joins may get its certificate before anything else. */
export const TLS_FOLDER = 'tls';
/** What a fresh file system or an interrupted first start may have left. */
const HARMLESS = new Set([LOCK_NAME, TLS_FOLDER, `${IDENTITY_NAME}.tmp`, 'lost+found']);

export type { ClusterRecord, NodeIdentity } from './node-identity.ts';

export interface DataPaths {
  readonly root: string;
  /** The write-ahead log. */
  readonly log: string;
  readonly snapshots: string;
  /** LevelDB with the checkpoints. */
  readonly state: string;
  /** What the worker keeps of its attempts. */
  readonly tasks: string;
}

export type Store = 'log' | 'state';

/**
 * Looks without changing anything: the identity in the directory, or null where a new one may be made there.
 * @throws StorageError directory_refused (another node's, or no data directory), store_lost, format_unknown
 */
export async function checkDataDirectory(
  path: string,
  node: { readonly name: string },
): Promise<NodeIdentity | null> {
  const root = resolve(path);
  const names = await namesIn(root);
  if (names.includes(IDENTITY_NAME)) {
    const identity = await readRecord(join(root, IDENTITY_NAME), identitySchema, {
      newest: CLUSTER_VERSION,
    });
    if (identity.name !== node.name)
      throw new StorageError(
        'directory_refused',
        root,
        `the data directory belongs to node "${identity.name}", this is node "${node.name}"`,
      );
    if (identity.condemned !== null) throw condemnedError(root, identity.condemned);
    return identity;
  }
  const foreign = names.find((name) => !HARMLESS.has(name));
  if (foreign === undefined) return null;
  throw new StorageError(
    'directory_refused',
    root,
    `not a Jarvis data directory: it holds "${foreign}" and no ${IDENTITY_NAME}; name one that is empty or does not exist`,
  );
}

/**
 * Opens the directory for this process alone and counts the start; makes it where it is blank.
 * @throws StorageError as checkDataDirectory, and directory_in_use; nothing has been changed then
 */
export async function openDataDirectory(
  path: string,
  node: { readonly name: string },
): Promise<DataDirectory> {
  const root = resolve(path);
  await checkDataDirectory(root, node);
  await makeDirectoryDurably(root);
  const lock = await takeLock(root);
  try {
    // Once more: until the lock was taken, another process may have changed it.
    const found = (await checkDataDirectory(root, node)) ?? (await makeIdentity(root, node.name));
    const paths = pathsIn(root);
    const identity = await finishGivingUp(paths, await finishSettingAside(paths, found));
    for (const directory of [paths.log, paths.snapshots, paths.state, paths.tasks])
      await makeDirectoryDurably(directory);
    const starts = await countStart(root, {
      isMember: identity.cluster !== null,
      startId: randomUUID(),
    });
    const lostStores = identity.established ? await findLostStores(paths) : [];
    const machine = await machineId();
    return new DataDirectory({ paths, identity, starts, lostStores, lock, machineId: machine });
  } catch (error) {
    lock.release();
    throw error;
  }
}

export class DataDirectory {
  readonly paths: DataPaths;
  /** Of the machine that it is on now: a hash of its id, empty where it has none. */
  readonly machineId: string;
  /** Which start of this incarnation it is; peers refuse one that is not higher than the last. */
  readonly startCounter: number;
  /** Tells two processes apart that count the same (a copied or restored directory). */
  readonly startId: string;
  /** What an earlier start made and is gone: without the log this node must never vote as who it was. */
  readonly lostStores: readonly Store[];
  readonly #lock: FileLock;
  #identity: NodeIdentity;
  #starts: Starts;
  /** What of it is on disk. */
  #writtenStarts: Starts;
  /** Changes of the two files, one behind the other. */
  #writing: Promise<unknown> = Promise.resolve();

  /** Use {@link openDataDirectory}. */
  constructor(options: {
    paths: DataPaths;
    identity: NodeIdentity;
    starts: Starts;
    lostStores: readonly Store[];
    lock: FileLock;
    machineId: string;
  }) {
    this.paths = options.paths;
    this.machineId = options.machineId;
    this.startCounter = options.starts.counter;
    this.startId = options.starts.startId;
    this.lostStores = options.lostStores;
    this.#identity = options.identity;
    this.#starts = options.starts;
    this.#writtenStarts = options.starts;
    this.#lock = options.lock;
  }

  get identity(): NodeIdentity {
    return this.#identity;
  }

  /**
   * Records the cluster that this node has founded or joined, durably. Again with the same cluster id it may only give
   * the node its Raft id.
   * @throws StorageError directory_refused where it belongs to another cluster already
   */
  async formCluster(cluster: ClusterRecord): Promise<void> {
    const checked = clusterSchema.parse(cluster);
    await this.#exclusively(async () => {
      this.#expectCluster(checked.clusterId);
      await this.#changeIdentity({ cluster: checked });
    });
  }

  /**
   * Records, durably, what the cluster lets this node be from now on, under the same incarnation. What it has of a former Raft id, log and
   * state, is removed: that id takes part no more. To be followed by a new {@link openDataDirectory} where there was any.
   * @param members whom a node without a copy asks; null: it is a member
   * @throws StorageError directory_refused where it belongs to another cluster
   */
  async takeRole(cluster: ClusterRecord, members: readonly Peer[] | null): Promise<void> {
    const checked = clusterSchema.parse(cluster);
    await this.#exclusively(async () => {
      this.#expectCluster(checked.clusterId);
      const { established, format } = this.#identity;
      await this.#changeIdentity({
        cluster: checked,
        established: false,
        withoutCopy: members === null ? undefined : { members: [...members] },
        givesUpStores: established ? true : undefined,
        format: members === null ? format : Math.max(format, WITHOUT_COPY_FORMAT),
      });
      this.#identity = await finishGivingUp(this.paths, this.#identity);
    });
  }

  /** To be called once log and state are made and before this node takes part: from now on their absence is a loss. */
  async establish(): Promise<void> {
    await this.#exclusively(async () => {
      if (!this.#identity.established) await this.#changeIdentity({ established: true });
    });
  }

  /** Its cluster is at that version: from now on no build that knows less is started here. Durable when it resolves. */
  async raiseFormat(version: number): Promise<void> {
    await this.#exclusively(async () => {
      if (this.#identity.format < version) await this.#changeIdentity({ format: version });
    });
  }

  /** Why a peer that says so may not speak (somewhere runs a copy of its data directory), or null where it may. */
  peerStartFault(incarnation: string, counter: number, startId: string): string | null {
    const known = this.#starts.peers[incarnation];
    if (known === undefined || counter > known.counter) return null;
    if (counter === known.counter && startId === known.startId) return null;
    return (
      `incarnation ${incarnation} says that it is start ${counter} (${startId}), and start ${known.counter} ` +
      `(${known.startId}) has been seen: its data directory is a copy, was restored, or runs twice`
    );
  }

  /**
   * Remembers the highest start that a peer told: at once for {@link peerStartFault}, durably when it resolves.
   * @throws JarvisError conflict where it is lower than one before, or equal and another start
   */
  async recordPeerStart(incarnation: string, counter: number, startId: string): Promise<void> {
    const fault = this.peerStartFault(incarnation, counter, startId);
    if (fault !== null) throw new JarvisError('conflict', fault);
    const peers = { ...this.#starts.peers, [incarnation]: { counter, startId } };
    const isKnown = this.#starts.peers[incarnation]?.counter === counter;
    if (!isKnown) this.#starts = { ...this.#starts, peers };
    await this.#exclusively(async () => {
      if (this.#starts === this.#writtenStarts) return;
      const starts = this.#starts;
      await writeStarts(this.paths.root, starts);
      this.#writtenStarts = starts;
    });
  }

  /**
   * What is here is not to be trusted: a copy, or older than it was, and may have forgotten votes; or it has made something
   * else of the log than the others. Durable, since another start would count one further and look like the latest.
   * @returns the error with which the node must stop
   */
  async condemn(reason: string): Promise<StorageError> {
    await this.#exclusively(() => this.#changeIdentity({ condemned: reason }));
    return condemnedError(this.paths.root, reason);
  }

  /** The incarnation under which this node may ask to be let in anew; the same however often it is asked for. */
  async successor(): Promise<string> {
    await this.#exclusively(async () => {
      if (this.#identity.successor === null) await this.#changeIdentity({ successor: randomUUID() });
    });
    invariant(this.#identity.successor !== null, 'it has just been made');
    return this.#identity.successor;
  }

  /**
   * The cluster has let the node in as its {@link successor}: from now on it is that one, with no log and no state. Those
   * of the former incarnation are moved aside, as a data directory that no node can be started with. To be followed by a
   * new {@link openDataDirectory}; a crash on the way is made good there.
   */
  async beginAnew(cluster: ClusterRecord, reason: string): Promise<void> {
    const incarnation = await this.successor();
    await this.#exclusively(async () => {
      const former = this.#identity;
      const formerStores = `former-${former.incarnation}`;
      const aside = join(this.paths.root, formerStores);
      await makeDirectoryDurably(aside);
      await writeStarts(aside, this.#starts);
      await writeRecord(join(aside, IDENTITY_NAME), { ...former, successor: null, condemned: reason });
      const anew = { incarnation, cluster, established: false, successor: null, formerStores };
      await this.#changeIdentity(anew);
      this.#identity = await finishSettingAside(this.paths, this.#identity);
    });
  }

  /** Lets another process have it. Everything that uses the directory must be closed before. */
  async close(): Promise<void> {
    await this.#writing.catch(() => {});
    this.#lock.release();
  }

  #expectCluster(clusterId: string): void {
    const current = this.#identity.cluster;
    if (current === null || current.clusterId === clusterId) return;
    throw new StorageError(
      'directory_refused',
      this.paths.root,
      `the data directory belongs to cluster ${current.clusterId}, not to ${clusterId}`,
    );
  }

  async #changeIdentity(change: Partial<NodeIdentity>): Promise<void> {
    const identity = { ...this.#identity, ...change };
    await writeRecord(join(this.paths.root, IDENTITY_NAME), identity);
    this.#identity = identity;
  }

  async #exclusively(action: () => Promise<void>): Promise<void> {
    // A failure is told to whoever caused it; the next change is made all the same.
    const done = this.#writing.catch(() => {}).then(action);
    this.#writing = done;
    await done;
  }
}

function condemnedError(root: string, reason: string): StorageError {
  return new StorageError(
    'directory_refused',
    root,
    `the data directory must not be used any more: ${reason}; with an empty one in its place this node joins anew`,
  );
}

function pathsIn(root: string): DataPaths {
  return {
    root,
    log: join(root, 'log'),
    snapshots: join(root, 'snapshots'),
    state: join(root, 'state'),
    tasks: join(root, 'tasks'),
  };
}

/** Moves what is left of the former incarnation's stores; whatever a crash interrupted is gone on with. */
async function finishSettingAside(paths: DataPaths, identity: NodeIdentity): Promise<NodeIdentity> {
  const { formerStores } = identity;
  if (formerStores === null) return identity;
  const aside = join(paths.root, formerStores);
  for (const store of await namesIn(paths.root)) {
    if (STORES.test(store)) await rename(join(paths.root, store), join(aside, store));
  }
  await syncDirectory(aside);
  await syncDirectory(paths.root);
  const done = { ...identity, formerStores: null };
  await writeRecord(join(paths.root, IDENTITY_NAME), done);
  return done;
}

/** Removes what a former Raft id has left; whatever a crash interrupted is gone on with. */
async function finishGivingUp(paths: DataPaths, identity: NodeIdentity): Promise<NodeIdentity> {
  if (identity.givesUpStores === undefined) return identity;
  for (const name of await namesIn(paths.root))
    if (STORES.test(name)) await rm(join(paths.root, name), { recursive: true });
  await syncDirectory(paths.root);
  const done = { ...identity, givesUpStores: undefined };
  await writeRecord(join(paths.root, IDENTITY_NAME), done);
  return done;
}

/** For this process alone, without looking at what is in it. @throws StorageError directory_in_use */
export async function takeLock(root: string): Promise<FileLock> {
  const path = join(root, LOCK_NAME);
  const lock = lockFile(path);
  if (lock === null) {
    const holder = (await readFile(path, 'utf8')).trim();
    const who = holder === '' ? 'another process' : `process ${holder}`;
    throw new StorageError('directory_in_use', root, `the data directory is in use by ${who}`);
  }
  await writeFile(path, `${process.pid}\n`);
  return lock;
}

async function makeIdentity(root: string, name: string): Promise<NodeIdentity> {
  const identity: NodeIdentity = {
    format: FORMAT,
    name,
    incarnation: randomUUID(),
    machineId: await machineId(),
    cluster: null,
    established: false,
    condemned: null,
    successor: null,
    formerStores: null,
  };
  await writeRecord(join(root, IDENTITY_NAME), identity);
  return identity;
}

/** LevelDB opens empty where its CURRENT is gone, and a log without segments looks new: so both are looked at. */
async function findLostStores(paths: DataPaths): Promise<Store[]> {
  const lost: Store[] = [];
  if (!(await namesIn(paths.log)).some((name) => name.endsWith('.log'))) lost.push('log');
  if (!(await namesIn(paths.state)).includes('CURRENT')) lost.push('state');
  return lost;
}

async function machineId(): Promise<string> {
  try {
    const id = (await readFile('/etc/machine-id', 'utf8')).trim();
    // Hashed: machine-id(5) asks that it is not told to others as it is.
    return createHash('sha256').update(`jarvis machine ${id}`).digest('hex').slice(0, 32);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
