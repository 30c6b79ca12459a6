import { once } from 'node:events';
import http2 from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect } from 'node:tls';

import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';

import { LastWordsClient, LastWordsService, type LastWord } from '../generated/last_words.ts';
import { HealthService } from '../generated/health.ts';
import { WorkerClient, WorkerService } from '../generated/worker.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { silentLog, type Log } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import type { TlsMaterial } from '../lib/tls-files.ts';
import { TlsChannels } from './channel-security.ts';
import { ChannelPool } from './channel.ts';
import { unaryCall } from './client.ts';
import { forwarded } from './forwarded.ts';
import { unaryHandler } from './handlers.ts';
import { createServer, type Service } from './server.ts';
import { ExchangeableTls, LONG, materialOf, newAuthority } from '../lib/testing/tls.test-kit.ts';

const authority = await newAuthority();
const foreign = await newAuthority();
const n1 = await materialOf(authority, { kind: 'node', name: 'n1' });
const n2 = await materialOf(authority, { kind: 'node', name: 'n2' });
const client = await materialOf(authority, { kind: 'client', name: 'ci' });

const opened: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

interface Line {
  readonly fields: object;
  readonly message: string;
}

function listening(): { readonly log: Log; readonly lines: Line[] } {
  const lines: Line[] = [];
  const warn = (fields: object, message: string): void => void lines.push({ fields, message });
  return { log: { ...silentLog, warn }, lines };
}

/** What a node serves, in small: a word for nodes only, a session that stays open, and its health for everybody. */
function services(): readonly Service[] {
  return [
    {
      definition: LastWordsService,
      handlers: { say: (_call: unknown, done: grpc.sendUnaryData<object>) => done(null, {}) },
    },
    { definition: WorkerService, handlers: { session: () => {} } },
    {
      definition: HealthService,
      handlers: {
        check: (_call: unknown, done: grpc.sendUnaryData<object>) => done(null, { status: 'SERVING' }),
        watch: () => {},
      },
    },
  ];
}

async function serve(material: TlsMaterial, clock: Clock = systemClock) {
  const tls = new ExchangeableTls(material);
  const { log, lines } = listening();
  const refused: object[] = [];
  const onRefused = (refusal: object): void => void refused.push(refusal);
  const listen = '127.0.0.1:0';
  const server = await createServer({ listen, services: services(), tls, onRefused, clock, log });
  opened.push(() => server.close(0));
  return { address: server.address, port: server.port, tls, lines, refused, server };
}

function word(name: string): LastWord {
  return { cluster_id: '', raft_id: 1, disk_errors: [], name };
}

function caller(material: TlsMaterial, log: Log = silentLog) {
  const tls = new ExchangeableTls(material);
  const pool = new ChannelPool(new TlsChannels(tls, { log }));
  opened.push(() => pool.close());
  const options = { pool, signal: new AbortController().signal, timeoutMs: 5000, write: false };
  return {
    tls,
    pool,
    say: (address: string, name: string, node?: string) =>
      unaryCall({
        ...options,
        address,
        ...(node === undefined ? {} : { node }),
        method: LastWordsService.say,
        request: word(name),
      }),
    health: (address: string) =>
      unaryCall({ ...options, address, method: HealthService.check, request: { service: '' } }),
  };
}

describe('who may call a node', () => {
  it('is a node, for itself', async () => {
    const { address, lines } = await serve(n1);
    await expect(caller(n2).say(address, 'n2')).resolves.toEqual({});
    expect(lines).toEqual([]);
  });

  it('is no node for another, and that is in the log', async () => {
    const { address, lines, refused } = await serve(n1);
    await expect(caller(n2).say(address, 'n3')).rejects.toMatchObject({
      code: 'forbidden',
      message: 'the certificate of node "n2" does not speak for "n3"',
    });
    expect(lines).toMatchObject([
      { message: 'a certificate is refused', fields: { from: '127.0.0.1', code: 'wrong_name' } },
    ]);
    expect(refused).toEqual([{ from: '127.0.0.1', code: 'wrong_name', isUnknown: false }]);
  });

  it('is a client where clients are served, and not where nodes are', async () => {
    const { address, lines } = await serve(n1);
    const { say, health } = caller(client);
    await expect(health(address)).resolves.toMatchObject({ status: 'SERVING' });
    await expect(say(address, 'ci')).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('the certificate of client "ci" is no node\'s') as string,
    });
    expect(lines).toMatchObject([{ fields: { code: 'wrong_kind' } }]);
  });

  it('is nobody without a certificate, of another authority, or with one that has expired', async () => {
    const { address, lines } = await serve(n1);
    const stranger = await materialOf(foreign, { kind: 'node', name: 'n2' }, { trusted: [authority] });
    const late = await materialOf(
      authority,
      { kind: 'node', name: 'n2' },
      { validity: { validFromMs: LONG.validFromMs, validToMs: Date.now() - 1000 } },
    );
    await expect(caller(stranger).say(address, 'n2')).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringMatching(/is from an authority that is not trusted here/) as string,
    });
    await expect(caller(late).health(address)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringMatching(/has expired/) as string,
    });
    await expect(healthWithout(address)).rejects.toMatchObject({
      code: grpc.status.UNAUTHENTICATED,
      details: 'no certificate was shown: one of this cluster is needed',
    });
    expect(lines.map(({ fields }) => (fields as { code: string }).code)).toEqual([
      'untrusted',
      'expired',
      'untrusted',
    ]);
  });

  it('without a certificate is in the log once it is refused something, or has gone', async () => {
    const { address, port, lines } = await serve(n1);
    const silent = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    // The server has seen the handshake to its end.
    await once(silent, 'remoteSettings');
    expect(lines).toEqual([]);
    silent.destroy();
    await expect.poll(() => lines).toMatchObject([{ fields: { code: 'untrusted', from: '127.0.0.1' } }]);
    // Of the same kind: one line a minute.
    await expect(healthWithout(address)).rejects.toMatchObject({ code: grpc.status.UNAUTHENTICATED });
    expect(lines).toHaveLength(1);
  });

  it('sends on calls of others, and speaks for itself without a token, only as a node', async () => {
    const heard: unknown[] = [];
    const check = unaryHandler((_request: unknown, { forwarded: isForwarded, caller: from }) => {
      heard.push([isForwarded, from?.node?.name]);
      return { status: 'SERVING' };
    }, silentLog);
    const server = await createServer({
      listen: '127.0.0.1:0',
      services: [{ definition: HealthService, handlers: { check, watch: () => {} } }],
      tls: new ExchangeableTls(n1),
    });
    opened.push(() => server.close(0));
    const node = { name: 'n2', startId: 'x' };
    const metadata = forwarded({ caller: { token: null, address: '', node } });
    for (const material of [client, n1, n2])
      await unaryCall({
        pool: caller(material).pool,
        address: server.address,
        method: HealthService.check,
        request: { service: '' },
        metadata,
        signal: new AbortController().signal,
        timeoutMs: 5000,
        write: false,
      });
    expect(heard).toEqual([
      [false, undefined],
      [true, undefined],
      [true, 'n2'],
    ]);
  });

  it('is no node any more that was removed: its calls end, whatever its certificate', async () => {
    const { address, server, lines } = await serve(n1);
    const { say, health } = caller(n2);
    // Before this node knows who is a member.
    await expect(say(address, 'n2')).resolves.toEqual({});
    server.setMembers(new Set(['n1', 'n2']));
    const session = openSession(address, new TlsChannels(new ExchangeableTls(n2)).credentials());
    await session.open;
    await expect(say(address, 'n2')).resolves.toEqual({});
    server.setMembers(new Set(['n1']));
    expect(await session.ended).toMatchObject({
      code: grpc.status.PERMISSION_DENIED,
      details: 'node "n2" is no member of the cluster',
    });
    await expect(say(address, 'n2')).rejects.toMatchObject({ code: 'forbidden' });
    await expect(health(address)).resolves.toMatchObject({ status: 'SERVING' });
    expect(lines).toMatchObject([{ fields: { code: 'not_member', from: '127.0.0.1' } }]);
    server.setMembers(new Set(['n1', 'n2']));
    await expect(say(address, 'n2')).resolves.toEqual({});
  });

  it('is nobody in plain text, or with an older TLS', async () => {
    const { address, port, lines } = await serve(n1);
    const pool = new ChannelPool();
    opened.push(() => pool.close());
    const signal = new AbortController().signal;
    const request = { service: '' };
    const method = HealthService.check;
    await expect(
      unaryCall({ pool, address, method, request, signal, timeoutMs: 3000, write: false }),
    ).rejects.toMatchObject({ code: 'unavailable' });
    const error = await new Promise<Error>((resolve, reject) => {
      const { certificatePem: cert, keyPem: key, authoritiesPem: ca } = n2;
      const socket = connect({ host: '127.0.0.1', port, cert, key, ca, maxVersion: 'TLSv1.2' });
      socket.once('error', resolve);
      socket.once('secureConnect', () => reject(new Error('it was let in')));
    });
    expect(error).toMatchObject({ code: expect.stringMatching(/PROTOCOL_VERSION/) as string });
    expect(lines).toMatchObject([{ message: 'a TLS handshake failed', fields: { from: '127.0.0.1' } }]);
  });
});

describe('whom a caller trusts', () => {
  it('is the node that is expected there, wherever that is', async () => {
    const { address } = await serve(n1);
    await expect(caller(n2).say(address, 'n2', 'n1')).resolves.toEqual({});
  });

  it.each([
    ['another node', n1, 'n3', 'the server is node "n1", and "n3" was expected there'],
    ['a client', client, undefined, "the server's certificate is not made for this use"],
    ['a node of another cluster', null, undefined, 'is from an authority that is not trusted here'],
  ])('is not %s, and that is in the log', async (_what, material, expected, message) => {
    const { address } = await serve(
      material ?? (await materialOf(foreign, { kind: 'node', name: 'n1' }, { trusted: [authority] })),
    );
    const { log, lines } = listening();
    await expect(caller(n2, log).say(address, 'n2', expected)).rejects.toThrow(message);
    expect(lines).toMatchObject([
      {
        message: 'the certificate of a server is refused',
        fields: { target: address, problem: expect.stringContaining(message) as string },
      },
    ]);
  });
});

describe('a connection that stands', () => {
  it('carries nothing more once the certificate has expired: streams end, calls are refused', async () => {
    const clock = new VirtualClock();
    const { address } = await serve(n1, clock);
    const credentials = new TlsChannels(new ExchangeableTls(n2)).credentials();
    const session = openSession(address, credentials);
    await session.open;
    const word = new LastWordsClient(address, credentials);
    opened.push(() => word.close());
    await expect(sayBy(word, 'n2')).resolves.toEqual({});
    await clock.advance(LONG.validToMs - clock.wallMs() + 1);
    await expect(session.ended).resolves.toMatchObject({
      code: grpc.status.UNAUTHENTICATED,
      details: expect.stringMatching(/^the certificate of node "n2" expired at/) as string,
    });
    await expect(sayBy(word, 'n2')).rejects.toMatchObject({ code: grpc.status.UNAUTHENTICATED });
  });

  it('goes on while its authority is trusted, and ends when it is not any more', async () => {
    const { address, tls, lines } = await serve(n1);
    const credentials = new TlsChannels(new ExchangeableTls(n2)).credentials();
    const session = openSession(address, credentials);
    await session.open;
    const both = await materialOf(authority, { kind: 'node', name: 'n1' }, { trusted: [authority, foreign] });
    tls.exchange(both);
    const word = new LastWordsClient(address, credentials);
    opened.push(() => word.close());
    await expect(sayBy(word, 'n2')).resolves.toEqual({});
    tls.exchange(await materialOf(authority, { kind: 'node', name: 'n1' }, { trusted: [foreign] }));
    await expect(session.ended).resolves.toMatchObject({
      code: grpc.status.UNAUTHENTICATED,
      details: 'the authority of the certificate is not trusted here any more',
    });
    expect(lines).toMatchObject([{ fields: { code: 'untrusted' } }]);
  });
});

describe('an exchange of files', () => {
  it('is met by new connections, from either side, without a call that fails', async () => {
    const { address, tls } = await serve(n1);
    const one = caller(n2);
    await one.say(address, 'n2', 'n1');
    const both = [authority, foreign];
    tls.exchange(await materialOf(authority, { kind: 'node', name: 'n1' }, { trusted: both }));
    one.tls.exchange(await materialOf(authority, { kind: 'node', name: 'n2' }, { trusted: both }));
    await one.say(address, 'n2', 'n1');
    one.tls.exchange(await materialOf(foreign, { kind: 'node', name: 'n2' }, { trusted: both }));
    await one.say(address, 'n2', 'n1');
    tls.exchange(await materialOf(foreign, { kind: 'node', name: 'n1' }, { trusted: both }));
    await one.say(address, 'n2', 'n1');
    tls.exchange(await materialOf(foreign, { kind: 'node', name: 'n1' }));
    one.tls.exchange(await materialOf(foreign, { kind: 'node', name: 'n2' }));
    await expect(one.say(address, 'n2', 'n1')).resolves.toEqual({});
    await expect(caller(n2).say(address, 'n2')).rejects.toThrow(/is from an authority that is not trusted/);
  });

  it('leaves TLS 1.3 the least', async () => {
    const { port, tls } = await serve(n1);
    tls.exchange(await materialOf(authority, { kind: 'node', name: 'n1' }));
    const error = await new Promise<Error>((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, ca: n1.authoritiesPem, maxVersion: 'TLSv1.2' });
      socket.once('error', resolve);
      socket.once('secureConnect', () => reject(new Error('it was let in')));
    });
    expect(error).toMatchObject({ code: expect.stringMatching(/PROTOCOL_VERSION/) as string });
  });
});

/** With the authority known, and no certificate of its own. */
function healthWithout(address: string): Promise<unknown> {
  const credentials = grpc.credentials.createSsl(Buffer.from(n1.authoritiesPem), null, null, {
    checkServerIdentity: () => undefined,
  });
  const bare = new grpc.Client(address, credentials);
  opened.push(() => bare.close());
  const { path, requestSerialize, responseDeserialize } = HealthService.check;
  return new Promise((resolve, reject) => {
    bare.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service: '' }, (error, answer) =>
      error === null ? resolve(answer) : reject(error),
    );
  });
}

function sayBy(word: LastWordsClient, name: string): Promise<object> {
  return new Promise((resolve, reject) => {
    word.say({ cluster_id: '', raft_id: 1, disk_errors: [], name }, (error, answer) =>
      error === null ? resolve(answer) : reject(error),
    );
  });
}

function openSession(address: string, credentials: grpc.ChannelCredentials) {
  const worker = new WorkerClient(address, credentials);
  const stream = worker.session();
  opened.push(() => {
    stream.cancel();
    worker.close();
  });
  const ended = new Promise<grpc.ServiceError>((resolve) => {
    stream.on('error', (error) => resolve(error as grpc.ServiceError));
  });
  const open = new Promise<void>((resolve, reject) => {
    worker.waitForReady(Date.now() + 5000, (error) => (error === undefined ? resolve() : reject(error)));
  });
  return { open, ended };
}

it('2,000 connections that stop in the middle of the handshake are closed, and keep nobody from being answered', async () => {
  const tls = new ExchangeableTls(n1);
  const listen = '127.0.0.1:0';
  const server = await createServer({ listen, services: services(), tls, handshakeMs: 1000 });
  opened.push(() => server.close(0));
  const begin = async (): Promise<Socket> => {
    const socket = connectTcp(server.port, '127.0.0.1');
    opened.push(() => socket.destroy());
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(Buffer.from('1603010200010001fc0303', 'hex'));
    return socket.resume();
  };
  const begun: Socket[] = [];
  while (begun.length < 2000) begun.push(...(await Promise.all(Array.from({ length: 200 }, begin))));
  const closed = begun.map(async (socket) => {
    if (!socket.closed) await once(socket, 'close');
  });
  await expect(caller(n2).say(server.address, 'n2')).resolves.toEqual({});
  await Promise.all(closed);
}, 60_000);
