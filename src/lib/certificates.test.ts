import 'reflect-metadata';
import { createPublicKey, generateKeyPairSync, KeyObject, webcrypto, X509Certificate } from 'node:crypto';

import { BasicConstraintsExtension, X509CertificateGenerator } from '@peculiar/x509';
import { describe, expect, it } from 'vitest';

import { createAuthority, issueCertificate, issueFor, validFor } from './certificates.ts';
import { authorityHash, datedIdentityOf } from './tls-files.ts';

const NOW = Date.UTC(2026, 10, 1);
const DAY_MS = 86_400_000;
const authority = await createAuthority(validFor(NOW, 3650 * DAY_MS));
const request = { kind: 'node', name: 'n1', hosts: [], ...validFor(NOW, 90 * DAY_MS) } as const;

async function usage(kind: 'node' | 'client'): Promise<readonly string[]> {
  return new X509Certificate((await issueCertificate(authority, { ...request, kind })).certificatePem)
    .keyUsage;
}

describe('an authority', () => {
  it('signs itself and may sign certificates', () => {
    const certificate = new X509Certificate(authority.certificatePem);
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
  });

  it('has a name and a hash of its own', async () => {
    const other = await createAuthority(validFor(NOW, DAY_MS));
    const [one, two] = [authority, other].map(({ certificatePem }) => new X509Certificate(certificatePem));
    expect(one?.subject).not.toBe(two?.subject);
    expect(authorityHash(authority.certificatePem)).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(authorityHash(authority.certificatePem)).not.toBe(authorityHash(other.certificatePem));
  });
});

describe('a certificate', () => {
  it('is signed by its authority, and is none itself', async () => {
    const { certificatePem, keyPem } = await issueCertificate(authority, request);
    const certificate = new X509Certificate(certificatePem);
    const issuer = new X509Certificate(authority.certificatePem);
    expect(certificate.checkIssued(issuer)).toBe(true);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    expect(certificate.ca).toBe(false);
    expect(keyPem).toContain('-----BEGIN PRIVATE KEY-----');
  });

  it('says who it speaks for, and from a little before until when', async () => {
    const { certificatePem } = await issueCertificate(authority, request);
    expect(datedIdentityOf(new X509Certificate(certificatePem))).toEqual({
      kind: 'node',
      name: 'n1',
      validFromMs: NOW - 300_000,
      validToMs: NOW + 90 * DAY_MS,
    });
  });

  it('serves and calls as a node, and only calls as a client', async () => {
    expect(await usage('node')).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect(await usage('client')).toEqual(['1.3.6.1.5.5.7.3.2']);
  });

  it('holds the names and addresses of its hosts', async () => {
    const hosts = ['n1.example', '10.0.0.1', '::1'];
    const { certificatePem } = await issueCertificate(authority, { ...request, hosts });
    const certificate = new X509Certificate(certificatePem);
    expect(certificate.checkHost('n1.example')).toBe('n1.example');
    expect(certificate.checkIP('10.0.0.1')).toBe('10.0.0.1');
    expect(certificate.checkIP('::1')).toBe('::1');
    expect(certificate.checkHost('n2.example')).toBeUndefined();
  });

  it('has a serial number of its own', async () => {
    const serials = await Promise.all(
      [1, 2].map(
        async () =>
          new X509Certificate((await issueCertificate(authority, request)).certificatePem).serialNumber,
      ),
    );
    expect(new Set(serials).size).toBe(2);
  });

  it('ends with its authority at the latest', async () => {
    const short = await createAuthority(validFor(NOW, DAY_MS));
    const { certificatePem } = await issueCertificate(short, request);
    expect(new X509Certificate(certificatePem).validToDate.getTime()).toBe(NOW + DAY_MS);
  });

  it('is made for the key of somebody else', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const certificate = new X509Certificate(await issueFor(authority, pem, request));
    expect(certificate.publicKey.equals(createPublicKey(pem))).toBe(true);
  });

  it('is signed also by an authority with an RSA key', async () => {
    const hashed = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
    const keys = await webcrypto.subtle.generateKey(
      { ...hashed, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
      true,
      ['sign', 'verify'],
    );
    const certificate = await X509CertificateGenerator.createSelfSigned({
      name: 'CN=Elsewhere',
      keys,
      notBefore: new Date(NOW),
      notAfter: new Date(NOW + DAY_MS),
      extensions: [new BasicConstraintsExtension(true)],
    });
    const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString();
    const rsa = { certificatePem: certificate.toString('pem'), keyPem: key };
    const { certificatePem } = await issueCertificate(rsa, request);
    const issuer = new X509Certificate(rsa.certificatePem);
    expect(new X509Certificate(certificatePem).verify(issuer.publicKey)).toBe(true);
  });
});

describe('what cannot be signed', () => {
  it.each([
    [{ name: 'a/b' }, /name: "a\/b"/],
    [{ hosts: ['a b'] }, /host: "a b" is neither/],
    [{ hosts: ['x, DNS:y'] }, /host: "x, DNS:y" is neither/],
    [{ validFromMs: NOW + 4000 * DAY_MS }, /the authority's certificate ended at/],
  ])('is refused: %o', async (change, message) => {
    await expect(issueCertificate(authority, { ...request, ...change })).rejects.toThrow(message);
  });

  it('is a key of another kind', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    await expect(issueFor(authority, pem, request)).rejects.toThrow(/allowed is ECDSA P-256/);
    await expect(issueFor(authority, 'nothing', request)).rejects.toThrow(/not a public key/);
  });

  it('is anything with the key of another authority', async () => {
    const other = await createAuthority(validFor(NOW, DAY_MS));
    const mixed = { certificatePem: authority.certificatePem, keyPem: other.keyPem };
    await expect(issueCertificate(mixed, request)).rejects.toThrow(/is not that of the authority/);
  });

  it('is what a certificate that is no authority would sign', async () => {
    const node = await issueCertificate(authority, request);
    await expect(issueCertificate(node, request)).rejects.toThrow(/is not an authority's/);
  });
});
