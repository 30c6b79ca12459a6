/**
 * Makes a cluster's certificate authority and the certificates of its nodes and clients: X.509 v3, ECDSA P-256 with
 * SHA-256. Who a certificate speaks for stands in it as `certificate-identity.ts` says. Reading and checking is the
 * matter of `tls-files.ts`, which needs none of what is imported here.
 */
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, randomBytes, webcrypto, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';

import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type JsonGeneralName,
} from '@peculiar/x509';

import { identityUri, type CertificateIdentity } from './certificate-identity.ts';
import { JarvisError, messageOf } from './errors.ts';
import { isName, NAME_RULE } from './names.ts';

cryptoProvider.set(webcrypto);

const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' };
/** The clocks of the machines that a new certificate is brought to may be behind. */
const CLOCK_LEEWAY_MS = 5 * 60_000;
const SERIAL_BYTES = 16;
/** X.509 allows no longer common name; the whole name stands in the subject alternative name. */
const COMMON_NAME_MAX = 64;
const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*$/;

/** Both as PEM; the key is PKCS #8 and not encrypted. */
export interface CertificateAndKey {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface Validity {
  /** Milliseconds since the epoch. A certificate made now starts a little earlier: see {@link validFor}. */
  readonly validFromMs: number;
  readonly validToMs: number;
}

export interface CertificateRequest extends CertificateIdentity, Validity {
  /** Host names and IP addresses; may be empty: nodes check each other by name, tools outside the cluster by host. */
  readonly hosts: readonly string[];
}

/** From a little before `nowMs`, as clocks differ, until `durationMs` after it. */
export function validFor(nowMs: number, durationMs: number): Validity {
  return { validFromMs: nowMs - CLOCK_LEEWAY_MS, validToMs: nowMs + durationMs };
}

/** A new authority, signed by itself. It signs certificates, not further authorities. */
export async function createAuthority(validity: Validity): Promise<CertificateAndKey> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    // A name of its own: a bundle may hold two, while one takes the place of the other.
    name: [{ CN: [`Jarvis CA ${randomBytes(4).toString('hex')}`] }],
    keys,
    serialNumber: randomSerial(),
    ...dates(validity),
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: pemOf(certificate), keyPem: await privateKeyPem(keys.privateKey) };
}

/** A new key and its certificate. @throws JarvisError invalid as {@link issueFor} does */
export async function issueCertificate(
  authority: CertificateAndKey,
  request: CertificateRequest,
): Promise<CertificateAndKey> {
  const keys = await newKeys();
  const publicKey = new PublicKey(await webcrypto.subtle.exportKey('spki', keys.publicKey));
  const certificatePem = await issueFor(authority, publicKey.toString('pem'), request);
  return { certificatePem, keyPem: await privateKeyPem(keys.privateKey) };
}

/**
 * A certificate for a key that somebody else keeps. It ends with its authority at the latest: one that lasted longer
 * would stop to be accepted at a time that is not written in it.
 * @param publicKeyPem the key's SubjectPublicKeyInfo (`-----BEGIN PUBLIC KEY-----`); ECDSA P-256
 * @throws JarvisError invalid where the key, a name or host cannot be used, or the authority cannot sign
 */
export async function issueFor(
  authority: CertificateAndKey,
  publicKeyPem: string,
  request: CertificateRequest,
): Promise<string> {
  if (!isName(request.name))
    throw new JarvisError('invalid', `name: ${JSON.stringify(request.name)} is not ${NAME_RULE}`);
  const publicKey = publicKeyOf(publicKeyPem);
  const signer = signerOf(authority);
  const issuerEndMs = signer.certificate.notAfter.getTime();
  if (issuerEndMs <= request.validFromMs)
    throw new JarvisError(
      'invalid',
      `the authority's certificate ended at ${new Date(issuerEndMs).toISOString()}`,
    );
  const certificate = await X509CertificateGenerator.create({
    subject: [{ CN: [request.name.slice(0, COMMON_NAME_MAX)] }],
    issuer: signer.certificate.subjectName,
    publicKey,
    signingKey: signer.key,
    serialNumber: randomSerial(),
    ...dates({ ...request, validToMs: Math.min(request.validToMs, issuerEndMs) }),
    signingAlgorithm: signer.signature,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(
        request.kind === 'node'
          ? [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]
          : [ExtendedKeyUsage.clientAuth],
      ),
      new SubjectAlternativeNameExtension(alternativeNames(request)),
      await SubjectKeyIdentifierExtension.create(publicKey),
      await AuthorityKeyIdentifierExtension.create(signer.certificate.publicKey),
    ],
  });
  return pemOf(certificate);
}

function alternativeNames(request: CertificateRequest): JsonGeneralName[] {
  return [
    { type: 'url', value: identityUri(request) },
    ...request.hosts.map((host): JsonGeneralName => {
      if (isIP(host) !== 0) return { type: 'ip', value: host };
      if (HOST_NAME.test(host)) return { type: 'dns', value: host };
      throw new JarvisError(
        'invalid',
        `host: ${JSON.stringify(host)} is neither a host name nor an IP address`,
      );
    }),
  ];
}

function publicKeyOf(pem: string): PublicKey {
  let key: PublicKey;
  try {
    key = new PublicKey(pem);
  } catch (cause) {
    throw new JarvisError('invalid', `not a public key: ${messageOf(cause)}`, { cause });
  }
  const { name, namedCurve } = key.algorithm as { name: string; namedCurve?: string };
  if (namedCurve !== KEY_ALGORITHM.namedCurve)
    throw new JarvisError('invalid', `a key of ${namedCurve ?? name}; allowed is ECDSA P-256`);
  return key;
}

interface Signer {
  readonly certificate: X509Certificate;
  readonly key: webcrypto.CryptoKey;
  readonly signature: { readonly name: string; readonly hash: string };
}

/** One made elsewhere may have another kind of key. */
function signerOf(authority: CertificateAndKey): Signer {
  let certificate: X509Certificate;
  let key: KeyObject;
  try {
    certificate = new X509Certificate(authority.certificatePem);
    key = createPrivateKey(authority.keyPem);
  } catch (cause) {
    throw new JarvisError('invalid', `the authority cannot be read: ${messageOf(cause)}`, { cause });
  }
  if (certificate.getExtension(BasicConstraintsExtension)?.ca !== true)
    throw new JarvisError('invalid', `the certificate of ${certificate.subject} is not an authority's`);
  if (!createPublicKey(authority.certificatePem).equals(createPublicKey(key)))
    throw new JarvisError('invalid', `the key is not that of the authority ${certificate.subject}`);
  return { certificate, ...signingKey(key) };
}

const CURVES: Readonly<Record<string, { namedCurve: string; hash: string }>> = {
  prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
};

function signingKey(key: KeyObject): Pick<Signer, 'key' | 'signature'> {
  const type = key.asymmetricKeyType;
  if (type === 'rsa') {
    const signature = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
    return { key: key.toCryptoKey(signature, false, ['sign']), signature };
  }
  const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (type !== 'ec' || curve === undefined)
    throw new JarvisError('invalid', `the authority has a key of type ${type}; allowed are ec and rsa`);
  const { namedCurve, hash } = curve;
  const cryptoKey = key.toCryptoKey({ name: 'ECDSA', namedCurve }, false, ['sign']);
  return { key: cryptoKey, signature: { name: 'ECDSA', hash } };
}

function dates(validity: Validity): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(validity.validFromMs), notAfter: new Date(validity.validToMs) };
}

/** Positive, and of the same length always. */
function randomSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
