/** Members of one, on real files: they found a cluster, and are opened again on what is left of their directory. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { onTestFinished, vi } from 'vitest';

import { systemClock, type Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Command, Outcome } from '../model/commands.ts';
import { DEFAULT_POLICY } from '../model/policy.ts';
import { openDataDirectory, type ClusterRecord, type DataDirectory } from '../raft/data-directory.ts';
import type { StorageError } from '../raft/storage-error.ts';
import { GrpcTransport } from '../raft/transport/grpc-transport.ts';
import { channelOptions } from '../rpc/channel.ts';
import { insecureChannels } from '../rpc/channel-security.ts';
import { encodeCommand } from '../store/codec.ts';
import { recoverMember, type RecoveredMember } from './recovery.ts';

/** Elections need not take as long as they do among real nodes. */
const hurriedClock: Clock = {
  ...systemClock,
  after: (delayMs, callback) => systemClock.after(delayMs / 10, callback),
};

const SNAPSHOT_WAIT = { timeout: 15_000, interval: 5 };
const BOUNDS = { entries: 20, logBytes: 1_000_000 };

interface Said {
  readonly level: string;
  readonly message: string;
}

function listeningLog(said: Said[]): Log {
  const at = (level: string) => (_fields: object, message: string) => void said.push({ level, message });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => listeningLog(said),
  };
}

export class Member {
  readonly said: Said[];
  readonly parts: RecoveredMember;
  /** What `cluster status` would show. */
  readonly noted: readonly StorageError[];
  readonly #directory: DataDirectory;
  readonly #transport: GrpcTransport;

  constructor(
    directory: DataDirectory,
    transport: GrpcTransport,
    parts: RecoveredMember,
    heard: { said: Said[]; noted: readonly StorageError[] },
  ) {
    this.#directory = directory;
    this.#transport = transport;
    this.parts = parts;
    this.said = heard.said;
    this.noted = heard.noted;
  }

  get errors(): readonly string[] {
    return this.said.filter(({ level }) => level === 'error').map(({ message }) => message);
  }

  get nodes(): readonly string[] {
    return [...this.parts.machine.core.state.nodes.keys()].sort();
  }

  /** Rows of so many nodes more, each from an entry of its own. */
  async register(from: number, count: number): Promise<void> {
    await this.leading();
    const { raft, machine } = this.parts;
    if (machine.core.state.cluster === null) await this.#propose(founding(raft.leadership().term));
    for (let at = from; at < from + count; at += 1) await this.#propose(registration(nodeName(at)));
  }

  /** The same, and a snapshot with every 25 of them: one that is under way at a stop is given up. */
  async registerWithSnapshots(from: number, count: number): Promise<void> {
    const BATCH = 25;
    for (let at = from; at < from + count; at += BATCH) {
      const before = await this.#newestSnapshot();
      await this.register(at, Math.min(BATCH, from + count - at));
      if (from + count - at < BATCH) return;
      await vi.waitUntil(async () => (await this.#newestSnapshot()) > before, SNAPSHOT_WAIT);
    }
  }

  async #newestSnapshot(): Promise<number> {
    return Math.max(0, ...(await this.parts.snapshots.list()).map(({ meta }) => meta.index));
  }

  /** Until the log no longer reaches back to the beginning: snapshots are taken beside what is proposed. */
  async registerUntilCut(): Promise<void> {
    const BATCH = 25;
    for (let from = 0; this.parts.raft.status().firstIndex === 1; from += BATCH) {
      if (from > 4000) throw new Error('the log is never cut');
      await this.register(from, BATCH);
    }
  }

  async #propose(command: Command): Promise<void> {
    const outcome = (await this.parts.raft.propose(encodeCommand(command))) as Outcome;
    if (outcome.type === 'refused') throw new Error(outcome.message);
  }

  async leading(): Promise<void> {
    const { raft } = this.parts;
    if (raft.leadership().isLeader) return;
    await new Promise<void>((resolve) => {
      const unsubscribe = raft.onLeadership(({ isLeader }) => {
        if (!isLeader) return;
        unsubscribe();
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    const { raft, machine, snapshots } = this.parts;
    await this.#transport.close();
    await raft.stop();
    await machine.close();
    await snapshots.close();
    await this.#directory.close();
  }
}

function nodeName(at: number): string {
  return `node-${String(at).padStart(3, '0')}`;
}

export function names(count: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => nodeName(at));
}

function founding(term: number): Command {
  const heartbeat = { intervalMs: 1000, warningMs: 2000, timeoutMs: 3000 };
  return { type: 'initCluster', atMs: 1, term, clusterId: 'c', epoch: 3, config: { heartbeat } };
}

function registration(name: string): Command {
  return {
    type: 'registerNode',
    atMs: 1,
    name,
    incarnation: `of ${name}`,
    machineId: 'm',
    bootId: 'b',
    startId: 's',
    startCounter: 1,
    version: '0',
    address: 'host:1',
    http: 'host:2',
    labels: [],
    drivers: ['noop'],
    policy: DEFAULT_POLICY,
    isolation: 'none',
    capacity: { cpuMillis: 1000, memoryBytes: 1 },
  };
}

export async function open(root: string): Promise<Member> {
  const said: Said[] = [];
  const noted: StorageError[] = [];
  const log = listeningLog(said);
  const directory = await openDataDirectory(root, { name: 'n1' });
  try {
    const { incarnation } = directory.identity;
    const founder = { raftId: 1, name: 'n1', incarnation, address: '127.0.0.1:1' };
    const cluster: ClusterRecord = { clusterId: 'c', epoch: 3, founders: [founder], raftId: 1 };
    await directory.formCluster(cluster);
    const transport = new GrpcTransport({
      identity: {
        clusterId: 'c',
        name: 'n1',
        address: founder.address,
        raftId: 1,
        incarnation,
        startCounter: directory.startCounter,
        startId: directory.startId,
      },
      recordStart: async () => {},
      onRefused: () => {},
      credentials: () => insecureChannels.credentials(),
      channelOptions,
      clock: hurriedClock,
      log,
    });
    const parts = await recoverMember({
      directory,
      cluster,
      transport,
      clock: hurriedClock,
      random: Math.random,
      log,
      onFailure: () => {},
      onDamaged: (error) => noted.push(error),
      snapshotBounds: BOUNDS,
    });
    parts.raft.start();
    return new Member(directory, transport, parts, { said, noted });
  } catch (error) {
    await directory.close();
    throw error;
  }
}

export async function withMember<T>(root: string, action: (member: Member) => Promise<T>): Promise<T> {
  const member = await open(root);
  try {
    return await action(member);
  } finally {
    await member.close();
  }
}

export function newRoot(): string {
  const root = mkdtempSync(path.join(tmpdir(), 'jarvis-recovery-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

/** Whole ones: a stop may come while another is written, or before the oldest is removed. */
export function snapshotsOf(root: string): readonly string[] {
  return readdirSync(path.join(root, 'snapshots'))
    .filter((name) => !name.endsWith('.tmp'))
    .sort();
}
