/** Certificates of a test's cluster, made as users make them: with `jarvisctl cert`. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import type { TlsFiles } from '../../src/lib/tls-files.ts';
import { HOST } from './ports.ts';
import { runProgram } from './program.ts';

export class Certificates {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** With an authority of its own. */
  static async create(directory: string): Promise<Certificates> {
    const made = new Certificates(directory);
    await made.#cert('init');
    return made;
  }

  async node(name: string): Promise<TlsFiles> {
    await this.#cert('issue', '--name', name, '--host', `${HOST},localhost`, '--force');
    return this.files(name);
  }

  async client(name: string): Promise<TlsFiles> {
    await this.#cert('issue', '--name', name, '--client', '--force');
    return this.files(name);
  }

  files(name: string): TlsFiles {
    return {
      certificate: path.join(this.directory, `${name}.crt`),
      key: path.join(this.directory, `${name}.key`),
      authorities: path.join(this.directory, 'ca.crt'),
    };
  }

  get authorityPem(): string {
    return readFileSync(path.join(this.directory, 'ca.crt'), 'utf8');
  }

  async #cert(...words: readonly string[]): Promise<void> {
    const result = await runProgram('jarvisctl', ['cert', ...words, '--dir', this.directory]);
    if (result.status !== 0) throw new Error(`jarvisctl cert ${words.join(' ')}: ${result.stderr}`);
  }
}

/** What makes a node speak TLS. */
export function nodeEnvironment(files: TlsFiles): Readonly<Record<string, string>> {
  return {
    JARVISD_TLS_CERT: files.certificate,
    JARVISD_TLS_KEY: files.key,
    JARVISD_TLS_CA: files.authorities,
  };
}

/** What makes jarvisctl speak TLS. */
export function clientEnvironment(files: TlsFiles): Readonly<Record<string, string>> {
  return {
    JARVIS_TLS_CERT: files.certificate,
    JARVIS_TLS_KEY: files.key,
    JARVIS_TLS_CA: files.authorities,
  };
}

function put(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** In the place of what the files hold; each appears whole. */
export function replaceFiles(files: TlsFiles, from: TlsFiles, authoritiesPem: string): void {
  put(files.key, readFileSync(from.key, 'utf8'));
  put(files.certificate, readFileSync(from.certificate, 'utf8'));
  put(files.authorities, authoritiesPem);
}
