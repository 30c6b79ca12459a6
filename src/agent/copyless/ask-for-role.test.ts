import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { RaftService, type JoinReply, type JoinRequest } from '../../generated/raft.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { silentLog } from '../../lib/log.ts';
import { openDataDirectory } from '../../raft/data-directory.ts';
import { MemberRemovedError } from '../../raft/node.ts';
import { unaryHandler } from '../../rpc/handlers.ts';
import { createServer, type RpcServer } from '../../rpc/server.ts';
import { askForRole } from './ask-for-role.ts';

const CLUSTER_ID = 'c';
let dataDir = '';
let server: RpcServer;
let asked: JoinRequest[];
let answer: () => JoinReply;

/** A member, with a log, that has just heard that it is none any more. */
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'jarvis-role-'));
  asked = [];
  const handlers = {
    join: unaryHandler((request: JoinRequest) => {
      asked.push(request);
      return answer();
    }, silentLog),
  };
  const { join: definition } = RaftService;
  server = await createServer({
    services: [{ definition: { join: definition }, handlers }],
    listen: '127.0.0.1:0',
  });
  const directory = await openDataDirectory(dataDir, { name: 'n4' });
  await directory.formCluster({ clusterId: CLUSTER_ID, epoch: 1, founders: [], raftId: 1004 });
  await writeFile(join(directory.paths.log, '0000000000000001.log'), 'an entry');
  await writeFile(join(directory.paths.state, 'CURRENT'), '');
  await directory.establish();
  await directory.close();
});

afterEach(async () => {
  await server.close(0);
  await rm(dataDir, { recursive: true });
});

const cause = new MemberRemovedError();

async function ask(signal = new AbortController().signal, clock: Clock = systemClock): Promise<void> {
  await askForRole({
    config: { name: 'n4', dataDir, peers: [], join: [], advertise: '127.0.0.1:7104' },
    clock,
    log: silentLog,
    signal,
    members: [server.address],
    cause,
  });
}

async function identityNow() {
  const directory = await openDataDirectory(dataDir, { name: 'n4' });
  const [{ identity }, logs] = [directory, await readdir(directory.paths.log)];
  await directory.close();
  return { identity, logs };
}

function reply(changes: Partial<JoinReply>): JoinReply {
  return { leader_address: '', cluster_id: CLUSTER_ID, epoch: 1, founders: [], raft_id: 0, ...changes };
}

describe('a member that was removed', () => {
  it('goes on without a copy where the cluster has let it in so, under the same incarnation', async () => {
    const before = await identityNow();
    const members = [{ raft_id: 1, name: 'n1', incarnation: 'i1', address: 'n1:1' }];
    const view = {
      digest: 'd',
      members,
      nodes_without_copy: ['n4'],
      log_max_age_ms: 1,
      log_max_bytes: 2,
    };
    answer = () => reply({ view });
    await ask();
    const { incarnation } = before.identity;
    expect(asked).toMatchObject([
      { incarnation, former_incarnation: incarnation, cluster_id: CLUSTER_ID, works_without_copy: true },
    ]);
    const { identity, logs } = await identityNow();
    expect(identity).toMatchObject({
      incarnation,
      cluster: { raftId: 0 },
      withoutCopy: { members: [{ raftId: 1, name: 'n1' }] },
    });
    expect(logs).toEqual([]);
  });

  it('is a learner again where a place is free, with another Raft id and nothing of its log', async () => {
    answer = () => reply({ raft_id: 1077 });
    await ask();
    const { identity, logs } = await identityNow();
    expect(identity).toMatchObject({ cluster: { raftId: 1077 }, established: false });
    expect(identity.withoutCopy).toBeUndefined();
    expect(logs).toEqual([]);
  });

  it('keeps its log where one that leads no more takes it for the member that it was', async () => {
    const before = await identityNow();
    const stopping = new AbortController();
    answer = () => {
      if (asked.length > 1) stopping.abort();
      return reply({ raft_id: 1004 });
    };
    await expect(ask(stopping.signal)).rejects.toMatchObject({ name: 'AbortError' });
    expect(asked).toHaveLength(2);
    expect(await identityNow()).toEqual(before);
  });

  it('goes on without a copy where it had none, and is let in again', async () => {
    const record = { clusterId: CLUSTER_ID, epoch: 1, founders: [], raftId: 0 };
    const directory = await openDataDirectory(dataDir, { name: 'n4' });
    await directory.takeRole(record, []);
    await directory.close();
    const members = [{ raft_id: 1, name: 'n1', incarnation: 'i1', address: 'n1:1' }];
    const view = { digest: 'd', members, nodes_without_copy: [], log_max_age_ms: 1, log_max_bytes: 2 };
    answer = () => reply({ view });
    await ask();
    expect(asked).toHaveLength(1);
    expect((await identityNow()).identity.withoutCopy?.members).toMatchObject([{ name: 'n1' }]);
  });

  it('stops, with all that it has, where it is not wanted', async () => {
    const before = await identityNow();
    answer = () => {
      throw new JarvisError('forbidden', 'n4 was removed from the cluster');
    };
    await expect(ask()).rejects.toBe(cause);
    expect(await identityNow()).toEqual(before);
  });

  it('asks no more once it is to stop', async () => {
    const stopping = new AbortController();
    answer = () => {
      stopping.abort();
      throw new JarvisError('no_leader', 'there is none');
    };
    await expect(ask(stopping.signal)).rejects.toMatchObject({ name: 'AbortError' });
    expect(asked).toHaveLength(1);
  });

  it('is not taken for one that is not wanted where nobody leads: it is to be started again', async () => {
    const before = await identityNow();
    answer = () => {
      throw new JarvisError('no_leader', 'the cluster has no leader at present');
    };
    const hasty: Clock = {
      ...systemClock,
      after: (delayMs, callback) => systemClock.after(delayMs === limits.rejoinMs ? 50 : delayMs, callback),
    };
    await expect(ask(new AbortController().signal, hasty)).rejects.toMatchObject({
      code: 'no_leader',
      message: expect.stringContaining('it asks again when it is started'),
    });
    expect(await identityNow()).toEqual(before);
  });
});
