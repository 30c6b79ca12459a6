/**
 * A cluster with TLS, which asks for tokens: every call of its API with every kind of credentials, over HTTPS and gRPC,
 * through a follower, and through a node without a copy of the state.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { connect, rootCertificates, setDefaultCACertificates } from 'node:tls';

import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ClusterClient, ClusterService, EventsRequest } from '../../src/generated/cluster.ts';
import { NodeLogsService } from '../../src/generated/worker.ts';
import { ROUTES } from '../../src/http/routes/table.ts';
import { issueCertificate } from '../../src/lib/certificates.ts';
import { limits } from '../../src/lib/limits.ts';
import { ROLES, type Role } from '../../src/model/token.ts';
import { PERMISSIONS, type Operation } from '../../src/operations/permissions.ts';
import { Certificates, nodeEnvironment } from '../support/certificates.ts';
import { TestCluster } from '../support/cluster.ts';
import {
  adminTokenOf,
  ask,
  idOf,
  loopbackAddress,
  makeCredentials,
  throughAddresses,
  type Credentials,
} from '../support/credentials.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { waitFor } from '../support/wait.ts';

const DAY_MS = 86_400_000;

let home: string;
let certificates: Certificates;
/** Of a client, of a node, and what lets nobody in. */
let client: grpc.ChannelCredentials;
let aNode: grpc.ChannelCredentials;
let refusedCertificates: Readonly<Record<string, grpc.ChannelCredentials>>;
let cluster: TestCluster;
let leader: NodeProcess;
/** That every call goes through. */
let asked: NodeProcess;
let credentials: Credentials;
/** Every text of a token that there was. */
const tokens: string[] = [];

async function makeCertificates(): Promise<void> {
  const foreign = await Certificates.create(path.join(home, 'foreign'));
  const authority = Buffer.from(certificates.authorityPem);
  const shown = (keyPem: string, certificatePem: string): grpc.ChannelCredentials =>
    grpc.credentials.createSsl(authority, Buffer.from(keyPem), Buffer.from(certificatePem));
  const filed = ({ key, certificate }: ReturnType<Certificates['files']>): grpc.ChannelCredentials =>
    shown(readFileSync(key, 'utf8'), readFileSync(certificate, 'utf8'));
  client = filed(await certificates.client('ada'));
  aNode = filed(certificates.files('n1'));
  const signer = {
    certificatePem: certificates.authorityPem,
    keyPem: readFileSync(path.join(certificates.directory, 'ca.key'), 'utf8'),
  };
  const validity = { validFromMs: Date.now() - 2 * DAY_MS, validToMs: Date.now() - DAY_MS };
  const old = await issueCertificate(signer, { kind: 'client', name: 'ada', hosts: [], ...validity });
  refusedCertificates = {
    none: grpc.credentials.createSsl(authority),
    foreign: filed(await foreign.client('ada')),
    expired: shown(old.keyPem, old.certificatePem),
  };
}

const same = (bytes: Buffer): Buffer => bytes;

/** What one caller shows: null is nothing. */
function shown(kind: string, least: Role): string | null {
  const { of, expired, revoked, wrong } = credentials;
  const weaker = ROLES[ROLES.indexOf(least) - 1];
  const all: Readonly<Record<string, string | null>> = {
    none: null,
    wrong,
    expired,
    revoked,
    right: of[least],
    'too weak': weaker === undefined ? null : of[weaker],
  };
  return all[kind] ?? null;
}

/** Kinds, and what is answered. */
function expected(least: Role): readonly (readonly [kind: string, outcome: string])[] {
  const denied = ['none', 'wrong', 'expired', 'revoked'].map((kind) => [kind, 'unauthenticated'] as const);
  const weak = least === 'viewer' ? [] : [['too weak', 'forbidden'] as const];
  return [...denied, ...weak, ['right', 'let in']];
}

/** Names of routes that are one operation under another name. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  listMembers: 'getCluster',
  getMetrics: 'getCluster',
  listPrometheusTargets: 'listNodes',
  addMember: 'changeMember',
  removeMember: 'changeMember',
  promoteMember: 'changeMember',
  demoteMember: 'changeMember',
  submitTask: 'submitTasks',
  streamSubmits: 'acceptTasks',
};

function leastOf(name: string): Role | null {
  const operation = OPERATIONS[name] ?? name;
  return Object.hasOwn(PERMISSIONS, operation) ? PERMISSIONS[operation as Operation].role : null;
}

describe.each(['a follower', 'a node without a copy'])('through %s', (through) => {
  beforeAll(async () => {
    home = mkdtempSync(path.join(tmpdir(), 'jarvis-credentials-'));
    certificates = await Certificates.create(path.join(home, 'certificates'));
    for (const name of ['n1', 'n2', 'n3', 'n4']) await certificates.node(name);
    await makeCertificates();
    setDefaultCACertificates([certificates.authorityPem]);
    // TLS asks for tokens as well.
    const environmentOf = (name: string) => nodeEnvironment(certificates.files(name));
    cluster = await TestCluster.create({
      scheme: 'https',
      envOf: () => Promise.resolve(environmentOf),
      joining: 1,
      membership: { learners: 0 },
    });
    await cluster.start();
    const admin = await adminTokenOf(cluster);
    leader = admin.node;
    asked = cluster.nodes.find((node) => node !== leader)!;
    if (through === 'a node without a copy') {
      asked = cluster.node('n4');
      await cluster.restart('n4');
    }
    credentials = await makeCredentials(asked, admin.token);
    tokens.push(...Object.values(credentials.of), credentials.expired, credentials.revoked);
  });

  afterAll(async () => {
    await cluster.dispose();
    setDefaultCACertificates(rootCertificates);
    rmSync(home, { recursive: true });
  });

  describe('HTTP', () => {
    /** What changes nothing that other calls need. */
    const BODIES: Readonly<Record<string, object>> = { transferLeadership: { to: 'nobody' } };
    const guardedRoutes = ROUTES.filter(({ isPublic }) => isPublic !== true);

    it('has a role for every call that is not public', () => {
      expect(
        guardedRoutes.map(({ operation }) => operation).filter((name) => leastOf(name) === null),
      ).toEqual([]);
      const open = ROUTES.filter(({ isPublic }) => isPublic === true).map(({ path: where }) => where);
      expect(open.sort()).toEqual(['/healthz', '/openapi.json', '/readyz', '/schemas/:name', '/version']);
    });

    it.each(guardedRoutes.map((route) => [`${route.method} ${route.path}`, route] as const))(
      '%s lets in who may, and nobody else',
      async (_name, { method, path: pattern, operation, body = 'none', isStream = false }) => {
        const least = leastOf(operation) ?? 'admin';
        const outcomes: (readonly [string, string])[] = [];
        for (const [kind] of expected(least)) {
          const { status } = await ask(
            asked,
            {
              method,
              path: pattern.replaceAll(/:\w+/g, 'nobody'),
              token: shown(kind, least),
              ...(body === 'none' ? {} : { body: JSON.stringify(BODIES[operation] ?? {}) }),
              from: nextAddress(),
            },
            isStream,
          );
          const outcome = status === 401 ? 'unauthenticated' : status === 403 ? 'forbidden' : 'let in';
          outcomes.push([kind, outcome]);
        }
        expect(outcomes).toEqual(expected(least));
      },
    );

    it('asks also where there is nothing, and not for what is public', async () => {
      expect(await ask(asked, { path: '/nothing' })).toMatchObject({
        status: 401,
        headers: { 'www-authenticate': 'Bearer' },
      });
      for (const where of ['/healthz', '/readyz', '/version', '/openapi.json', '/schemas/task'])
        expect((await ask(asked, { path: where })).status).toBe(200);
    });

    it('makes an address wait that shows wrong tokens', async () => {
      const from = '127.8.0.1';
      const token = credentials.wrong;
      const known = { path: '/tasks', token: credentials.of.viewer, from };
      expect((await ask(asked, known)).status).toBe(200);
      // None is right by chance.
      const wrong = (at: number): string => token.replace(secretOf(token), String(at).padStart(43, 'A'));
      for (let at = 0; at < limits.wrongTokens; at += 1)
        expect((await ask(asked, { path: '/tasks', token: wrong(at), from })).status).toBe(401);
      const refused = await ask(asked, { path: '/tasks', token, from });
      expect(refused.status).toBe(429);
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
      // Whom the node knows already is not guessing.
      expect((await ask(asked, known)).status).toBe(200);
    });

    it('writes nothing for a body that ends after its token was revoked', async () => {
      const token = await newToken('submitter');
      const body = JSON.stringify({ name: 'too-late', command: ['true'] });
      const [host = '', port] = asked.settings.http.split(':');
      const socket = connect({ host, port: Number(port) });
      await once(socket, 'secureConnect');
      let answer = '';
      socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
      const ended = new Promise<void>((resolve, reject) => {
        socket.on('end', resolve);
        socket.on('error', reject);
      });
      const head = [
        'POST /tasks HTTP/1.1',
        'Host: x',
        `Authorization: Bearer ${token}`,
        'Content-Type: application/json',
      ];
      socket.write(
        `${head.join('\r\n')}\r\nContent-Length: ${body.length}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n`,
      );
      // The head was read, and the token was right.
      await waitFor('the word to go on', async () => answer.includes('100 Continue'));
      socket.write(body.slice(0, 5));
      await revoke(token);
      socket.write(body.slice(5));
      await ended;
      expect(answer).toMatch(/HTTP\/1\.1 401 /);
      const listed = await ask(leader, { path: '/tasks?name=too-late', token: credentials.of.viewer });
      expect(JSON.parse(listed.text)).toMatchObject({ items: [] });
    });
  });

  describe('gRPC', () => {
    const REQUESTS: Readonly<Record<string, Buffer>> = {
      transferLeadership: Buffer.from([0x0a, 6, ...Buffer.from('nobody')]),
    };
    const methods = [
      ...Object.entries(ClusterService).filter(([name]) => name !== 'getVersion'),
      ...Object.entries(NodeLogsService).map(([, method]) => ['readLogs of a node', method] as const),
    ];
    let proxy: Awaited<ReturnType<typeof throughAddresses>>;

    beforeAll(async () => {
      proxy = await throughAddresses(asked.settings.listen);
    });

    afterAll(() => proxy.close());

    it('has a role for every method', () => {
      expect(
        methods.map(([name]) => name).filter((name) => leastOf(name.split(' ')[0] ?? '') === null),
      ).toEqual([]);
    });

    it.each(methods)('%s lets in who may, and nobody else', async (name, method) => {
      const least = leastOf(name.split(' ')[0] ?? '') ?? 'admin';
      const outcomes: (readonly [string, string])[] = [];
      for (const [kind] of expected(least))
        outcomes.push([kind, await outcomeOf(proxy.address, method, shown(kind, least), REQUESTS[name])]);
      expect(outcomes).toEqual(expected(least));
    });

    it.each(methods)(
      '%s takes no certificate but one that is valid, whatever the token',
      async (_, method) => {
        for (const [kind, certificate] of Object.entries(refusedCertificates)) {
          const outcome = await outcomeOf(
            proxy.address,
            method,
            credentials.of.admin,
            undefined,
            undefined,
            certificate,
          );
          expect([kind, outcome]).toEqual([kind, 'unauthenticated']);
        }
      },
    );

    it('lets no client speak as a node, whatever the token', async () => {
      const method = NodeLogsService.read;
      const { admin } = credentials.of;
      expect(await outcomeOf(proxy.address, method, admin, undefined, undefined, client)).toBe('forbidden');
    });

    it('says which node it is to anybody', async () => {
      expect(await outcomeOf(proxy.address, ClusterService.getVersion, null)).toBe('let in');
    });

    it('believes no node about who asks', async () => {
      const metadata = new grpc.Metadata();
      metadata.set('jarvis-forwarded', '1');
      metadata.set('jarvis-node-bin', Buffer.from(JSON.stringify({ name: asked.name, startId: '' })));
      for (const method of [ClusterService.drainNode, ClusterService.getNode, ClusterService.createToken])
        expect(await outcomeOf(leader.settings.listen, method, null, undefined, metadata)).toBe(
          'unauthenticated',
        );
    });
  });

  describe('a token that is revoked', () => {
    it.each([
      ['a stream of events', 'viewer', ClusterService.watchEvents],
      ['a stream of submits', 'submitter', ClusterService.streamSubmits],
    ] as const)('ends %s that it has opened', async (_name, role, method) => {
      const token = await newToken(role);
      const caller = new ClusterClient(asked.settings.listen, client);
      try {
        const metadata = new grpc.Metadata();
        metadata.set('authorization', `Bearer ${token}`);
        const stream =
          method === ClusterService.watchEvents
            ? caller.watchEvents(EventsRequest.create({ follow: true }), metadata)
            : caller.streamSubmits(metadata);
        const { promise: ended, resolve } = Promise.withResolvers<grpc.ServiceError>();
        stream.on('error', (error: grpc.ServiceError) => resolve(error));
        stream.on('data', () => undefined);
        // Known on this node, and so let in, before it is revoked.
        await outcomeOf(asked.settings.listen, ClusterService.getConfig, token);
        await revoke(token);
        expect(await ended).toMatchObject({ code: grpc.status.UNAUTHENTICATED });
      } finally {
        caller.close();
      }
    });

    it('ends server-sent events', async () => {
      const token = await newToken('viewer');
      const { host, port } = hostAndPort(asked.settings.http);
      const response = await fetch(`https://${host}:${port}/events`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect(response.status).toBe(200);
      await revoke(token);
      const text = await response.text();
      expect(text).toContain('event: error');
      expect(text).toContain('"code":"unauthenticated"');
    });
  });

  describe('secrets of tokens', () => {
    it('are in no log, no file of a node and no record, wherever they were shown', async () => {
      const { admin } = credentials.of;
      // In the place of ids, in the URL and in the body.
      for (const where of ['/tasks', '/tokens', '/nodes'])
        await ask(asked, {
          method: where === '/nodes' ? 'GET' : 'DELETE',
          path: `${where}/${credentials.of.viewer}`,
          token: admin,
        });
      const problem = await ask(asked, { path: `/batches/${credentials.of.viewer}`, token: admin });
      expect(problem.status).toBe(404);
      expect(problem.text).not.toContain(secretOf(credentials.of.viewer));
      await cluster.stopAll();
      const found: string[] = [];
      for (const file of filesBelow(cluster.directory)) {
        const content = readFileSync(file);
        for (const token of tokens)
          if (content.includes(secretOf(token)) && !file.endsWith('/admin-token'))
            found.push(`${file}: ${idOf(token)}`);
      }
      expect(found).toEqual([]);
      const record = readFileSync(path.join(asked.settings.dataDir, 'audit.log'), 'utf8');
      expect(record).toContain('"operation":"createToken"');
      expect(record).toContain('"result":"forbidden"');
      expect(statSync(path.join(asked.settings.dataDir, 'audit.log')).mode & 0o777).toBe(0o600);
      expect(statSync(path.join(leader.settings.dataDir, 'admin-token')).mode & 0o777).toBe(0o600);
      expect(leader.log()).toContain(path.join(leader.settings.dataDir, 'admin-token'));
    });
  });
});

let addresses = 0;
/** None has shown a wrong token before. */
function nextAddress(): string {
  addresses += 1;
  return loopbackAddress(7, addresses);
}

function hostAndPort(address: string): { host: string; port: string } {
  const [host = '', port = ''] = address.split(':');
  return { host, port };
}

function secretOf(token: string): string {
  return token.split('_').slice(2).join('_');
}

async function newToken(role: Role): Promise<string> {
  const body = JSON.stringify({ role });
  const answer = await ask(asked, { method: 'POST', path: '/tokens', token: credentials.of.admin, body });
  const { token } = JSON.parse(answer.text) as { token: string };
  tokens.push(token);
  return token;
}

async function revoke(token: string): Promise<void> {
  const request = { method: 'DELETE', path: `/tokens/${idOf(token)}`, token: credentials.of.admin };
  expect((await ask(leader, request)).status).toBe(200);
}

/** What becomes of a call without content, over a connection of its own. */
async function outcomeOf(
  address: string,
  method: Pick<grpc.MethodDefinition<unknown, unknown>, 'path' | 'requestStream' | 'responseStream'>,
  token: string | null,
  request: Buffer = Buffer.alloc(0),
  metadata = new grpc.Metadata(),
  certificate = method.path.startsWith('/jarvis.cluster.') ? client : aNode,
): Promise<string> {
  if (token !== null) metadata.set('authorization', `Bearer ${token}`);
  const options = { 'grpc.use_local_subchannel_pool': 1 };
  const caller = new grpc.Client(address, certificate, options);
  try {
    const code = await new Promise<grpc.status>((resolve) => {
      if (!method.requestStream && !method.responseStream) {
        const deadline = Date.now() + 30_000;
        caller.makeUnaryRequest(method.path, same, same, request, metadata, { deadline }, (error) =>
          resolve(error?.code ?? grpc.status.OK),
        );
        return;
      }
      const upload = method.requestStream
        ? caller.makeBidiStreamRequest(method.path, same, same, metadata)
        : null;
      const call = upload ?? caller.makeServerStreamRequest(method.path, same, same, request, metadata);
      const letIn = (): void => {
        resolve(grpc.status.OK);
        call.cancel();
      };
      call.on('error', (error: grpc.ServiceError) => resolve(error.code));
      call.on('data', letIn);
      call.on('end', letIn);
      upload?.write(request);
    });
    if (code === grpc.status.UNAUTHENTICATED) return 'unauthenticated';
    return code === grpc.status.PERMISSION_DENIED ? 'forbidden' : 'let in';
  } finally {
    caller.close();
  }
}

function filesBelow(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [path.join(entry.parentPath, entry.name)] : [],
  );
}
