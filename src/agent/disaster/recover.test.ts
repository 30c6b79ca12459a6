import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { messageOf } from '../../lib/errors.ts';
import { openDataDirectory, takeLock } from '../../raft/data-directory.ts';
import { newRoot, snapshotsOf, withMember } from '../recovery.test-kit.ts';
import { inspectSavedSnapshot } from './inspect.ts';
import { recoverCluster, type Done, type RecoveryReport } from './recover.ts';
import { recoveryLines } from './recovery-lines.ts';
import { restoreCluster } from './restore.ts';

async function recover(
  root: string,
  more: { isConfirmed?: boolean; fromState?: boolean } = {},
): Promise<RecoveryReport> {
  const options = { isConfirmed: false, fromState: false, ...more };
  const report = await recoverCluster({ dataDir: root, name: 'n1', advertise: null, ...options });
  if (!('done' in report)) throw new Error('an earlier one was finished');
  return report;
}

/** So many nodes are in the state of the new cluster. */
async function nodesIn(root: string): Promise<number | undefined> {
  const [file = ''] = snapshotsOf(root);
  return (await inspectSavedSnapshot(path.join(root, 'snapshots', file))).rows['node'];
}

function damageLog(root: string): void {
  const segment = readdirSync(path.join(root, 'log')).find((name) => name.endsWith('.log')) ?? '';
  const file = path.join(root, 'log', segment);
  const bytes = readFileSync(file);
  const at = Math.floor(bytes.findLastIndex((byte) => byte !== 0) / 2);
  writeFileSync(file, bytes.with(at, (bytes[at] ?? 0) ^ 1));
}

describe('a recovery', () => {
  it('says where log and state end, changes nothing unasked, and keeps all', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 5));
    const look = await recover(root);
    expect(look).toMatchObject({ members: ['n1'], log: { lastIndex: 7 }, done: null });
    expect(readdirSync(root)).not.toContain('recovering');
    const report = await recover(root, { isConfirmed: true });
    expect({ ...report, done: null }).toEqual(look);
    expect(await nodesIn(root)).toBe(5);
  });

  it('keeps a state that goes further than the log, and says so', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 2));
    const kept = newRoot();
    cpSync(path.join(root, 'log'), path.join(kept, 'log'), { recursive: true });
    await withMember(root, async (member) => {
      await member.register(2, 4);
      await member.parts.machine.checkpoint();
    });
    rmSync(path.join(root, 'log'), { recursive: true });
    cpSync(path.join(kept, 'log'), path.join(root, 'log'), { recursive: true });
    const report = await recover(root, { isConfirmed: true });
    const { log, stateIndex } = report;
    expect(stateIndex).toBeGreaterThan(log?.lastIndex ?? 0);
    const text = recoveryLines(report, 'n1').join('\n');
    expect(text).toContain(`The state goes further, to index ${stateIndex}`);
    expect(text).toContain(`acknowledged behind index ${stateIndex}, and never reached n1`);
    expect(await nodesIn(root)).toBe(6);
  });

  it('knows of members that joined behind the newest snapshot', async () => {
    const root = newRoot();
    await withMember(root, async (member) => {
      await member.register(0, 30);
      await member.parts.raft.changeMembership({
        type: 'add',
        node: { name: 'n2', incarnation: 'of n2', address: '127.0.0.1:2' },
        learnersAllowed: 5,
      });
    });
    expect((await recover(root)).members).toEqual(['n1', 'n2']);
  });

  it.each(['damaged', 'gone'])(
    'is made from the state alone where the log is %s, if asked to',
    async (how) => {
      const root = newRoot();
      await withMember(root, async (member) => {
        await member.register(0, 4);
        await member.parts.machine.checkpoint();
        await member.register(4, 2);
      });
      await expect(recover(root, { fromState: true })).rejects.toThrow('is whole: leave out --from-state');
      if (how === 'damaged') damageLog(root);
      else rmSync(path.join(root, 'log'), { recursive: true });
      await expect(recover(root, { isConfirmed: true })).rejects.toThrow('with --from-state the new cluster');
      const report = await recover(root, { isConfirmed: true, fromState: true });
      expect(report).toMatchObject({ log: null, members: ['n1'], stateIndex: 6 });
      expect(recoveryLines(report, 'n1').join('\n')).toContain('acknowledged behind index 6 is lost');
      expect(await nodesIn(root)).toBe(4);
    },
  );

  it('is refused where there never was a copy of the state', async () => {
    const root = newRoot();
    const directory = await openDataDirectory(root, { name: 'n1' });
    await directory.takeRole({ clusterId: 'c', epoch: 1, founders: [], raftId: 0 }, []);
    await directory.close();
    for (const fromState of [false, true])
      await expect(recover(root, { isConfirmed: true, fromState })).rejects.toThrow(
        `${root} is that of a node without a copy of the state`,
      );
  });

  it('that had all but taken its place is finished by the next, which only one process may', async () => {
    const root = newRoot();
    await withMember(root, (member) => member.register(0, 2));
    const { done } = await recover(root, { isConfirmed: true });
    const kept = path.basename(done?.kept ?? '');
    // As a crash leaves it: the log has taken its place, the rest not.
    const work = path.join(root, 'recovering');
    for (const name of ['snapshots', 'identity.json']) {
      cpSync(path.join(root, name), path.join(work, name), { recursive: true });
      rmSync(path.join(root, name), { recursive: true });
    }
    writeFileSync(
      path.join(work, 'ready.json'),
      JSON.stringify({ format: 1, kept, clusterId: done?.clusterId, epoch: done?.epoch }),
    );
    const options = { dataDir: root, name: 'n1', advertise: null, isConfirmed: false, fromState: false };
    const lock = await takeLock(root);
    await expect(recoverCluster(options)).rejects.toMatchObject({ kind: 'directory_in_use' });
    lock.release();
    const finished: RecoveryReport | Done = await recoverCluster(options);
    expect(finished).toEqual(done);
    expect(readdirSync(root)).not.toContain('recovering');
    expect(await nodesIn(root)).toBe(2);
  });
});

describe('a restoration', () => {
  it('is done again after a crash behind any step, or was done', async () => {
    const source = newRoot();
    await withMember(source, (member) => member.registerWithSnapshots(0, 25));
    const [name = ''] = snapshotsOf(source);
    const file = path.join(source, 'snapshots', name);
    const restore = async (root: string, hook: (step: string) => void) =>
      await restoreCluster({ file, dataDir: root, name: 'n1', advertise: '127.0.0.1:1', hook });
    const crashed: [step: string, root: string][] = [];
    const whole = newRoot();
    // What a crash would leave at each step.
    await restore(whole, (step) => {
      const image = newRoot();
      cpSync(whole, image, { recursive: true });
      crashed.push([step, image]);
    });
    expect(crashed).toHaveLength(6);
    for (const [step, root] of crashed) {
      const again = await restore(root, () => {}).then(() => 'done', messageOf);
      // Then it was done.
      const expected = step === 'the identity is that of the cluster' ? /belongs to cluster/ : /^done$/;
      expect(again).toMatch(expected);
      const directory = await openDataDirectory(root, { name: 'n1' });
      expect(directory.identity.cluster?.raftId).toBe(1);
      await directory.close();
      expect(await nodesIn(root)).toBe((await inspectSavedSnapshot(file)).rows['node']);
    }
  });
});
