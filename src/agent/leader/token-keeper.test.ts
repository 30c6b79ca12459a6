import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { silentLog, type Log } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import type { TokenParts } from '../../lib/token-text.ts';
import { isUsable } from '../../model/token.ts';
import { hashSecret, isSecret, newToken } from '../../operations/secrets.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import { TokenKeeper, type AdminTokenFile } from './token-keeper.ts';

const DAY_MS = 86_400_000;

let clock: VirtualClock;
let cluster: MemoryCluster;
let lines: { readonly fields: object; readonly message: string }[];
const keepers: TokenKeeper[] = [];

beforeEach(() => {
  clock = new VirtualClock();
  cluster = new MemoryCluster(() => clock.wallMs());
  lines = [];
  cluster.lead({ name: 'n1', address: '' });
  const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
  cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
});

afterEach(() => {
  for (const keeper of keepers.splice(0)) keeper.close();
});

const log: Log = { ...silentLog, warn: (fields, message) => void lines.push({ fields, message }) };

/** A disk of a node, in memory. */
class MemoryFile implements AdminTokenFile {
  readonly path = '/data/admin-token';
  aside: TokenParts | null = null;
  published: TokenParts | null = null;
  /** Called before each change; what it throws is what comes of it. */
  beforeChange: (what: 'setAside' | 'publish' | 'discard') => void = () => {};

  async setAside(token: TokenParts): Promise<void> {
    this.beforeChange('setAside');
    this.aside = token;
  }

  async tokenAside(): Promise<TokenParts | null> {
    return this.aside;
  }

  async publish(): Promise<void> {
    this.beforeChange('publish');
    this.published = this.aside;
    this.aside = null;
  }

  async discard(): Promise<void> {
    this.beforeChange('discard');
    this.aside = null;
  }
}

function keeperOf(node: string, file: MemoryFile, isRequired = true): TokenKeeper {
  const replica = cluster.replica(node);
  const keeper = new TokenKeeper({ replica, isRequired, file, clock, log });
  keepers.push(keeper);
  return keeper;
}

/** A secret takes real time to hash. */
async function until(condition: () => boolean): Promise<void> {
  await expect.poll(condition, { timeout: 10_000 }).toBe(true);
}

async function adminToken(changes: { readonly validMs?: number } = {}): Promise<string> {
  const { id, secret } = newToken();
  const { validMs = null } = changes;
  cluster.execute({
    type: 'createToken',
    id,
    name: 'ada',
    role: 'admin',
    secret: await hashSecret(secret),
    validMs,
    principal: 'token:x',
    isFirst: false,
    idempotency: null,
  });
  return id;
}

const rows = () => [...cluster.state.tokens.values()];

describe('the first token of an admin', () => {
  it('is made by the leader, and named once it counts', async () => {
    const file = new MemoryFile();
    cluster.beforeApply = ({ type }) => {
      if (type !== 'createToken') return;
      // On disk before it counts, and not under its name.
      expect([file.aside === null, file.published, lines]).toEqual([false, null, []]);
    };
    keeperOf('n1', file).start(cluster.term);
    await until(() => file.published !== null);
    const [row] = rows();
    expect(row).toMatchObject({
      id: file.published?.id,
      name: 'admin-token',
      role: 'admin',
      revokedAtMs: null,
    });
    expect(await isSecret(file.published?.secret ?? '', row?.secret ?? null)).toBe(true);
    await until(() => lines.length > 0);
    expect(lines).toMatchObject([{ fields: { file: '/data/admin-token', token: row?.id } }]);
    expect(JSON.stringify(lines)).not.toContain(file.published?.secret);
    await clock.advance(10 * limits.tokenLookMs);
    expect(rows()).toHaveLength(1);
  });

  it('is not made where there is one, where none is asked for, or by who does not lead', async () => {
    const [file, other] = [new MemoryFile(), new MemoryFile()];
    keeperOf('n1', other, false).start(cluster.term);
    keeperOf('n2', file);
    await clock.advance(limits.tokenLookMs);
    await adminToken();
    keeperOf('n1', file).start(cluster.term);
    await clock.advance(3 * limits.tokenLookMs);
    expect([rows().length, file, other]).toMatchObject([
      1,
      { aside: null, published: null },
      { aside: null },
    ]);
  });

  it('is made again when the last of an admin has expired', async () => {
    const file = new MemoryFile();
    const id = await adminToken({ validMs: DAY_MS });
    keeperOf('n1', file).start(cluster.term);
    await clock.advance(DAY_MS - 1);
    expect(file.aside).toBeNull();
    await clock.advance(limits.tokenLookMs);
    await until(() => file.published !== null);
    const usable = rows().filter((row) => isUsable(row, clock.wallMs()));
    expect(usable.map((row) => row.id)).toEqual([file.published?.id]);
    expect(file.published?.id).not.toBe(id);
  });

  it('is not named where the node has crashed before the cluster accepted it', async () => {
    const file = new MemoryFile();
    const stale = newToken();
    file.aside = stale;
    const keeper = keeperOf('n1', file);
    await clock.advance(limits.tokenLookMs);
    expect(file.published).toBeNull();
    // It is the one that is proposed when this node leads again.
    keeper.start(cluster.term);
    await until(() => file.published !== null);
    expect(file.published).toEqual(stale);
    expect(rows().map(({ id }) => id)).toEqual([stale.id]);
  });

  it('is proposed again, and no other, where it is not known what became of it', async () => {
    const file = new MemoryFile();
    let first: Parameters<MemoryCluster['beforeApply']>[0] | null = null;
    cluster.beforeApply = (command) => {
      if (command.type !== 'createToken' || first !== null) return;
      first = command;
      throw new JarvisError('outcome_unknown', 'it took too long');
    };
    keeperOf('n1', file).start(cluster.term);
    await until(() => lines.length > 0);
    const { aside } = file;
    // It was accepted after all, just before the second try is.
    cluster.beforeApply = ({ type }) => {
      if (type === 'createToken' && first !== null && rows().length === 0) cluster.execute(first);
    };
    await clock.advance(limits.tokenLookMs);
    await until(() => file.published !== null);
    expect(file.published).toEqual(aside);
    expect(rows().map(({ id }) => id)).toEqual([aside?.id]);
  });

  it('is named after a restart where the node has crashed once it was accepted', async () => {
    const [disk, lost] = [new MemoryFile(), new MemoryFile()];
    lost.beforeChange = (what) => {
      disk.aside = lost.aside;
      if (what === 'publish') throw new Error('crash');
    };
    const before = keeperOf('n1', lost);
    before.start(cluster.term);
    await until(() => rows().length > 0 && disk.aside !== null);
    before.close();
    // It leads no more.
    cluster.lead({ name: 'n2', address: '' });
    lines = [];
    keeperOf('n1', disk);
    await until(() => lines.length > 0);
    expect([disk.published?.id, disk.aside]).toEqual([rows()[0]?.id, null]);
    expect(lines).toMatchObject([{ fields: { token: rows()[0]?.id } }]);
  });

  it('is named when it is accepted after its leader was lost', async () => {
    const file = new MemoryFile();
    const held = Promise.withResolvers<void>();
    let proposed: Parameters<MemoryCluster['beforeApply']>[0] | null = null;
    cluster.beforeApply = async (command) => {
      proposed = command;
      await held.promise;
      throw new JarvisError('outcome_unknown', 'leadership was lost');
    };
    const keeper = keeperOf('n1', file);
    keeper.start(cluster.term);
    await until(() => proposed !== null);
    keeper.stop();
    held.resolve();
    await clock.advance(0);
    expect([file.aside === null, file.published]).toEqual([false, null]);
    if (proposed !== null) cluster.execute(proposed);
    await until(() => file.published !== null);
    expect(file.published?.id).toBe(rows()[0]?.id);
  });

  it('is discarded where that of another leader was accepted', async () => {
    const [mine, theirs] = [new MemoryFile(), new MemoryFile()];
    cluster.beforeApply = () => {
      throw new JarvisError('outcome_unknown', 'leadership was lost');
    };
    const keeper = keeperOf('n1', mine);
    keeper.start(cluster.term);
    await until(() => mine.aside !== null && lines.length > 0);
    keeper.stop();
    cluster.beforeApply = () => {};
    cluster.lead({ name: 'n2', address: '' });
    keeperOf('n2', theirs).start(cluster.term);
    await until(() => theirs.published !== null && mine.aside === null);
    expect(mine.published).toBeNull();
    expect(rows()).toHaveLength(1);
  });

  it('is discarded where it is refused: an admin was quicker', async () => {
    const file = new MemoryFile();
    let isFirst = true;
    cluster.beforeApply = async () => {
      if (isFirst) await adminToken();
      isFirst = false;
    };
    keeperOf('n1', file).start(cluster.term);
    await until(() => lines.length > 0 && file.aside === null);
    expect([file.published, rows().length]).toEqual([null, 1]);
    expect(lines).toMatchObject([{ fields: { reason: 'there is a token of an admin' } }]);
  });

  it('is tried again where the disk does not take it', async () => {
    const file = new MemoryFile();
    // When it is applied, and when its outcome is known.
    const failures = ['setAside', 'publish', 'publish'];
    file.beforeChange = (what) => {
      if (what !== failures[0]) return;
      failures.shift();
      throw new Error(`ENOSPC at ${what}`);
    };
    keeperOf('n1', file).start(cluster.term);
    await until(() => lines.length > 0);
    await clock.advance(limits.tokenLookMs);
    // Accepted, and not named yet.
    await until(() => failures.length === 0);
    expect(file.published).toBeNull();
    await clock.advance(limits.tokenLookMs);
    await until(() => file.published !== null);
    expect(rows().map(({ id }) => id)).toEqual([file.published?.id]);
  });
});

describe('tokens that ended', () => {
  it('are forgotten after their time', async () => {
    await adminToken({ validMs: 60_000 });
    keeperOf('n1', new MemoryFile(), false).start(cluster.term);
    await clock.advance(60_000 + limits.endedTokensKeptMs - limits.tokenLookMs);
    expect(rows()).toHaveLength(1);
    await clock.advance(2 * limits.tokenLookMs);
    expect(rows()).toHaveLength(0);
  });
});
