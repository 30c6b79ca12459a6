/** A cluster that asks for tokens, and one caller for each kind of credentials that there is. */
import { existsSync, readFileSync } from 'node:fs';
import { request, type IncomingHttpHeaders } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import path from 'node:path';

import { ROLES, type Role } from '../../src/model/token.ts';
import type { TestCluster } from './cluster.ts';
import type { NodeProcess } from './node-process.ts';
import { waitFor } from './wait.ts';

/** A node that leads, or has led, and its token. */
export async function adminTokenOf(
  cluster: TestCluster,
): Promise<{ readonly node: NodeProcess; readonly token: string }> {
  return await waitFor("the first admin's token", async () => {
    for (const node of cluster.nodes) {
      const file = path.join(node.settings.dataDir, 'admin-token');
      if (!existsSync(file)) continue;
      const token = readFileSync(file, 'utf8').trim();
      // The file comes before the row.
      const { status } = await ask(node, { path: '/config', token });
      if (status === 200) return { node, token };
    }
    return false;
  });
}

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly token?: string | null;
  readonly body?: string;
  /** Of this end of the connection, on the loopback network. */
  readonly from?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Of an answer that comes as it is made nothing but its beginning. */
  readonly text: string;
}

/** @param isStream its end is not waited for */
export async function ask(node: NodeProcess, asked: Asked, isStream = false): Promise<HttpAnswer> {
  const { method = 'GET', path: where, token = null, body, from } = asked;
  const [host, port] = node.settings.http.split(':');
  const headers: Record<string, string> = {};
  if (token !== null) headers['authorization'] = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  return await new Promise((resolve, reject) => {
    const sent = request({ host, port, method, path: where, headers, localAddress: from, agent: false });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const { statusCode: status = 0, headers: told } = response;
      if (isStream && status === 200) {
        resolve({ status, headers: told, text: '' });
        sent.destroy();
        return;
      }
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status, headers: told, text }));
    });
    sent.end(body);
  });
}

export interface Credentials {
  readonly of: Readonly<Record<Role, string>>;
  readonly expired: string;
  readonly revoked: string;
  /** An id that there is, and another secret. */
  readonly wrong: string;
}

export async function makeCredentials(node: NodeProcess, admin: string): Promise<Credentials> {
  const create = async (role: Role, name: string, expires?: string): Promise<string> => {
    const body = JSON.stringify({ role, name, expires });
    const answer = await ask(node, { method: 'POST', path: '/tokens', token: admin, body });
    if (answer.status !== 201) throw new Error(`no token: ${answer.text}`);
    return (JSON.parse(answer.text) as { token: string }).token;
  };
  const of = { viewer: '', submitter: '', operator: '', admin };
  for (const role of ROLES) if (role !== 'admin') of[role] = await create(role, role);
  const expired = await create('admin', 'expired', '1s');
  const revoked = await create('admin', 'revoked');
  await ask(node, { method: 'DELETE', path: `/tokens/${idOf(revoked)}`, token: admin });
  for (const token of [expired, revoked])
    await waitFor(
      'a token that has ended',
      async () => (await ask(node, { path: '/config', token })).status === 401,
    );
  const last = admin.at(-1) === 'A' ? 'B' : 'A';
  return { of, expired, revoked, wrong: admin.slice(0, -1) + last };
}

export function idOf(token: string): string {
  return token.split('_')[1] ?? '';
}

/** The node, reached from ever new addresses of the loopback network: one for each connection. */
export async function throughAddresses(target: string): Promise<{ address: string; close: () => void }> {
  const [host, port] = target.split(':');
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer((inner) => {
    count += 1;
    const outer = connect({
      host,
      port: Number(port),
      localAddress: `127.9.${count >> 8}.${(count & 255) + 1}`,
    });
    for (const socket of [inner, outer]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        inner.destroy();
        outer.destroy();
        sockets.delete(socket);
      });
    }
    inner.pipe(outer).pipe(inner);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port was bound');
  return {
    address: `127.0.0.1:${bound.port}`,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
