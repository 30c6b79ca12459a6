/** What comes to the two listeners of a node: requests over HTTP, and bytes that may be none. */
import { createServer as createProxy, connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';

import * as fc from 'fast-check';
import type { FastifyInstance } from 'fastify';

import { ROUTES } from '../../../src/http/routes/table.ts';
import { createHttpServer } from '../../../src/http/server.ts';
import { splitAddress } from '../../../src/lib/address.ts';
import { invariant } from '../../../src/lib/assert.ts';
import { silentLog } from '../../../src/lib/log.ts';
import type { Random } from '../../../src/lib/random.ts';
import { clusterService } from '../../../src/rpc/cluster-service.ts';
import { framed, RawClient, rawSocket } from '../../../src/rpc/raw-grpc.test-kit.ts';
import { createServer } from '../../../src/rpc/server.ts';
import * as specs from '../../../src/spec/plain-specs.test-kit.ts';
import { anyWord, below, mutated, mutatedText, pick } from '../mutations.ts';
import { operated } from '../operated.ts';
import type { Ending, OpenTarget, Target } from '../target.ts';
import { changedValue } from '../values.ts';
import { drawn } from './spec.ts';

const INPUTS_PER_SERVER = 400;
/** A socket that is answered with nothing for so long is left; the server has bounds of its own. */
const SILENCE_MS = 50;
const INPUTS_PER_LOOK = 20;

function httpServer() {
  const { operations } = operated();
  return createHttpServer({ operations, readiness: () => ({ ready: true, reason: '' }), log: silentLog });
}

/** Those whose answer has an end. */
const ENDING_ROUTES = ROUTES.filter(({ isStream }) => isStream !== true);
const PARAMETERS = ['a', 'n1', 'task-0', 'etl', 'batch-', 'dag-', 'task.schema.json'];
const QUERIES = [
  'limit',
  'cursor',
  'status',
  'name',
  'label',
  'node',
  'consistency',
  'dead',
  'follow',
  'tail',
  'since',
];
const BODIES: readonly unknown[] = [
  { heartbeat: { interval: '2s', timeout: '40s' }, retention: { tasks: '7d' } },
  { name: 'n2', address: 'n2:7101', role: 'learner' },
  { priority: 'low', labels: { a: 'b', c: null }, not_before: null },
  { deadline: '10m', grace: '5s' },
  { to: 'n2' },
];

const anySpec = fc.oneof(specs.plainTask, specs.plainBatch, specs.plainDag);

function bodyOf(random: Random): string {
  const value = random() < 0.6 ? drawn(random, anySpec) : pick(random, BODIES);
  const text = JSON.stringify(random() < 0.5 ? value : changedValue(random, value)) ?? '';
  return random() < 0.7 ? text : mutatedText(random, [Buffer.from(text)]).toString('latin1');
}

/** `METHOD target`, lines of a header, an empty line, a body. */
function requestOf(random: Random): string {
  const { method, path } = pick(random, ENDING_ROUTES);
  const parameter = (): string =>
    encodeURIComponent(random() < 0.7 ? pick(random, PARAMETERS) : wellFormed(random));
  const names = Array.from({ length: random() < 0.6 ? 0 : below(random, 3) }, () => pick(random, QUERIES));
  const query = names.map((name) => `${name}=${encodeURIComponent(wellFormed(random))}`).join('&');
  const target = `${path.replaceAll(/:\w+/g, parameter)}${query === '' ? '' : `?${query}`}`;
  const type =
    random() < 0.9 ? 'application/json' : pick(random, ['text/plain', 'application/xml', '', 'a/b;c=d']);
  const key = random() < 0.1 ? `idempotency-key: ${anyWord(random).replaceAll(/[^ -~]/g, '?')}\n` : '';
  const body = (method === 'GET' || method === 'DELETE') && random() < 0.95 ? '' : bodyOf(random);
  return `${method} ${target}\n${body === '' ? '' : `content-type: ${type}\n`}${key}\n${body}`;
}

function wellFormed(random: Random): string {
  return anyWord(random).toWellFormed();
}

/** @throws where it is answered as if the server were to blame */
async function injected(app: FastifyInstance, text: string): Promise<Ending> {
  const headEnd = text.indexOf('\n\n');
  const [line = '', ...rest] = (headEnd < 0 ? text : text.slice(0, headEnd)).split('\n');
  const [method = 'GET', url = '/'] = line.split(' ');
  const known = ENDING_ROUTES.some((route) => route.method === method);
  if (!known || !url.startsWith('/') || !URL.canParse(url, 'http://localhost') || isEndless(url))
    return 'no request';
  const headers = Object.fromEntries(
    rest.flatMap((header) => {
      const at = header.indexOf(': ');
      return at > 0 ? [[header.slice(0, at).toLowerCase(), header.slice(at + 2)]] : [];
    }),
  );
  delete headers['transfer-encoding'];
  const payload = Buffer.from(headEnd < 0 ? '' : text.slice(headEnd + 2), 'latin1');
  const response = await app.inject({ method: method as 'GET', url, headers, payload });
  const { statusCode: status } = response;
  invariant(
    status < 500 || status === 503 || status === 504,
    `status ${status}: ${response.body.slice(0, 1000)}`,
  );
  if (status >= 400)
    invariant(response.json<{ status: number }>().status === status, `a problem of ${status}`);
  return String(status);
}

function isEndless(url: string): boolean {
  return /events|snapshot|logs|metrics/i.test(decodeURI(url.replaceAll('%', '%25')));
}

const http: Target = {
  name: 'http',
  what: 'requests for every call of the HTTP API: none is answered as if the server were to blame',
  weight: 5,
  open: () => {
    let server = httpServer();
    let left = INPUTS_PER_SERVER;
    const reset = async (): Promise<void> => {
      await server.close(0);
      [server, left] = [httpServer(), INPUTS_PER_SERVER];
    };
    return {
      reset,
      input: (random) => {
        const request = requestOf(random);
        return random() < 0.8
          ? Buffer.from(request, 'latin1')
          : mutatedText(random, [Buffer.from(request, 'latin1')]);
      },
      run: async (input) => {
        if ((left -= 1) < 0) await reset();
        return await injected(server.app, input.toString('latin1'));
      },
      close: () => server.close(0),
    };
  },
};

/** Sends all of it, and waits until the other side closes or has said nothing for a while. */
async function sent(address: string, bytes: Buffer): Promise<Ending> {
  const socket = await rawSocket(address);
  let received = 0;
  const { promise, resolve } = Promise.withResolvers<Ending>();
  socket.on('data', (chunk: Buffer) => (received += chunk.length));
  socket.setTimeout(SILENCE_MS, () => resolve('silence'));
  socket.on('close', () => resolve('closed'));
  socket.write(bytes);
  const ending = await promise;
  socket.destroy();
  return received > 0 ? `answered, ${ending}` : ending;
}

function listening(
  samples: readonly Buffer[],
  address: string,
  looks: { readonly isAlive: () => Promise<boolean>; readonly close: () => Promise<void> },
): OpenTarget {
  let count = 0;
  return {
    input: (random) => (random() < 0.7 ? mutated(random, samples) : mutatedText(random, samples)),
    run: async (input) => {
      const ending = await sent(address, input);
      count += 1;
      if (count % INPUTS_PER_LOOK === 0) invariant(await looks.isAlive(), 'the server answers others');
      return ending;
    },
    close: looks.close,
  };
}

const httpBytes: Target = {
  name: 'http-bytes',
  what: 'bytes to the HTTP listener, on sockets of their own: it goes on to answer others',
  weight: 0.4,
  open: async () => {
    const server = httpServer();
    const address = await server.listen('127.0.0.1:0');
    const body = JSON.stringify({ command: ['true'] });
    const samples = [
      `POST /tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      `POST /tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n12\r\n${body}\r\n0\r\n\r\n`,
      'GET /tasks?limit=5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
      'GET /healthz HTTP/1.0\r\n\r\nGET /nodes HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nExpect: 100-continue\r\n\r\n',
    ].map((text) => Buffer.from(text));
    return listening(samples, address, {
      isAlive: async () => (await fetch(`http://${address}/healthz`)).ok,
      close: () => server.close(0),
    });
  },
};

/** What a client sends to the address while it is talked to through a socket that listens. */
async function recorded(address: string, talk: (address: string) => Promise<void>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const { host, port } = splitAddress(address);
  const sockets: Socket[] = [];
  const proxy = createProxy((client) => {
    const server = connect(port, host);
    sockets.push(client, server);
    for (const socket of [client, server]) socket.on('error', () => undefined);
    client.on('data', (chunk: Buffer) => chunks.push(chunk));
    client.pipe(server).pipe(client);
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  await talk(`127.0.0.1:${(proxy.address() as AddressInfo).port}`);
  for (const socket of sockets) socket.destroy();
  proxy.close();
  return Buffer.concat(chunks);
}

const VERSION = '/jarvis.cluster.Cluster/GetVersion';

async function asksVersion(address: string): Promise<boolean> {
  const client = await RawClient.connect(address);
  const answer = await client.send(VERSION, framed(Buffer.alloc(0)));
  await client.close();
  return answer.status === 0;
}

const grpcBytes: Target = {
  name: 'grpc-bytes',
  what: 'bytes to the gRPC listener, on sockets of their own: it goes on to answer others',
  weight: 0.4,
  open: async () => {
    const { operations } = operated();
    const services = [clusterService(operations, silentLog)];
    const server = await createServer({ listen: '127.0.0.1:0', services });
    const sample = await recorded(server.address, async (address) => {
      invariant(await asksVersion(address), 'the server answers');
    });
    return listening([sample, Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')], server.address, {
      isAlive: () => asksVersion(server.address),
      close: () => server.close(0),
    });
  },
};

export const SERVER_TARGETS: readonly Target[] = [http, httpBytes, grpcBytes];
