import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import type { AuthoritiesReply } from '../../generated/enrolment.ts';
import type { CertificateAndKey } from '../../lib/certificates.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { hashOfSecret, parseJoinToken } from '../../lib/join-token.ts';
import { limits } from '../../lib/limits.ts';
import { silentLog, type Log } from '../../lib/log.ts';
import { authorityHash, readTlsFiles } from '../../lib/tls-files.ts';
import type { AuditRecord } from '../../operations/guard.ts';
import type { JoinTokenUser } from '../../operations/port.ts';
import { ChannelPool } from '../../rpc/channel.ts';
import { TlsChannels } from '../../rpc/channel-security.ts';
import { createServer, type RpcServer } from '../../rpc/server.ts';
import { ExchangeableTls, materialOf, newAuthority } from '../../lib/testing/tls.test-kit.ts';
import { NodeAudit } from '../node-audit.ts';
import { CertificateSigner } from './certificate-signer.ts';
import { enrolledFiles, newKey, pendingKey, storeEnrolled } from './enrolled-files.ts';
import { Enrolment } from './enrolment.ts';
import { comeInByToken } from './first-contact.ts';
import { askToRenew, CertificateRenewal } from './renewal.ts';

const SECRET = '5ec4e7'.repeat(11).slice(0, 64);
const ID = `join-${'a'.repeat(18)}`;
const { signal } = new AbortController();

let authority: CertificateAndKey;
let directory: string;
/** What was shown to the leader. */
let used: JoinTokenUser[];
let refusal: JarvisError | null;
let members: string[];
let lines: unknown[];
let recorded: AuditRecord[];
const servers: RpcServer[] = [];

beforeEach(async () => {
  authority = await newAuthority();
  directory = mkdtempSync(path.join(tmpdir(), 'jarvis-enrolment-'));
  used = [];
  refusal = null;
  members = ['n1'];
  lines = [];
  recorded = [];
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close(0);
  rmSync(directory, { recursive: true });
});

const log: Log = {
  ...silentLog,
  info: (...line) => void lines.push(line),
  warn: (...line) => void lines.push(line),
  error: (...line) => void lines.push(line),
};

function tokenOf(ca: CertificateAndKey = authority) {
  const hash = authorityHash(ca.certificatePem);
  const text = `jarvisjoin_${ID}_${SECRET}_${hash.slice('sha256:'.length)}`;
  return { ...parseJoinToken(text), text };
}

function keyFile(ca: CertificateAndKey = authority): string {
  const file = path.join(directory, 'ca-key.pem');
  writeFileSync(file, ca.keyPem, { mode: 0o600 });
  return file;
}

async function use(user: JoinTokenUser): Promise<void> {
  used.push(user);
  if (refusal !== null) throw refusal;
}

/** A member that listens. @returns its address */
async function member(
  changes: {
    readonly name?: string;
    readonly canSign?: boolean;
    /** Of its own certificate. */
    readonly issuer?: CertificateAndKey;
    readonly says?: () => AuthoritiesReply;
    readonly owners?: ReadonlyMap<string, string>;
  } = {},
): Promise<string> {
  const { name = 'n1', canSign = true, issuer = authority } = changes;
  const tls = new ExchangeableTls(await materialOf(issuer, { kind: 'node', name }));
  const authoritiesPem = (): string => tls.current.authoritiesPem;
  const options = { keyFile: keyFile(), authoritiesPem, clock: systemClock };
  const enrolment = new Enrolment({
    signer: canSign ? await CertificateSigner.start(options) : null,
    authoritiesPem,
    useToken: use,
    useTokenHere: use,
    isMember: (one) => members.includes(one),
    hostOwners: () => changes.owners ?? new Map(),
    audit: new NodeAudit({ record: (line) => void recorded.push(line) }),
    clock: systemClock,
    log,
  });
  if (changes.says !== undefined) enrolment.authorities = changes.says;
  const server = await createServer({ services: [enrolment.service()], listen: '127.0.0.1:0', tls, log });
  servers.push(server);
  return server.address.replace(/:\d+$/, `:${server.port}`);
}

/** A clock on which waiting takes no time. @param times as much time has gone then */
function impatient(times = 1): Clock {
  let waitedMs = 0;
  return {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + waitedMs,
    after: (delayMs, callback) => {
      waitedMs += delayMs * times;
      const timer = setImmediate(callback);
      return () => clearImmediate(timer);
    },
  };
}

function newNode(name = 'n4', folder = 'n4') {
  const files = enrolledFiles(path.join(directory, folder));
  const comeIn = (join: readonly string[], token = tokenOf(), clock = impatient()) =>
    comeInByToken({
      config: { name, join, advertise: 'n4.example:7101', http: '0.0.0.0:8101' },
      files,
      token,
      clock,
      signal,
      log,
    });
  return { files, comeIn };
}

describe('a node that comes in by a join token', () => {
  it('has a certificate of the cluster for a key that it made itself, for its owner alone', async () => {
    const { files, comeIn } = newNode();
    await comeIn([await member()]);
    const material = await readTlsFiles(files, Date.now());
    expect(material.identity).toMatchObject({ kind: 'node', name: 'n4' });
    expect(material.authoritiesPem).toContain(authority.certificatePem.trim());
    expect(material.endsMs - Date.now()).toBeLessThanOrEqual(limits.enrolledCertificateMs);
    expect(statSync(files.key).mode & 0o777).toBe(0o600);
    expect(used).toEqual([
      {
        id: ID,
        secretHash: hashOfSecret(SECRET),
        node: 'n4',
        holder: expect.stringMatching(/^key:[0-9a-f]{64}$/) as string,
      },
    ]);
  });

  it('causes no complaint of the member about a certificate that was not shown', async () => {
    const { comeIn } = newNode();
    await comeIn([await member()]);
    await Promise.all(servers.map((server) => server.close(0)));
    expect(JSON.stringify(lines)).not.toContain('certificate is refused');
    expect(JSON.stringify(lines)).toContain('a node has come in by a join token');
  });

  it('stops asking as soon as it is told to', async () => {
    const { files } = newNode();
    const stopping = new AbortController();
    const asking = Promise.withResolvers<void>();
    const coming = comeInByToken({
      config: { name: 'n4', join: ['127.0.0.1:1'], advertise: 'a:1', http: 'a:2' },
      files,
      token: tokenOf(),
      // Its pauses last for ever.
      clock: { ...systemClock, monotonicMs: () => 0, after: () => (asking.resolve(), () => {}) },
      signal: stopping.signal,
      log: silentLog,
    });
    await asking.promise;
    stopping.abort(new Error('stopping'));
    await expect(coming).rejects.toThrow('stopping');
  });

  it('says only once why there is no certificate yet', async () => {
    const { files } = newNode();
    const stopping = new AbortController();
    const told: string[] = [];
    let pauses = 0;
    const coming = comeInByToken({
      config: { name: 'n4', join: ['127.0.0.1:1'], advertise: 'a:1', http: 'a:2' },
      files,
      token: tokenOf(),
      clock: {
        ...systemClock,
        monotonicMs: () => 0,
        after: (_ms, action) => {
          pauses += 1;
          queueMicrotask(() => (pauses === 3 ? stopping.abort(new Error('stopping')) : action()));
          return () => {};
        },
      },
      signal: stopping.signal,
      log: { ...silentLog, info: (_fields: object, text: string) => void told.push(text) },
    });
    await expect(coming).rejects.toThrow('stopping');
    expect(pauses).toBe(3);
    expect(told).toEqual(['no certificate yet']);
  });

  it('fills no log by being refused again and again', async () => {
    refusal = new JarvisError('forbidden', 'the join token is not one of this cluster, or not any more');
    const address = await member();
    for (let at = 0; at < 5; at += 1)
      await expect(newNode(`n${at}`, `n${at}`).comeIn([address])).rejects.toMatchObject({
        code: 'forbidden',
      });
    const refused = lines.filter((line) => JSON.stringify(line).includes('a join token is refused'));
    expect(refused).toHaveLength(1);
  });

  it('asks again with the same key where the answer was lost', async () => {
    const { files, comeIn } = newNode();
    const first = await pendingKey(files);
    await comeIn([await member()]);
    expect(readFileSync(files.key, 'utf8')).toContain(first.keyPem.trim());
    await comeIn([await member()]);
    expect(used[1]?.holder).not.toBe(used[0]?.holder);
  });

  it('goes on to a member that can sign', async () => {
    const { comeIn } = newNode();
    await comeIn([await member({ canSign: false }), await member({ name: 'n2' })]);
    expect(used).toHaveLength(1);
  });

  it('says after a bounded time what is missing where none can', async () => {
    const { comeIn } = newNode();
    const clock = impatient(20);
    await expect(comeIn([await member({ canSign: false })], tokenOf(), clock)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('tls_ca_key') as string,
    });
    expect(used).toEqual([]);
  });

  it('waits out a change of the leader', async () => {
    const { comeIn } = newNode();
    refusal = new JarvisError('no_leader', 'the cluster has no leader at present');
    const address = await member();
    const clock = impatient();
    const waiting = {
      ...clock,
      after: (ms: number, callback: () => void) =>
        clock.after(ms, () => {
          refusal = null;
          callback();
        }),
    };
    const { files } = newNode('n4', 'other');
    await comeInByToken({
      config: { name: 'n4', join: [address], advertise: 'a:1', http: 'a:2' },
      files,
      token: tokenOf(),
      clock: waiting,
      signal,
      log,
    });
    expect(used).toHaveLength(2);
    expect(used[0]).toEqual(used[1]);
    await comeIn([address]);
  });

  it('is refused at once where the token does not let it in', async () => {
    refusal = new JarvisError('forbidden', `join token ${ID} is used up: n5 came in by it`);
    const { comeIn } = newNode();
    await expect(comeIn([await member()])).rejects.toMatchObject({
      code: 'forbidden',
      message: `join token ${ID} is used up: n5 came in by it`,
    });
    expect(used).toHaveLength(1);
  });

  it('shows the token to nobody of another cluster', async () => {
    const other = await newAuthority();
    const { comeIn } = newNode();
    await expect(comeIn([await member()], tokenOf(other))).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('which was not shown to it') as string,
    });
    expect(used).toEqual([]);
  });

  it('shows the token to nobody who knows the authority and has no certificate of it', async () => {
    const other = await newAuthority();
    const address = await member({
      canSign: false,
      issuer: other,
      says: () => ({ authorities: authority.certificatePem }),
    });
    const { comeIn } = newNode();
    await expect(comeIn([address])).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('the join token was not shown to it') as string,
    });
    expect(used).toEqual([]);
  });

  it('does not get the host names of other nodes into its certificate', async () => {
    const { files, comeIn } = newNode();
    await comeIn([await member({ owners: new Map([['n4.example', 'n1']]) })]);
    const { certificatePem } = await readTlsFiles(files, Date.now());
    expect(new X509Certificate(certificatePem).subjectAltName).toBe('URI:jarvis://node/n4');
  });

  it('is recorded, with who let it in and from where it came', async () => {
    await newNode().comeIn([await member()]);
    refusal = new JarvisError('forbidden', 'used up');
    await expect(newNode('n5', 'n5').comeIn([await member()])).rejects.toMatchObject({ code: 'forbidden' });
    const line = { operation: 'enrol', name: null, role: null, address: '127.0.0.1', forwarded: false };
    expect(recorded).toEqual([
      { ...line, principal: `join-token:${ID}`, target: 'n4', result: 'ok' },
      { ...line, principal: null, target: 'n5', result: 'forbidden' },
    ]);
  });

  it('leaves the token in no log', async () => {
    const { comeIn } = newNode();
    await comeIn([await member()]);
    refusal = new JarvisError('forbidden', 'used up');
    await expect(comeIn([await member()])).rejects.toMatchObject({ code: 'forbidden' });
    expect(JSON.stringify(lines)).toContain('a join token is refused');
    expect(JSON.stringify(lines)).not.toContain(SECRET);
  });
});

/** A client of a member with a certificate. */
async function clientOf(name: string, kind: 'node' | 'client' = 'node') {
  const pool = new ChannelPool(
    new TlsChannels(new ExchangeableTls(await materialOf(authority, { kind, name }))),
  );
  onTestFinished(() => pool.close());
  return { ask: askToRenew(pool, signal) };
}

function request() {
  return { name: 'n1', public_key: newKey().publicKeyPem, hosts: [] };
}

describe('a certificate of a member', () => {
  it('is renewed for the node itself, and for no other name', async () => {
    const address = await member();
    const { ask } = await clientOf('n1');
    const { certificate } = await ask(address, request());
    expect(certificate).toContain('BEGIN CERTIFICATE');
    await expect(ask(address, { ...request(), name: 'n2' })).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('is renewed for no client, and for nobody who was removed', async () => {
    const address = await member();
    const client = await clientOf('n1', 'client');
    await expect(client.ask(address, request())).rejects.toMatchObject({ code: 'forbidden' });
    members = [];
    const { ask } = await clientOf('n1');
    await expect(ask(address, request())).rejects.toMatchObject({
      code: 'forbidden',
      message: 'n1 is no member of the cluster: it gets no further certificate',
    });
  });

  it('is asked for at two thirds of its life, of the members in turn, until one gives it', async () => {
    const files = enrolledFiles(path.join(directory, 'n1'));
    const material = await materialOf(authority, { kind: 'node', name: 'n1' });
    await pendingKey(files);
    await storeEnrolled(files, material);
    const { validFromMs, validToMs } = material.identity ?? { validFromMs: 0, validToMs: 0 };
    const clock = new StillClock(validFromMs);
    const asked: string[] = [];
    const address = await member();
    const { ask } = await clientOf('n1');
    const renewal = new CertificateRenewal({
      name: 'n1',
      hosts: [],
      files,
      material: () => material,
      addresses: () => ['nobody:1', address],
      ask: async (one, what) => {
        asked.push(one);
        if (one === 'nobody:1') throw new JarvisError('unavailable', 'down');
        return await ask(one, what);
      },
      clock,
      log,
    });
    onTestFinished(() => renewal.close());
    await clock.next();
    clock.nowMs = validFromMs + (validToMs - validFromMs) * (2 / 3) - 1;
    await clock.next();
    expect(asked).toEqual([]);
    clock.nowMs += 1;
    await clock.next();
    expect(asked).toEqual(['nobody:1', address]);
    const renewed = await readTlsFiles(files, Date.now());
    expect(renewed.identity).toMatchObject({ kind: 'node', name: 'n1' });
    expect(renewed.certificatePem).not.toContain(material.certificatePem.trim());
  });

  it('stays where nobody renews it, and is asked for again', async () => {
    const files = enrolledFiles(path.join(directory, 'n1'));
    const material = await materialOf(authority, { kind: 'node', name: 'n1' });
    const clock = new StillClock(material.endsMs - 1000);
    let tries = 0;
    const renewal = new CertificateRenewal({
      name: 'n1',
      hosts: [],
      files,
      material: () => material,
      addresses: () => ['n2:1'],
      ask: () => {
        tries += 1;
        return Promise.reject(new JarvisError('unavailable', 'down'));
      },
      clock,
      log,
    });
    onTestFinished(() => renewal.close());
    await clock.next();
    await clock.next();
    expect(tries).toBe(2);
    expect(JSON.stringify(lines)).toContain('is not renewed yet');
  });
});

/** Its only timer goes off when a test says so, and what that does is waited for. */
class StillClock implements Clock {
  nowMs: number;
  #timer = Promise.withResolvers<() => void>();

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(_delayMs: number, callback: () => void): () => void {
    this.#timer.resolve(callback);
    return () => {};
  }

  /** Resolves when it has been set again. */
  async next(): Promise<void> {
    const callback = await this.#timer.promise;
    this.#timer = Promise.withResolvers();
    callback();
    await this.#timer.promise;
  }
}

describe('the key of an authority', () => {
  it('must be that of one that the cluster trusts, and readable by its owner alone', async () => {
    const other = await newAuthority();
    const authoritiesPem = (): string => authority.certificatePem;
    const start = (file: string) =>
      CertificateSigner.start({ keyFile: file, authoritiesPem, clock: systemClock });
    await expect(start(keyFile(other))).rejects.toThrow(
      /^tls_ca_key: .*is the key of no authority in tls_ca/,
    );
    await expect(start('/nowhere/key.pem')).rejects.toThrow(/ENOENT/);
    const open = path.join(directory, 'open.pem');
    writeFileSync(open, authority.keyPem, { mode: 0o644 });
    await expect(start(open)).rejects.toThrow(/everybody on this machine may use it/);
    const wrong = path.join(directory, 'wrong.pem');
    writeFileSync(wrong, 'canary', { mode: 0o600 });
    await expect(start(wrong)).rejects.toThrow(/^(?!.*canary).*is not a private key/);
  });
});
