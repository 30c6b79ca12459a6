/** What strangers send: each refused with one clear problem, and nothing done. */
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import { answerTo, open, postHead, serve as serveOver } from './listeners.test-kit.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

let cluster: TestCluster;
let server: HttpServer;

function serve(options: Partial<Parameters<typeof createHttpServer>[0]> = {}): HttpServer {
  return createHttpServer({
    operations: testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) }),
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
    ...options,
  });
}

beforeEach(() => {
  cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  server = serve();
});

afterEach(async () => {
  await server.close(0);
});

async function send(payload: string | Buffer, headers: Record<string, string> = {}) {
  const response = await server.app.inject({
    method: 'POST',
    url: '/tasks',
    payload,
    headers: { 'content-type': 'application/json', ...headers },
  });
  expect(response.headers['content-type']).toContain('application/problem+json');
  return { status: response.statusCode, headers: response.headers, problem: response.json<object>() };
}

describe('a body', () => {
  it('with a name twice in one object is refused with its path', async () => {
    const { status, problem } = await send('{"command":["true"],"env":{"A":"1","A":"2"}}');
    expect(status).toBe(400);
    expect(problem).toMatchObject({
      code: 'malformed',
      faults: [{ path: 'env.A', message: '"A" stands twice in one object: each name once' }],
    });
    expect(cluster.state.tasks.size).toBe(0);
  });

  it.each(['9007199254740992', '-9007199254740992', '1e400'])(
    'with the number %s is refused',
    async (number) => {
      const { status, problem } = await send(`{"command":["true"],"timeout":${number}}`);
      expect(status).toBe(422);
      expect(problem).toMatchObject({ code: 'invalid', faults: [{ path: 'timeout' }] });
    },
  );

  it('that is not UTF-8 is refused', async () => {
    const bytes = Buffer.from('{"command":["tru\u00ff"]}', 'latin1');
    expect(await send(bytes)).toMatchObject({
      status: 400,
      problem: { detail: 'the body is not UTF-8' },
    });
  });

  it.each(['__proto__', 'constructor'])('that reaches for prototypes by %s is refused', async (name) => {
    const inner = name === 'constructor' ? '{"prototype":{"a":1}}' : '{"a":1}';
    expect(await send(`{"command":["true"],"${name}":${inner}}`)).toMatchObject({ status: 400 });
    expect(({} as Record<string, unknown>)['a']).toBeUndefined();
  });

  it.each(['gzip', 'br', 'deflate', 'zstd', 'gzip, identity'])(
    'that is compressed with %s is not unfolded',
    async (encoding) => {
      const bomb = gzipSync(Buffer.alloc(1024 * 1024, ' '));
      const { status, headers, problem } = await send(bomb, { 'content-encoding': encoding });
      expect(status).toBe(415);
      expect(headers['accept-encoding']).toBe('identity');
      expect(problem).toMatchObject({ code: 'malformed' });
    },
  );

  it.each([
    'text/plain',
    'application/xml',
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded',
  ])('of type %s is refused', async (type) => {
    expect(await send('{"command":["true"]}', { 'content-type': type })).toMatchObject({ status: 415 });
  });

  it.each(['{', '', '[1,', '{"a"}', '\u0000', 'NaN'])('that is no JSON is refused: %j', async (text) => {
    expect(await send(text)).toMatchObject({ status: 400 });
  });

  it('of 100,000 lists within each other is refused', async () => {
    const deep = `{"command":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect((await send(deep)).status).toBe(422);
  });
});

describe('the bodies of all requests', () => {
  it('are bounded together: what is too much is refused, and later taken', async () => {
    const { address } = await serveOver('HTTP', { receivedBytes: 100_000 });
    const held = await open('HTTP', address);
    held.write(`${postHead(200_000)}\r\n${' '.repeat(99_000)}`);
    const task = '{"command":["true"]}';
    const send = async (body: string): Promise<string> =>
      await answerTo('HTTP', address, `${postHead(body.length, { Connection: 'close' })}\r\n${body}`);
    expect(await send(task)).toContain('201 Created');
    // The server has what was sent first by the time it has answered.
    const refused = await send(task.padEnd(2000));
    expect(refused).toContain('429 Too Many Requests');
    expect(refused).toContain('"code":"too_many"');
    expect(refused).toMatch(/retry-after: 1\r\n/i);
    expect(await send(task)).toContain('201 Created');
    held.write(' '.repeat(2000));
    held.write(' '.repeat(99_000));
    const [answer] = (await once(held, 'data')) as [Buffer];
    expect(String(answer)).toContain('429 Too Many Requests');
    expect(await send(task.padEnd(90_000))).toContain('201 Created');
  });

  it('that are too large are no reason to refuse others', async () => {
    const { address } = await serveOver('HTTP', { receivedBytes: 2 * limits.httpBodyBytes });
    const flood = await open('HTTP', address);
    flood.write('POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n');
    flood.write('Transfer-Encoding: chunked\r\n\r\n');
    const piece = `${(1024 * 1024).toString(16)}\r\n${' '.repeat(1024 * 1024)}\r\n`;
    const answered = once(flood, 'data');
    for (let sent = 0; sent < 64; sent += 1)
      await new Promise<void>((resolve) => flood.write(piece, () => resolve()));
    expect(String((await answered)[0])).toContain('413 Payload Too Large');
    const body = '{"command":["true"]}';
    const answer = await answerTo(
      'HTTP',
      address,
      `${postHead(body.length, { Connection: 'close' })}\r\n${body}`,
    );
    expect(answer).toContain('201 Created');
  });
});

describe('names and ids in a URL', () => {
  const ODD = [
    '..%2f..%2fetc%2fpasswd',
    '%2e%2e',
    '%00',
    '%1b%5b31m',
    'a%0d%0aX-Evil:%201',
    '%c3%a9',
    "'%20or%201=1",
    '__proto__',
    'constructor',
  ];

  it.each(ODD)('lead nowhere: %s', async (odd) => {
    for (const url of [
      `/tasks/${odd}`,
      `/tasks/${odd}/explain`,
      `/tasks/${odd}/logs`,
      `/batches/${odd}`,
      `/dags/${odd}`,
      `/nodes/${odd}`,
      `/nothing/${odd}`,
    ]) {
      const { statusCode, headers } = await server.app.inject({ method: 'GET', url });
      expect([url, statusCode]).toEqual([url, 404]);
      expect(headers['content-type']).toContain('application/problem+json');
      expect(headers).not.toHaveProperty('x-evil');
    }
    for (const [method, url] of [
      ['POST', `/tasks/${odd}/retry`],
      ['DELETE', `/batches/${odd}`],
      ['POST', `/nodes/${odd}/cordon`],
      ['DELETE', `/nodes/${odd}`],
    ] as const) {
      const { statusCode } = await server.app.inject({ method, url });
      expect([url, statusCode]).toEqual([url, 404]);
    }
  });

  it.each(['%ff', '%c0%ae%c0%ae', '%', '%zz'])('that are no text are refused: %s', async (odd) => {
    const response = await server.app.inject({ method: 'GET', url: `/tasks/${odd}` });
    expect(response).toMatchObject({ statusCode: 400 });
    expect(response.headers['content-type']).toContain('application/problem+json');
  });

  it('that are very long are refused', async () => {
    const response = await server.app.inject({ method: 'GET', url: `/tasks/${'a'.repeat(5000)}` });
    expect(response).toMatchObject({ statusCode: 414 });
    expect(response.json()).toMatchObject({ code: 'malformed', status: 414 });
  });
});

describe('headers', () => {
  it('of a great number are refused', async () => {
    const many = Object.fromEntries(
      Array.from({ length: limits.httpHeaders + 1 }, (_, at) => [`x-${at}`, 'a']),
    );
    const response = await server.app.inject({ method: 'GET', url: '/version', headers: many });
    expect(response).toMatchObject({ statusCode: 431 });
    expect(response.json()).toMatchObject({ status: 431, code: 'too_large' });
  });
});

describe('too many requests', () => {
  it('of one address are refused before anything else, those that lead nowhere too', async () => {
    const bounded = serve({ requestsPerSecond: 0.3 });
    const statuses: number[] = [];
    for (const [method, url] of [
      ['GET', '/nothing'],
      ['PUT', '/version'],
      ['POST', '/tasks'],
      ['GET', '/version'],
    ] as const)
      statuses.push((await bounded.app.inject({ method, url })).statusCode);
    expect(statuses).toEqual([404, 405, expect.any(Number), 429]);
    const refused = await bounded.app.inject({ method: 'GET', url: '/nothing' });
    expect(refused).toMatchObject({ statusCode: 429 });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.json()).toMatchObject({ code: 'too_many', status: 429 });
    const other = await bounded.app.inject({ method: 'GET', url: '/version', remoteAddress: '192.0.2.7' });
    expect(other).toMatchObject({ statusCode: 200 });
    await bounded.close(0);
  });

  it('of one IPv6 network are counted together, whatever addresses it takes', async () => {
    const bounded = serve({ requestsPerSecond: 0.2 });
    const statuses: number[] = [];
    for (const remoteAddress of ['2001:db8::1', '2001:db8:0:0:1::2', '2001:db8::ffff:3', '2001:db8:0:1::1'])
      statuses.push((await bounded.app.inject({ method: 'GET', url: '/version', remoteAddress })).statusCode);
    expect(statuses).toEqual([200, 200, 429, 200]);
    // As IPv6 sockets show IPv4 addresses: each is one of its own.
    for (const remoteAddress of ['::ffff:192.0.2.1', '::ffff:192.0.2.2', '::ffff:192.0.2.3'])
      expect(await bounded.app.inject({ method: 'GET', url: '/version', remoteAddress })).toMatchObject({
        statusCode: 200,
      });
    await bounded.close(0);
  });
});

describe('the host of a request', () => {
  it.each([
    'localhost',
    'localhost:7102',
    '127.0.0.1:7102',
    '[::1]:7102',
    '10.0.0.7',
    'N1.example:7102',
    'n1.example.',
  ])('may be %s', async (host) => {
    const bounded = serve({ hosts: ['n1.example'] });
    const response = await bounded.app.inject({ method: 'GET', url: '/version', headers: { host } });
    await bounded.close(0);
    expect(response).toMatchObject({ statusCode: 200 });
  });

  it.each([
    'evil.example',
    'localhost.evil.example:7102',
    '127.0.0.1.evil.example',
    'n1.example.evil',
    '[::1',
    'a b',
    '::1',
  ])('may not be %j, which a page in a browser could have point here', async (host) => {
    const bounded = serve({ hosts: ['n1.example'] });
    const response = await bounded.app.inject({ method: 'GET', url: '/version', headers: { host } });
    await bounded.close(0);
    expect(response).toMatchObject({ statusCode: 403 });
    expect(response.json()).toMatchObject({
      code: 'forbidden',
      detail: expect.stringContaining('http_hosts'),
    });
  });

  it('may be any where callers show tokens', async () => {
    const bounded = serve({ hosts: null });
    const headers = { host: 'any.example' };
    const response = await bounded.app.inject({ method: 'GET', url: '/version', headers });
    await bounded.close(0);
    expect(response).toMatchObject({ statusCode: 200 });
  });
});

async function listed(accepted: string) {
  const headers = { 'accept-encoding': accepted };
  return await server.app.inject({ method: 'GET', url: '/tasks', headers });
}

describe('answers', () => {
  it('over a kilobyte are compressed for those who ask for it', async () => {
    expect((await listed('gzip')).headers).not.toHaveProperty('content-encoding');
    for (let made = 0; made < 5; made += 1)
      await server.app.inject({ method: 'POST', url: '/tasks', payload: { command: ['true'] } });
    const small = await listed('gzip');
    expect(small.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'accept-encoding' });
    const plain = await listed('identity');
    expect(plain.headers).not.toHaveProperty('content-encoding');
    expect(small.rawPayload.length).toBeLessThan(plain.rawPayload.length);
  });

  it('that stream are never compressed', async () => {
    const headers = { 'accept-encoding': 'gzip, br' };
    const response = await server.app.inject({ method: 'GET', url: '/snapshot', headers });
    expect(response).toMatchObject({ statusCode: 200 });
    expect(response.headers).not.toHaveProperty('content-encoding');
  });
});
