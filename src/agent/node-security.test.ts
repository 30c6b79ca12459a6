import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, expect, it } from 'vitest';

import { createAuthority, issueCertificate, validFor } from '../lib/certificates.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { noSecurity, startSecurity } from './node-security.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'node-security-'));
afterAll(() => rmSync(directory, { recursive: true }));

const year = validFor(Date.now(), 365 * 86_400_000);
const authority = await createAuthority(year);

async function filesOf(kind: 'node' | 'client', name: string) {
  const issued = await issueCertificate(authority, { kind, name, hosts: [], ...year });
  const to = (ending: string, text: string): string => {
    const file = path.join(directory, `${kind}-${name}.${ending}`);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  return {
    certificate: to('crt', issued.certificatePem),
    key: to('key', issued.keyPem),
    authorities: to('ca', authority.certificatePem),
  };
}

const parts = { clock: systemClock, log: silentLog };

it('is the certificate of the node that bears its name', async () => {
  const security = await startSecurity({ name: 'n1', tls: await filesOf('node', 'n1') }, parts);
  expect(security.tls?.current.identity).toMatchObject({ kind: 'node', name: 'n1' });
  expect(security.channels.credentials('n2')._isSecure()).toBe(true);
  await security.close();
});

it.each([
  ['node', 'n2', /^tls_cert: .*node-n2.crt is the certificate of node "n2", and this is node "n1"$/],
  ['client', 'n1', /^tls_cert: .*client-n1.crt is the certificate of client "n1", and this is node "n1"$/],
] as const)('is not that of %s %s', async (kind, name, message) => {
  await expect(startSecurity({ name: 'n1', tls: await filesOf(kind, name) }, parts)).rejects.toMatchObject({
    code: 'invalid',
    message: expect.stringMatching(message) as string,
  });
});

it('is none where there are no files', async () => {
  await expect(startSecurity({ name: 'n1', tls: null }, parts)).resolves.toBe(noSecurity);
});
