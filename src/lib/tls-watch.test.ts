import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createAuthority, issueCertificate, validFor, type CertificateAndKey } from './certificates.ts';
import { silentLog, type Log } from './log.ts';
import { VirtualClock } from './testing/virtual-clock.ts';
import type { TlsFiles, TlsMaterial } from './tls-files.ts';
import { TlsWatch } from './tls-watch.ts';

const DAY_MS = 86_400_000;
const START_MS = new VirtualClock().wallMs();
const authority = await createAuthority(validFor(START_MS, 3650 * DAY_MS));

function issue(days = 90): Promise<CertificateAndKey> {
  return issueCertificate(authority, {
    kind: 'node',
    name: 'n1',
    hosts: [],
    ...validFor(START_MS, days * DAY_MS),
  });
}

let directory: string;
let files: TlsFiles;
let clock: VirtualClock;
let lines: { level: string; message: string; fields: object }[];
let taken: TlsMaterial[];
let watch: TlsWatch | null;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'tls-watch-'));
  files = {
    certificate: path.join(directory, 'tls.crt'),
    key: path.join(directory, 'tls.key'),
    authorities: path.join(directory, 'ca.crt'),
  };
  clock = new VirtualClock();
  lines = [];
  taken = [];
  watch = null;
});

afterEach(async () => {
  await watch?.close();
  rmSync(directory, { recursive: true });
});

const say =
  (level: string) =>
  (fields: object, message: string): void =>
    void lines.push({ level, message, fields });
const log: Log = { ...silentLog, info: say('info'), warn: say('warn'), error: say('error') };

function write(to: string, pair: Partial<CertificateAndKey>, authorities = authority.certificatePem): void {
  if (pair.certificatePem !== undefined) writeFileSync(path.join(to, 'tls.crt'), pair.certificatePem);
  if (pair.keyPem !== undefined) writeFileSync(path.join(to, 'tls.key'), pair.keyPem, { mode: 0o600 });
  writeFileSync(path.join(to, 'ca.crt'), authorities);
}

async function start(check?: (material: TlsMaterial) => void): Promise<TlsWatch> {
  const started = await TlsWatch.start({ files, clock, log, ...(check === undefined ? {} : { check }) });
  watch = started;
  started.onChange((material) => taken.push(material));
  return started;
}

describe('files that change', () => {
  it('are taken over without a restart, and everybody is told once', async () => {
    const [first, second] = [await issue(), await issue()];
    write(directory, first);
    const source = await start();
    await source.look();
    expect(taken).toEqual([]);
    write(directory, second);
    await source.look();
    await source.look();
    expect(source.current.certificatePem).toBe(second.certificatePem);
    expect(taken).toEqual([source.current]);
    expect(lines).toMatchObject([{ level: 'info', message: 'new TLS files are in use' }]);
  });

  it('are looked at at intervals', async () => {
    const second = await issue();
    write(directory, await issue());
    const source = await start();
    write(directory, second);
    const told = new Promise((resolve) => {
      source.onChange(resolve);
    });
    await clock.advance(5000);
    await expect(told).resolves.toMatchObject({ certificatePem: second.certificatePem });
  });

  it('are kept off while they do not fit, which is said once', async () => {
    const [first, second] = [await issue(), await issue()];
    write(directory, first);
    const source = await start();
    write(directory, { certificatePem: second.certificatePem });
    await source.look();
    await source.look();
    expect(source.current.certificatePem).toBe(first.certificatePem);
    expect(lines).toMatchObject([
      {
        level: 'warn',
        message: 'the TLS files cannot be used; the former stay in use',
        fields: { error: expect.stringContaining('is not the key of the certificate') as string },
      },
    ]);
    write(directory, { keyPem: second.keyPem });
    await source.look();
    expect(source.current.certificatePem).toBe(second.certificatePem);
  });

  it('are kept off where their holder has something against them', async () => {
    write(directory, await issue());
    let allowed = true;
    const source = await start(() => {
      if (!allowed) throw new Error('of another node');
    });
    allowed = false;
    const former = source.current;
    write(directory, await issue());
    await source.look();
    expect(source.current).toBe(former);
    expect(lines).toMatchObject([{ level: 'warn', fields: { error: 'of another node' } }]);
  });

  it('may be renamed into place, or stand behind a symbolic link that is exchanged', async () => {
    const [first, second, third] = [await issue(), await issue(), await issue()];
    for (const [name, pair] of [
      ['one', first],
      ['two', second],
    ] as const) {
      mkdirSync(path.join(directory, name));
      write(path.join(directory, name), pair);
    }
    symlinkSync('one', path.join(directory, 'data'));
    for (const name of ['tls.crt', 'tls.key', 'ca.crt'])
      symlinkSync(path.join('data', name), path.join(directory, name));
    const source = await start();
    symlinkSync('two', path.join(directory, 'data.new'));
    renameSync(path.join(directory, 'data.new'), path.join(directory, 'data'));
    await source.look();
    expect(source.current.certificatePem).toBe(second.certificatePem);
    mkdirSync(path.join(directory, 'three'));
    write(path.join(directory, 'three'), third);
    for (const name of ['tls.crt', 'tls.key'])
      renameSync(path.join(directory, 'three', name), path.join(directory, name));
    await source.look();
    expect(source.current.certificatePem).toBe(third.certificatePem);
  });
});

describe('a certificate that ends', () => {
  it.each([
    [31, null],
    [29, 'warn'],
    [6, 'error'],
  ])('within %i days is spoken of: %s', async (days, level) => {
    write(directory, await issue(days));
    await start();
    expect(lines.map((line) => line.level)).toEqual(level === null ? [] : [level]);
  });

  it('is spoken of once a day, until another takes its place', async () => {
    write(directory, await issue(20));
    const source = await start();
    await source.look();
    expect(lines).toHaveLength(1);
    clock.freeze(DAY_MS);
    await source.look();
    expect(lines).toHaveLength(2);
    write(directory, await issue());
    clock.freeze(DAY_MS);
    await source.look();
    expect(lines.slice(2)).toMatchObject([{ message: 'new TLS files are in use' }]);
  });

  it('cannot be started with once it is over', async () => {
    write(directory, await issue(1));
    clock.freeze(DAY_MS);
    await expect(start()).rejects.toThrow(/tls.crt: "CN=n1" expired at/);
  });
});
