import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { readTlsFilesSync } from '../../lib/tls-files.ts';
import { runInProcess } from '../run-cli.test-kit.ts';
import type { CliResult } from '../run-cli.test-kit.ts';

const DAY_MS = 86_400_000;

let home: string;
let directory: string;

beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'jarvis-cert-'));
  directory = path.join(home, 'certs');
});

afterEach(() => rmSync(home, { recursive: true }));

function ctl(words: string): Promise<CliResult> {
  return runInProcess(['cert', ...words.split(' ').filter((word) => word !== ''), ...inDirectory(words)]);
}

function inDirectory(words: string): readonly string[] {
  return words.startsWith('show') ? [] : ['--dir', directory];
}

const at = (name: string): string => path.join(directory, name);
const read = (name: string): string => readFileSync(at(name), 'utf8');

describe('certificates', () => {
  it('of nodes and clients are made by an authority, and fit together', async () => {
    const made = await ctl('init -o json');
    expect(made).toMatchObject({ status: 0, stderr: expect.stringContaining('keep it apart') as string });
    expect(JSON.parse(made.stdout)).toMatchObject({
      kind: 'authority',
      authority_hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string,
    });
    const node = JSON.parse((await ctl('issue --name n1 --host 10.0.0.1,n1.example -o json')).stdout) as {
      valid_to: string;
    };
    expect(node).toMatchObject({ kind: 'node', name: 'n1', hosts: ['10.0.0.1', 'n1.example'] });
    expect(Math.round((Date.parse(node.valid_to) - Date.now()) / DAY_MS)).toBe(365);
    expect((await ctl('issue --client --name ci --days 7 -o name')).stdout).toBe('ci\n');
    for (const [kind, name] of [
      ['node', 'n1'],
      ['client', 'ci'],
    ] as const) {
      const files = { certificate: at(`${name}.crt`), key: at(`${name}.key`), authorities: at('ca.crt') };
      expect(readTlsFilesSync(files, Date.now()).identity).toMatchObject({ kind, name });
    }
  });

  it('are shown with who they speak for and until when, and no key is', async () => {
    await ctl('init --days 10');
    await ctl('issue --name n1 --host 10.0.0.1');
    const day = new Date(Date.now() + 10 * DAY_MS).toISOString().slice(0, 10);
    const { stdout } = await ctl(`show ${at('n1.crt')}`);
    expect(stdout).toContain('KIND');
    // It ends with its authority.
    expect(stdout).toMatch(new RegExp(`n1.crt +node +n1 +${day} +10\\.0\\.0\\.1`));
    const all = await ctl(`show ${at('ca.crt')} ${at('n1.crt')} -o json`);
    expect((JSON.parse(all.stdout) as { items: object[] }).items).toHaveLength(2);
    expect(await ctl(`show ${at('n1.key')}`)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('n1.key: holds no certificate') as string,
    });
  });

  it('are files that are not overwritten unless that is asked for, and keys are for their owner only', async () => {
    const umask = process.umask(0);
    try {
      await ctl('init');
      await ctl('issue --name n1');
    } finally {
      process.umask(umask);
    }
    expect(readdirSync(directory).sort()).toEqual(['ca.crt', 'ca.key', 'n1.crt', 'n1.key']);
    for (const name of ['ca.key', 'n1.key']) expect(statSync(at(name)).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    const before = [read('ca.crt'), read('ca.key'), read('n1.key')];
    for (const words of ['init', 'issue --name n1'])
      expect(await ctl(words)).toMatchObject({
        status: 1,
        stdout: '',
        stderr: expect.stringContaining('is there already; --force') as string,
      });
    expect([read('ca.crt'), read('ca.key'), read('n1.key')]).toEqual(before);
    expect((await ctl('issue --name n1 --force')).status).toBe(0);
    expect(read('n1.key')).not.toBe(before[2]);
    expect(statSync(at('n1.key')).mode & 0o777).toBe(0o600);
  });
});

describe('what cannot be issued', () => {
  it.each([
    ['issue --name n1', 'cannot read', 'without an authority'],
    ['issue --name ../n1', 'name: "../n1" is not a name', 'a path'],
    ['issue --name ca', '"ca" is what the files of the authority are called', 'in place of the authority'],
    ['issue --name n1 --host a_b/c', 'host: "a_b/c" is neither a host name nor an IP address', 'no host'],
    ['issue --name n1 --days 0', 'Allowed: 1 to 36500', 'for no time'],
    ['issue', "required option '--name <name>' not specified", 'without a name'],
  ])('%s is refused: %s', async (words, message, what) => {
    if (what !== 'without an authority') await ctl('init');
    const result = await ctl(words);
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(result.stderr).toContain(message);
    expect(readdirSync(home).includes('n1.crt')).toBe(false);
  });
});
