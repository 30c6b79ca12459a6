import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { Member, names, newRoot, open, snapshotsOf, withMember } from './recovery.test-kit.ts';

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
      expect(member.errors).toEqual([]);
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
    await withMember(root, (member) => member.registerWithSnapshots(0, 75));
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
    await withMember(root, (member) => member.registerWithSnapshots(0, 75));
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
    await withMember(root, (member) => member.registerWithSnapshots(0, 75));
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

describe('a member that has lost its snapshot files', () => {
  it.each(['damaged', 'gone'])(
    'knows all who are members where they are %s, and says what is lost',
    async (how) => {
      const root = newRoot();
      const before = await withMember(root, async (member) => {
        await member.register(0, 3);
        await member.parts.raft.changeMembership({
          type: 'add',
          node: { name: 'n2', incarnation: 'of n2', address: '127.0.0.1:2' },
          learnersAllowed: 5,
        });
        await member.registerUntilCut();
        return member.parts.raft.membership;
      });
      for (const name of snapshotsOf(root)) spoil(path.join(root, 'snapshots', name), how);
      await withMember(root, async (member) => {
        await member.leading();
        expect(before.peers.map(({ name }) => name)).toEqual(['n1', 'n2']);
        expect(member.parts.raft.membership.peers).toEqual(before.peers);
        expect(member.errors).toContain('no snapshot file is whole that the log begins behind');
        // A new one is taken at once, not after as many entries as otherwise.
        while ((await member.parts.snapshots.list()).length === 0);
        expect(member.noted.map(({ kind }) => kind)).toContain(
          how === 'gone' ? 'store_lost' : 'snapshot_corrupt',
        );
      });
    },
  );
});

function spoil(file: string, how: string): void {
  rmSync(file);
  if (how === 'damaged') writeFileSync(file, 'not a snapshot any more');
}

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
    await withMember(root, (member) => member.registerWithSnapshots(3, 30));
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
