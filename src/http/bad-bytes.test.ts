/** What strangers send, byte by byte, over HTTP and HTTPS alike: refused, nothing done, and others answered as before. */
import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { answerTo, ask, closed, open, postHead, SCHEMES, serve } from './listeners.test-kit.ts';

const CLOSE = { Connection: 'close' };

/** A whole request with a body of its own. */
function post(body: string | Buffer, headers: Readonly<Record<string, string>> = {}): Buffer {
  const bytes = Buffer.from(body);
  const head = `${postHead(bytes.length, { ...CLOSE, ...headers })}\r\n`;
  return Buffer.concat([Buffer.from(head), bytes]);
}

function get(path: string, headers = ''): Buffer {
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n`,
    'latin1',
  );
}

const TASK = '{"command":["true"]}';
const MANY_HEADERS = Array.from({ length: limits.httpHeaders + 1 }, (_, at) => `X-${at}: a\r\n`).join('');

const REFUSED: readonly (readonly [string, Buffer, number])[] = [
  ['a body that is no JSON', post('{"command":'), 400],
  ['a body that is not UTF-8', post(Buffer.from('{"command":["tru\u00ff"]}', 'latin1')), 400],
  ['a name twice', post('{"command":["true"],"command":["false"]}'), 400],
  ['a prototype key', post('{"command":["true"],"__proto__":{"a":1}}'), 400],
  ['2^53', post('{"command":["true"],"timeout":9007199254740992}'), 422],
  ['a number beyond all', post('{"command":["true"],"timeout":1e999}'), 422],
  ['an escape in a name', post('{"command":["true"],"name":"\\u001b[2J"}'), 422],
  ['lists within each other', post(`{"command":${'['.repeat(50_000)}${']'.repeat(50_000)}}`), 422],
  ['another content type', post(TASK, { 'Content-Type': 'text/plain' }), 415],
  ['a compressed body', post(gzipSync(TASK), { 'Content-Encoding': 'gzip' }), 415],
  [
    'a body that is said to be too large',
    Buffer.from(`${postHead(limits.httpBodyBytes + 1, CLOSE)}\r\n`),
    413,
  ],
  ['a length that is none', Buffer.from(`${postHead(1, { ...CLOSE, 'Content-Length': '-1' })}\r\n`), 400],
  [
    'a length and chunks',
    Buffer.from(`${postHead(5, { ...CLOSE, 'Transfer-Encoding': 'chunked' })}\r\n0\r\n\r\n`),
    400,
  ],
  [
    'a chunk whose length is none',
    Buffer.from(
      `POST /tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    ),
    400,
  ],
  [
    'extensions of a chunk beyond all measure',
    Buffer.from(
      `POST /tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1;${'a'.repeat(40_000)}\r\n`,
    ),
    413,
  ],
  ['a path that leads out', get('/tasks/..%2f..%2fetc%2fpasswd'), 404],
  ['a path that goes up', get('/../../etc/passwd'), 404],
  ['a path that is no text', get('/tasks/%ff'), 400],
  ['a path beyond all measure', get(`/tasks/${'a'.repeat(5000)}`), 414],
  ['a path with bytes that are none', get('/tasks/\u0001'), 400],
  ['two lengths', Buffer.from(`${postHead(1, { ...CLOSE, 'content-length': '2' })}\r\n`), 400],
  ['many headers', get('/version', MANY_HEADERS), 431],
  ['a header that is folded', get('/version', 'X: a\r\n b\r\n'), 400],
  ['a header with a null', get('/version', 'X: \u0000\r\n'), 400],
  ['no host', Buffer.from('GET /version HTTP/1.1\r\nConnection: close\r\n\r\n'), 400],
];

describe.each(SCHEMES)('over %s', (scheme) => {
  it.each(REFUSED)('%s is refused', async (_what, bytes, status) => {
    const { address, cluster } = await serve(scheme);
    const answer = await answerTo(scheme, address, bytes);
    const [, said] = /^HTTP\/1\.1 (\d+)/.exec(answer) ?? [];
    expect([Number(said), answer]).toEqual([
      status,
      expect.stringMatching(/content-type: application\/problem\+json/i),
    ]);
    // oxlint-disable-next-line no-control-regex -- what terminals must not be sent
    expect(answer).not.toMatch(/[\u0000-\u0008\u001b]/);
    expect(cluster.state.tasks.size).toBe(0);
    expect(({} as Record<string, unknown>)['a']).toBeUndefined();
    expect(await ask(scheme, address, '/healthz')).toContain('200 OK');
  });

  it('a body that ends early makes nothing, wherever it ends', async () => {
    const { address, cluster } = await serve(scheme);
    const whole = post(TASK);
    for (let length = 1; length < whole.length; length += 7) {
      const socket = await open(scheme, address);
      socket.end(whole.subarray(0, length));
      await closed(socket);
    }
    expect(cluster.state.tasks.size).toBe(0);
    expect(await answerTo(scheme, address, whole)).toContain('201 Created');
    expect(cluster.state.tasks.size).toBe(1);
  });

  it('too many requests of one address are refused', async () => {
    const { address } = await serve(scheme, { requestsPerSecond: 0.2 });
    const statuses: string[] = [];
    for (let sent = 0; sent < 3; sent += 1)
      statuses.push((await ask(scheme, address, '/version')).split('\r\n')[0] ?? '');
    expect(statuses).toEqual(['HTTP/1.1 200 OK', 'HTTP/1.1 200 OK', 'HTTP/1.1 429 Too Many Requests']);
  });
});
