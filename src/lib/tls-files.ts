/** A certificate, its key and the authorities it trusts, read from files and checked together. */
import { createHash, createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync, statSync, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';

import { identityOf, type DatedIdentity } from './certificate-identity.ts';
import { JarvisError, messageOf } from './errors.ts';

/** Paths of PEM files. */
export interface TlsFiles {
  /** The certificate first, then those between it and its authority, where there are any. */
  readonly certificate: string;
  readonly key: string;
  /** The authorities that are trusted: more than one while one takes the place of another. */
  readonly authorities: string;
}

/** What the files hold, each part as PEM; it fits together and was valid when it was checked. */
export interface TlsMaterial {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly authoritiesPem: string;
  /** Null where the certificate names nobody in the cluster's manner (`certificate-identity.ts`). */
  readonly identity: DatedIdentity | null;
  /** When the certificate, or one that it depends on, ends first, in milliseconds since the epoch. */
  readonly endsMs: number;
  /** Tells contents apart; says nothing of them. */
  readonly digest: string;
}

const FILE_BYTES = 1024 * 1024;
const OTHERS_MAY_READ = 0o007;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** The certificates of a text, each as PEM. */
export function certificatesIn(pem: string): readonly string[] {
  return pem.match(CERTIFICATE) ?? [];
}

/**
 * What an authority is recognised by before it is known: the SHA-256 of its public key (SubjectPublicKeyInfo, DER) as
 * `sha256:` and 64 hexadecimal digits. The key's, so that it stays where the certificate is renewed with the same key.
 * @throws JarvisError invalid where the text does not begin with a certificate
 */
export function authorityHash(certificatePem: string): string {
  const certificate = parsed(certificatesIn(certificatePem)[0] ?? '', 'the authority');
  const publicKey = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(publicKey).digest('hex')}`;
}

/** Who the certificate speaks for, and when. Null where it names nobody. */
export function datedIdentityOf(certificate: X509Certificate): DatedIdentity | null {
  const identity = identityOf(certificate.subjectAltName);
  if (identity === null) return null;
  const { validFromDate, validToDate } = certificate;
  return { ...identity, validFromMs: validFromDate.getTime(), validToMs: validToDate.getTime() };
}

/** @throws JarvisError invalid, naming the file and what is wrong with it */
export async function readTlsFiles(files: TlsFiles, nowMs: number): Promise<TlsMaterial> {
  const [certificatePem, keyPem, authoritiesPem] = await Promise.all([
    readPem(files.certificate),
    readPem(files.key, { isSecret: true }),
    readPem(files.authorities),
  ]);
  return checkedMaterial(files, { certificatePem, keyPem, authoritiesPem }, nowMs);
}

/** The same at once, for programs that do nothing else meanwhile. @throws JarvisError invalid */
export function readTlsFilesSync(files: TlsFiles, nowMs: number): TlsMaterial {
  const texts = {
    certificatePem: readPemSync(files.certificate),
    keyPem: readPemSync(files.key, { isSecret: true }),
    authoritiesPem: readPemSync(files.authorities),
  };
  return checkedMaterial(files, texts, nowMs);
}

/** A secret one must be its owner's alone. @throws JarvisError invalid, naming the file */
export async function readPem(path: string, { isSecret = false } = {}): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      checkFile(await file.stat(), isSecret);
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new JarvisError('invalid', `${path}: ${messageOf(cause)}`, { cause });
  }
}

function readPemSync(path: string, { isSecret = false } = {}): string {
  try {
    checkFile(statSync(path), isSecret);
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new JarvisError('invalid', `${path}: ${messageOf(cause)}`, { cause });
  }
}

function checkFile({ size, mode }: Stats, isSecret: boolean): void {
  if (size > FILE_BYTES) throw new Error(`larger than ${FILE_BYTES} bytes`);
  if (isSecret && (mode & OTHERS_MAY_READ) !== 0)
    throw new Error(`everybody on this machine may use it (mode ${octal(mode)}); allow its owner only`);
}

function octal(mode: number): string {
  return `0${(mode & 0o777).toString(8)}`;
}

type Texts = Pick<TlsMaterial, 'certificatePem' | 'keyPem' | 'authoritiesPem'>;

function checkedMaterial(files: TlsFiles, texts: Texts, nowMs: number): TlsMaterial {
  const [certificate, ...between] = certificatesOf(files.certificate, texts.certificatePem);
  const authorities = certificatesOf(files.authorities, texts.authoritiesPem);
  if (certificate === undefined) throw holdsNone(files.certificate);
  if (authorities.length === 0) throw holdsNone(files.authorities);
  const stranger = authorities.find(({ ca }) => !ca);
  if (stranger !== undefined)
    throw wrong(files.authorities, `${subjectOf(stranger)} is not an authority's certificate`);
  if (!certificate.checkPrivateKey(privateKey(files.key, texts.keyPem)))
    throw wrong(files.key, `is not the key of the certificate in ${files.certificate}`);
  for (const each of [certificate, ...between]) checkDates(files.certificate, each, nowMs);
  const authority = authorityOf(certificate, between, authorities, nowMs);
  if (authority === null)
    throw wrong(
      files.certificate,
      `${subjectOf(certificate)} is not signed by a valid authority of ${files.authorities}`,
    );
  return {
    ...texts,
    identity: datedIdentityOf(certificate),
    endsMs: Math.min(...[certificate, ...between, authority].map((each) => each.validToDate.getTime())),
    digest: digestOf(texts),
  };
}

function certificatesOf(path: string, pem: string): readonly X509Certificate[] {
  return certificatesIn(pem).map((text) => parsed(text, path));
}

function parsed(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new JarvisError('invalid', `${what}: not a certificate: ${messageOf(cause)}`, { cause });
  }
}

/** What OpenSSL says of a key that it cannot read holds nothing of it. */
function privateKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new JarvisError('invalid', `${path}: not a private key without a passphrase: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function checkDates(path: string, certificate: X509Certificate, nowMs: number): void {
  const subject = subjectOf(certificate);
  if (certificate.validToDate.getTime() <= nowMs)
    throw wrong(path, `${subject} expired at ${certificate.validToDate.toISOString()}`);
  if (certificate.validFromDate.getTime() > nowMs)
    throw wrong(path, `${subject} is valid only from ${certificate.validFromDate.toISOString()}`);
}

/**
 * The authority at the end of a certificate's chain.
 * @param between further certificates of the chain, in any order
 * @returns null where none of the authorities that are valid now has signed it
 */
export function authorityOf(
  certificate: X509Certificate,
  between: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
  nowMs: number,
): X509Certificate | null {
  const isIssuer = (issuer: X509Certificate): boolean =>
    certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  const authority = authorities.find(
    (each) => isIssuer(each) && each.validFromDate.getTime() <= nowMs && nowMs < each.validToDate.getTime(),
  );
  if (authority !== undefined) return authority;
  const next = between.find((each) => each.ca && isIssuer(each));
  return next === undefined
    ? null
    : authorityOf(
        next,
        between.filter((each) => each !== next),
        authorities,
        nowMs,
      );
}

/** On one line, as it stands in the middle of sentences. */
function subjectOf({ subject }: X509Certificate): string {
  return JSON.stringify(subject.replaceAll('\n', ', '));
}

function holdsNone(path: string): JarvisError {
  return wrong(path, 'holds no certificate (-----BEGIN CERTIFICATE-----)');
}

function wrong(path: string, what: string): JarvisError {
  return new JarvisError('invalid', `${path}: ${what}`);
}

function digestOf(texts: Texts): string {
  const hash = createHash('sha256');
  for (const text of [texts.certificatePem, texts.keyPem, texts.authoritiesPem])
    hash.update(`${text.length}:`).update(text);
  return hash.digest('hex');
}
