/** Certificates and keys as files of a directory: written whole or not at all, keys for their owner only. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import type { CertificateAndKey } from '../lib/certificates.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';

const CERTIFICATE_MODE = 0o644;
const KEY_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
const MAX_BYTES = 1024 * 1024;

export interface PairOfFiles {
  readonly certificate: string;
  readonly key: string;
}

export function pairIn(directory: string, name: string): PairOfFiles {
  return {
    certificate: path.join(directory, `${name}.crt`),
    key: path.join(directory, `${name}.key`),
  };
}

/** @throws JarvisError conflict where there is one of them, and `force` is not given */
export function checkFree({ certificate, key }: PairOfFiles, force: boolean): void {
  const taken = force ? undefined : [certificate, key].find((file) => existsSync(file));
  if (taken !== undefined)
    throw new JarvisError('conflict', `${taken} is there already; --force puts another in its place`);
}

/** The key first: a certificate without its key helps nobody. @throws JarvisError invalid where it cannot be written */
export function writePair(files: PairOfFiles, pair: CertificateAndKey): void {
  try {
    mkdirSync(path.dirname(files.key), { recursive: true, mode: DIRECTORY_MODE });
    replaceFile(files.key, pair.keyPem, KEY_MODE);
    replaceFile(files.certificate, pair.certificatePem, CERTIFICATE_MODE);
  } catch (cause) {
    throw new JarvisError('invalid', `cannot write ${files.certificate} and its key: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function replaceFile(file: string, text: string, mode: number): void {
  const temporary = `${file}.${process.pid}.new`;
  try {
    writeFileSync(temporary, text, { mode, flag: 'wx', flush: true });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** @throws JarvisError invalid where they cannot be read */
export function readPair({ certificate, key }: PairOfFiles): CertificateAndKey {
  return { certificatePem: readPem(certificate), keyPem: readPem(key) };
}

/** @throws JarvisError invalid */
export function readPem(file: string): string {
  try {
    const text = readFileSync(file, 'utf8');
    if (text.length > MAX_BYTES) throw new Error(`larger than ${MAX_BYTES} bytes`);
    return text;
  } catch (cause) {
    throw new JarvisError('invalid', `cannot read ${file}: ${messageOf(cause)}`, { cause });
  }
}
