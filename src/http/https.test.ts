import { connect, type PeerCertificate } from 'node:tls';
import { once } from 'node:events';

import { expect, it, onTestFinished } from 'vitest';

import { splitAddress } from '../lib/address.ts';
import { silentLog } from '../lib/log.ts';
import { ExchangeableTls, materialOf, newAuthority } from '../lib/testing/tls.test-kit.ts';
import type { ClusterOperations } from '../operations/port.ts';
import { createHttpServer } from './server.ts';

const authority = await newAuthority();
const material = (name: string) => materialOf(authority, { kind: 'node', name }, { hosts: ['127.0.0.1'] });

async function serve() {
  const tls = new ExchangeableTls(await material('n1'));
  const server = createHttpServer({
    operations: {} as ClusterOperations,
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
    tls,
  });
  onTestFinished(() => server.close(0));
  const { port } = splitAddress(await server.listen('127.0.0.1:0'));
  return { tls, port };
}

/** @returns the certificate that is shown, and what the server answers to a request for its health */
async function ask(port: number, maxVersion: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3') {
  const socket = connect({
    host: '127.0.0.1',
    port,
    ca: authority.certificatePem,
    minVersion: 'TLSv1',
    maxVersion,
  });
  await once(socket, 'secureConnect');
  const certificate: PeerCertificate = socket.getPeerCertificate();
  socket.write('GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  let text = '';
  for await (const piece of socket.setEncoding('utf8')) text += piece;
  return { name: certificate.subject.CN, status: text.split('\r\n')[0] };
}

it.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'is spoken with %s, and asks for no certificate',
  async (version) => {
    const { port } = await serve();
    await expect(ask(port, version)).resolves.toEqual({ name: 'n1', status: 'HTTP/1.1 200 OK' });
  },
);

it('is not spoken with what is older, also after the certificate was exchanged', async () => {
  const { tls, port } = await serve();
  await expect(ask(port, 'TLSv1.1')).rejects.toMatchObject({ library: 'SSL routines' });
  tls.exchange(await material('n2'));
  await expect(ask(port, 'TLSv1.1')).rejects.toMatchObject({ library: 'SSL routines' });
});

it('shows new connections a new certificate', async () => {
  const { tls, port } = await serve();
  tls.exchange(await material('n2'));
  await expect(ask(port)).resolves.toEqual({ name: 'n2', status: 'HTTP/1.1 200 OK' });
});

it('does not answer plain text', async () => {
  const { port } = await serve();
  await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow('fetch failed');
});
