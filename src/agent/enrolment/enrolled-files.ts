/**
 * The certificate that a node was given by its cluster, in its data directory. Key and certificate stand in one file, so
 * that a renewal takes the place of both at once, whenever the power fails.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import type { TlsFiles } from '../../lib/tls-files.ts';
import { TLS_FOLDER } from '../../raft/data-directory.ts';
import { makeDirectoryDurably, writeDurably } from '../../raft/durable-file.ts';
import { joinTokenOf, type JoinCredentials } from '../join-credentials.ts';

const PENDING_KEY = 'pending-key.pem';

/** A key and what others are told of it. */
export interface NodeKey {
  /** PKCS #8, PEM. Never leaves this machine. */
  readonly keyPem: string;
  /** SubjectPublicKeyInfo, PEM. */
  readonly publicKeyPem: string;
}

export function enrolledFiles(dataDirectory: string): TlsFiles {
  const folder = path.join(dataDirectory, TLS_FOLDER);
  const node = path.join(folder, 'node.pem');
  return { certificate: node, key: node, authorities: path.join(folder, 'ca.pem') };
}

/**
 * Where no other files are named: those that the cluster has given the node, or will give it for its join token.
 * @returns null: the node is to have no TLS
 */
export function tlsOfCluster(dataDirectory: string, credentials: JoinCredentials): TlsFiles | null {
  const files = enrolledFiles(dataDirectory);
  if (isEnrolled(files)) return files;
  try {
    return (joinTokenOf(credentials)?.authorityHash ?? null) === null ? null : files;
  } catch {
    // Whoever needs the token says what is wrong with it; a member that has come in needs it no more.
    return null;
  }
}

/** The node has a certificate of its cluster's. */
export function isEnrolled(files: TlsFiles): boolean {
  return existsSync(files.certificate);
}

/**
 * A new key, kept before anybody hears of it: whoever asks again after a crash must do so with the same one, since the
 * join token is used up for others.
 */
export async function pendingKey(files: TlsFiles): Promise<NodeKey> {
  const file = pendingKeyFile(files);
  await makeDirectoryDurably(path.dirname(file));
  if (existsSync(file)) return keyOf(await readFile(file, 'utf8'));
  const key = newKey();
  await writeDurably(file, key.keyPem);
  return key;
}

export function newKey(): NodeKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return keyOf(privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
}

function keyOf(keyPem: string): NodeKey {
  const publicKey = createPublicKey(createPrivateKey(keyPem));
  return { keyPem, publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }) as string };
}

/** In an order in which the files fit together at any moment. */
export async function storeEnrolled(
  files: TlsFiles,
  { keyPem, certificatePem, authoritiesPem }: StoredCertificate,
): Promise<void> {
  await writeDurably(files.authorities, authoritiesPem);
  await writeDurably(files.certificate, `${keyPem.trim()}\n${certificatePem.trim()}\n`);
  await rm(pendingKeyFile(files), { force: true });
}

export interface StoredCertificate {
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly authoritiesPem: string;
}

function pendingKeyFile(files: TlsFiles): string {
  return path.join(path.dirname(files.certificate), PENDING_KEY);
}

/** Tells keys apart, and is no secret. @throws Error where the text is no public key */
export function hashOfPublicKey(publicKeyPem: string): string {
  const der = createPublicKey(publicKeyPem).export({ type: 'spki', format: 'der' });
  return hash('sha256', der, 'hex');
}
