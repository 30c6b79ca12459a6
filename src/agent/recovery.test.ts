import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { onTestFinished, describe, expect, it } from 'vitest';

import { systemClock, type Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Command, Outcome } from '../model/commands.ts';
import { DEFAULT_POLICY } from '../model/policy.ts';
import { openDataDirectory, type ClusterRecord, type DataDirectory } from '../raft/data-directory.ts';
import { GrpcTransport } from '../raft/transport/grpc-transport.ts';
import { channelCredentials, channelOptions } from '../rpc/channel.ts';
import { encodeCommand } from '../store/codec.ts';
import { recoverMember, type RecoveredMember } from './recovery.ts';

/** Elections need not take as long as they do among real nodes. */
const hurriedClock: Clock = {
  ...systemClock,
  after: (delayMs, callback) => systemClock.after(delayMs / 10, callback),
};

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

class Member {
  readonly said: Said[];
  readonly parts: RecoveredMember;
  readonly #directory: DataDirectory;
  readonly #transport: GrpcTransport;

  constructor(directory: DataDirectory, transport: GrpcTransport, parts: RecoveredMember, said: Said[]) {
    this.#directory = directory;
    this.#transport = transport;
    this.parts = parts;
    this.said = said;
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

function names(count: number): readonly string[] {
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

async function open(root: string): Promise<Member> {
  const said: Said[] = [];
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
      credentials: channelCredentials(),
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
      snapshotBounds: BOUNDS,
    });
    parts.raft.start();
    return new Member(directory, transport, parts, said);
  } catch (error) {
    await directory.close();
    throw error;
  }
}

async function withMember<T>(root: string, action: (member: Member) => Promise<T>): Promise<T> {
  const member = await open(root);
  try {
    return await action(member);
  } finally {
    await member.close();
  }
}

function newRoot(): string {
  const root = mkdtempSync(path.join(tmpdir(), 'jarvis-recovery-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

/** Everything below the directory, but for what counts starts. */
function content(root: string): ReadonlyMap<string, string> {
  return new Map(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !['starts.json', 'lock'].includes(entry.name))
      .map((entry) => {
        const file = path.join(entry.parentPath, entry.name);
        return [path.relative(root, file), readFileSync(file).toString('base64')];
      }),
  );
}

/** Whole ones: a stop may come while another is written, or before the oldest is removed. */
function snapshotsOf(root: string): readonly string[] {
  return readdirSync(path.join(root, 'snapshots'))
    .filter((name) => !name.endsWith('.tmp'))
    .sort();
}

async function kindOfFailure(root: string): Promise<unknown> {
  const member: unknown = await open(root).catch((error: unknown) => error);
  if (!(member instanceof Member)) return (member as { kind?: unknown }).kind ?? member;
  await member.close();
  return 'opened';
}

describe('a member that comes back', () => {
  it('knows what it knew', async () => {
    const root = newRoot();
    const digest = await withMember(root, async (member) => {
      await member.register(0, 5);
      return member.parts.machine.digest;
    });
    await withMember(root, async (member) => {
      await member.leading();
      expect(member.nodes).toEqual(names(5));
      expect(member.parts.machine.digest).toBe(digest);
      expect(member.said.filter(({ level }) => level === 'error')).toEqual([]);
    });
  });

  it('without its state rebuilds it from the log', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 5));
    rmSync(path.join(root, 'state'), { recursive: true });
    await withMember(root, async (member) => {
      await member.leading();
      expect(member.nodes).toEqual(names(5));
    });
  });

  it('without its state rebuilds it from a snapshot and the log behind it', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 75));
    expect(snapshotsOf(root).length).toBeGreaterThanOrEqual(2);
    rmSync(path.join(root, 'state'), { recursive: true });
    await withMember(root, async (member) => {
      await member.leading();
      expect(member.nodes).toEqual(names(75));
      await member.register(75, 30);
    });
    await withMember(root, async (member) => {
      await member.leading();
      expect(member.nodes).toEqual(names(105));
    });
  });

  it('uses the older snapshot where the newer is damaged', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 75));
    const newest = path.join(root, 'snapshots', snapshotsOf(root).at(-1) ?? '');
    const bytes = readFileSync(newest);
    const middle = Math.floor(bytes.byteLength / 2);
    bytes[middle] = (bytes[middle] ?? 0) ^ 0xff;
    writeFileSync(newest, bytes);
    rmSync(path.join(root, 'state'), { recursive: true });
    await withMember(root, async (member) => {
      await member.leading();
      expect(member.nodes).toEqual(names(75));
      expect(member.said.some(({ level }) => level === 'error')).toBe(true);
    });
  });

  it('where a snapshot has lost its end as well', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 75));
    const newest = path.join(root, 'snapshots', snapshotsOf(root).at(-1) ?? '');
    writeFileSync(newest, readFileSync(newest).subarray(0, 200));
    rmSync(path.join(root, 'state'), { recursive: true });
    await withMember(root, async (member) => {
      await member.leading();
      expect(member.nodes).toEqual(names(75));
    });
  });

  it('cuts off the torn tail of its log', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 5));
    const segment = path.join(root, 'log', logFiles(root).at(-1) ?? '');
    const bytes = readFileSync(segment);
    const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
    // The beginning of a batch that no sync has covered: half of it was written when the power went.
    Buffer.from(bytes.subarray(end - 100, end)).copy(bytes, Math.ceil(end / 8) * 8);
    writeFileSync(segment, bytes);
    await withMember(root, async (member) => {
      await member.leading();
      expect(member.nodes).toEqual(names(5));
      expect(member.said.map(({ message }) => message)).toContain('cut off the torn tail of the log');
      await member.register(5, 1);
    });
    await withMember(root, async (member) => {
      await member.leading();
      expect(member.nodes).toEqual(names(6));
    });
  });
});

describe('a member that cannot be who it was', () => {
  it('without its log does not take part, and writes nothing', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 5));
    rmSync(path.join(root, 'log'), { recursive: true });
    const before = content(root);
    expect(await kindOfFailure(root)).toBe('store_lost');
    expect(await kindOfFailure(root)).toBe('store_lost');
    expect(content(root)).toEqual(before);
  });

  it('with a log that ends below its state does not take part, and lets go of everything', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 3));
    const kept = newRoot();
    cpSync(path.join(root, 'log'), path.join(kept, 'log'), { recursive: true });
    await withMember(root, async (member) => {
      await member.register(3, 3);
      await member.parts.machine.checkpoint();
    });
    const later = newRoot();
    cpSync(path.join(root, 'log'), path.join(later, 'log'), { recursive: true });
    replaceLog(root, kept);
    expect(await kindOfFailure(root)).toBe('log_corrupt');
    expect(await kindOfFailure(root)).toBe('log_corrupt');
    // Nothing is open any more, and nothing was spoilt: the right log is taken as if nothing had been.
    replaceLog(root, later);
    await withMember(root, async (member) => {
      await member.leading();
      expect(member.nodes).toEqual(names(6));
    });
  });

  it('with a log that ends below its snapshot does not take part', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 3));
    const kept = newRoot();
    cpSync(path.join(root, 'log'), path.join(kept, 'log'), { recursive: true });
    await withMember(root, (member) => member.register(3, 30));
    expect(snapshotsOf(root)).not.toEqual([]);
    replaceLog(root, kept);
    rmSync(path.join(root, 'state'), { recursive: true });
    expect(await kindOfFailure(root)).toBe('log_corrupt');
  });

  it('with the log of another node does not take part', async () => {
    const [root, other] = [newRoot(), newRoot()];
    for (const each of [root, other]) await withMember(each, (member) => member.register(0, 2));
    replaceLog(root, other);
    expect(await kindOfFailure(root)).toBe('log_foreign');
  });

  it('with neither state nor any snapshot that the log reaches back to does not take part', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.registerUntilCut());
    for (const lost of ['state', 'snapshots']) rmSync(path.join(root, lost), { recursive: true });
    expect(await kindOfFailure(root)).toMatchObject({ name: 'JarvisError', code: 'unavailable' });
    expect(await kindOfFailure(root)).toMatchObject({ name: 'JarvisError', code: 'unavailable' });
  });
});

function logFiles(root: string): readonly string[] {
  return readdirSync(path.join(root, 'log'))
    .filter((name) => name.endsWith('.log'))
    .sort();
}

function replaceLog(root: string, source: string): void {
  rmSync(path.join(root, 'log'), { recursive: true });
  cpSync(path.join(source, 'log'), path.join(root, 'log'), { recursive: true });
}
