import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { createAuthority, issueCertificate, validFor } from './certificates.ts';
import { readTlsFiles, readTlsFilesSync, type TlsFiles } from './tls-files.ts';

const NOW = Date.UTC(2026, 10, 1);
const DAY_MS = 86_400_000;
const directory = mkdtempSync(path.join(tmpdir(), 'tls-files-'));
afterAll(() => rmSync(directory, { recursive: true }));

const authority = await createAuthority(validFor(NOW, 3650 * DAY_MS));
const other = await createAuthority(validFor(NOW, 3650 * DAY_MS));
const node = await issueCertificate(authority, {
  kind: 'node',
  name: 'n1',
  hosts: [],
  ...validFor(NOW, 90 * DAY_MS),
});
const second = await issueCertificate(authority, {
  kind: 'node',
  name: 'n2',
  hosts: [],
  ...validFor(NOW, 90 * DAY_MS),
});

const good = { certificate: node.certificatePem, key: node.keyPem, authorities: authority.certificatePem };
let made = 0;

function files(contents: Partial<typeof good> = {}): TlsFiles {
  const of = (name: keyof typeof good): string => {
    made += 1;
    const file = path.join(directory, `${made}.${name}.pem`);
    writeFileSync(file, contents[name] ?? good[name], { mode: 0o600 });
    return file;
  };
  return { certificate: of('certificate'), key: of('key'), authorities: of('authorities') };
}

describe('files that fit together', () => {
  it('are read with what the certificate says', async () => {
    const material = await readTlsFiles(files(), NOW);
    expect(material).toMatchObject({
      certificatePem: node.certificatePem,
      keyPem: node.keyPem,
      authoritiesPem: authority.certificatePem,
      identity: { kind: 'node', name: 'n1' },
      endsMs: NOW + 90 * DAY_MS,
    });
  });

  it('are read at once to the same effect', async () => {
    const paths = files();
    expect(readTlsFilesSync(paths, NOW)).toEqual(await readTlsFiles(paths, NOW));
    chmodSync(paths.key, 0o644);
    expect(() => readTlsFilesSync(paths, NOW)).toThrow(/key.pem: .*mode 0644/);
    expect(() => readTlsFilesSync({ ...paths, key: `${paths.key}.missing` }, NOW)).toThrow(/ENOENT/);
  });

  it('may trust several authorities', async () => {
    const authorities = `${other.certificatePem}${authority.certificatePem}`;
    await expect(readTlsFiles(files({ authorities }), NOW)).resolves.toMatchObject({
      authoritiesPem: authorities,
    });
  });

  it('have a digest that changes with each of them', async () => {
    const authorities = `${authority.certificatePem}${other.certificatePem}`;
    const one = await readTlsFiles(files(), NOW);
    const two = await readTlsFiles(files({ authorities }), NOW);
    const three = await readTlsFiles(files({ certificate: second.certificatePem, key: second.keyPem }), NOW);
    expect(new Set([one.digest, two.digest, three.digest]).size).toBe(3);
    expect((await readTlsFiles(files(), NOW)).digest).toBe(one.digest);
  });
});

describe('files that do not', () => {
  it.each([
    ['certificate', { certificate: 'nothing' }, /holds no certificate/],
    ['certificate', { certificate: good.certificate.replace('MII', 'AAA') }, /not a certificate/],
    [
      'certificate',
      { authorities: other.certificatePem },
      /is not signed by a valid authority of .*authorities/,
    ],
    ['authorities', { authorities: '' }, /holds no certificate/],
    ['authorities', { authorities: node.certificatePem }, /"CN=n1" is not an authority's certificate/],
    ['key', { key: second.keyPem }, /is not the key of the certificate in .*certificate/],
    ['key', { key: 'nothing' }, /not a private key without a passphrase/],
    ['key', { key: 'x'.repeat(1024 * 1024 + 1) }, /larger than 1048576 bytes/],
  ] as const)('are refused by name: %s %#', async (name, contents, message) => {
    const paths = files(contents);
    const refused = readTlsFiles(paths, NOW);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toThrow(`${paths[name]}: `);
  });

  it('are refused where a certificate is over, or has not begun', async () => {
    await expect(readTlsFiles(files(), NOW + 90 * DAY_MS)).rejects.toThrow(
      /"CN=n1" expired at 2027-01-30T00:00:00.000Z/,
    );
    await expect(readTlsFiles(files(), NOW - DAY_MS)).rejects.toThrow(/"CN=n1" is valid only from/);
  });

  it('are refused where everybody may read the key', async () => {
    const paths = files();
    chmodSync(paths.key, 0o644);
    await expect(readTlsFiles(paths, NOW)).rejects.toThrow(/mode 0644/);
  });

  it('are refused where one is missing', async () => {
    const missing = { ...files(), key: path.join(directory, 'missing.pem') };
    await expect(readTlsFiles(missing, NOW)).rejects.toThrow(/missing.pem: ENOENT/);
  });
});
