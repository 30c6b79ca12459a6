import { setImmediate as turn } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { systemClock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { tokenText } from '../lib/token-text.ts';
import type { SecretHash } from '../model/token.ts';
import { Authenticator } from '../operations/authenticator.ts';
import { AnyMember } from '../operations/copyless/any-member.ts';
import { FakeMembers } from '../operations/copyless/copyless.test-kit.ts';
import { RemoteAuthenticator } from '../operations/copyless/remote-authenticator.ts';
import { type AuditRecord, Guard } from '../operations/guard.ts';
import { testContext } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { callersService } from './callers-service.ts';
import { ChannelPool } from './channel.ts';
import { createRemotes } from './remotes.ts';
import { createServer, type RpcServer } from './server.ts';

const ID = 'aaaaaaaaaaaa';
const HASH: SecretHash = { salt: '', hash: 'r'.repeat(43), n: 2, r: 1, p: 1 };
const RIGHT = tokenText({ id: ID, secret: HASH.hash });
const WRONG = tokenText({ id: ID, secret: 'w'.repeat(43) });
const NAMES = ['n1', 'n2'];

let cluster: TestCluster;
let servers: Map<string, RpcServer>;
let records: AuditRecord[];
let pool: ChannelPool;
let leaders: FakeMembers;
let authenticator: RemoteAuthenticator;
let closers: (() => void)[];

beforeEach(async () => {
  cluster = new TestCluster(NAMES);
  cluster.execute({
    type: 'createToken',
    id: ID,
    name: 'ada',
    role: 'operator',
    secret: HASH,
    validMs: null,
    principal: 'test',
    isFirst: false,
    idempotency: null,
  });
  records = [];
  closers = [];
  servers = new Map();
  for (const name of NAMES) servers.set(name, await serve(guardOf(name)));
  pool = new ChannelPool();
  leaders = new FakeMembers(
    'w1',
    [...servers].map(([name, { address }]) => ({ name, address })),
  );
  authenticator = authenticatorOf('c-1');
});

afterEach(async () => {
  authenticator.close();
  for (const close of closers) close();
  pool.close();
  await Promise.all([...servers.values()].map(async (server) => await server.close(0)));
});

function guardOf(name: string): Guard {
  const replica = cluster.replica(name);
  const tokens = new Authenticator({
    replica,
    clock: { ...systemClock, wallMs: () => cluster.nowMs },
    catchUp: async () => {},
    isSecret: async (secret, expected) => secret === expected?.hash,
  });
  const guard = new Guard({
    tokens,
    startIdOf: () => null,
    audit: { record: (record) => records.push(record) },
  });
  closers.push(() => guard.close());
  return guard;
}

async function serve(guard: Guard | null): Promise<RpcServer> {
  return await createServer({ listen: '127.0.0.1:0', services: [callersService('c-1', guard, silentLog)] });
}

function authenticatorOf(clusterId: string): RemoteAuthenticator {
  const remotes = createRemotes(pool);
  closers.push(() => remotes.close());
  return new RemoteAuthenticator({
    clusterId,
    anyMember: new AnyMember(leaders, systemClock),
    remotes,
    clock: systemClock,
  });
}

function caller(token: string) {
  return { token, address: '10.0.0.9', node: null };
}

async function shown(token: string, signal = new AbortController().signal) {
  return await authenticator.identify(caller(token), false, signal);
}

/** What the first member says to a question. */
async function answered(clusterId: string): Promise<string> {
  const remotes = createRemotes(pool);
  closers.push(() => remotes.close());
  const address = leaders.members()[0]?.address ?? '';
  try {
    for await (const { id } of remotes.identify(
      address,
      { cluster_id: clusterId },
      testContext({ caller: caller(RIGHT) }),
    ))
      return id;
  } catch (error) {
    if (error instanceof JarvisError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'nothing';
}

async function aborted(signal: AbortSignal): Promise<unknown> {
  while (!signal.aborted) await turn();
  return signal.reason;
}

describe('a node without a copy of the state', () => {
  it('hears from a member whose a token is', async () => {
    expect(await shown(RIGHT)).toMatchObject({ id: ID, name: 'ada', role: 'operator' });
    await expect(shown(WRONG)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: 'the token is wrong',
    });
  });

  it('has what a member denies in the record of that member, as sent on', async () => {
    await shown(RIGHT);
    expect(records).toEqual([]);
    await expect(shown(WRONG)).rejects.toThrow(JarvisError);
    expect(records).toMatchObject([
      { operation: 'authenticate', forwarded: true, result: 'unauthenticated', principal: null },
    ]);
  });

  it('hears at once that a token is revoked', async () => {
    using watch = authenticator.watch(await shown(RIGHT));
    expect(watch.signal.aborted).toBe(false);
    cluster.execute({ type: 'revokeToken', id: ID, idempotency: null });
    expect(await aborted(watch.signal)).toMatchObject({
      code: 'unauthenticated',
      message: `token ${ID} has been revoked`,
    });
    await expect(shown(RIGHT)).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it.each(NAMES)('hears it from the other member where %s stops', async (name) => {
    using watch = authenticator.watch(await shown(RIGHT));
    await servers.get(name)?.close(0);
    expect(await shown(RIGHT)).toMatchObject({ id: ID });
    expect(watch.signal.aborted).toBe(false);
    cluster.execute({ type: 'revokeToken', id: ID, idempotency: null });
    expect(await aborted(watch.signal)).toMatchObject({ code: 'unauthenticated' });
  });

  it('is told at once that a member stops, as any caller is', async () => {
    const remotes = createRemotes(pool);
    closers.push(() => remotes.close());
    const server = servers.get('n1');
    if (server === undefined) throw new Error('no member');
    const context = testContext({ caller: caller(RIGHT) });
    const answers = remotes.identify(server.address, { cluster_id: 'c-1' }, context)[Symbol.asyncIterator]();
    expect((await answers.next()).value).toMatchObject({ id: ID });
    server.endStreams();
    await expect(answers.next()).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('a member', () => {
  it('answers its own cluster alone', async () => {
    expect(await answered('c-1')).toBe(ID);
    expect(await answered('c-2')).toBe('conflict: this is cluster c-1, not c-2');
  });

  it('has nothing to say where no tokens are asked for', async () => {
    const server = await serve(null);
    servers.set('n3', server);
    leaders.become([{ name: 'n3', address: server.address }]);
    expect(await answered('c-1')).toMatch(/^invalid: /);
  });
});
