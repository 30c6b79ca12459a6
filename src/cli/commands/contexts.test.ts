import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  chmodSync,
  mkdirSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';
import type { CliResult } from '../run-cli.test-kit.ts';

const CANARY = 'canary-token-4711';

let home: string;
let file: string;

beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'jarvis-context-'));
  file = path.join(home, 'jarvis', 'config.yaml');
});

afterEach(() => rmSync(home, { recursive: true }));

async function ctl(words: string, env: Readonly<Record<string, string>> = {}): Promise<CliResult> {
  const result = await runInProcess(words.split(' '), { env: { XDG_CONFIG_HOME: home, ...env } });
  expect(result.stdout + result.stderr).not.toContain(CANARY);
  return result;
}

function write(name: string, text: string, mode = 0o600): string {
  const where = path.join(home, name);
  mkdirSync(path.dirname(where), { recursive: true });
  writeFileSync(where, text);
  chmodSync(where, mode);
  return where;
}

describe('context', () => {
  it('is made, listed, shown, used and deleted', async () => {
    expect((await ctl('context ls')).stderr).toContain(`${file} has no contexts`);
    expect((await ctl('context set one --peer 10.0.0.1:7101,10.0.0.2:7101')).status).toBe(0);
    expect((await ctl('context set two --peer 127.0.0.1:1')).stdout).toBe(
      'NAME   CURRENT   PEERS         TLS   TOKEN\ntwo    -         127.0.0.1:1   no    no\n',
    );
    expect((await ctl('context use two -o name')).stdout).toBe('two\n');
    expect((await ctl('context ls')).stdout).toBe(
      [
        'NAME   CURRENT   PEERS                         TLS   TOKEN',
        'one    -         10.0.0.1:7101,10.0.0.2:7101   no    no',
        'two    yes       127.0.0.1:1                   no    no\n',
      ].join('\n'),
    );
    expect(JSON.parse((await ctl('context show one -o json')).stdout)).toEqual({
      name: 'one',
      current: false,
      peers: ['10.0.0.1:7101', '10.0.0.2:7101'],
      has_token: false,
      tls: null,
    });
    expect((await ctl('context delete two')).status).toBe(0);
    expect((await ctl('context show')).stderr).toContain('has no current context');
    expect(await ctl('context use two')).toEqual({
      stdout: '',
      stderr: `jarvisctl: there is no context "two" in ${file}; it has one\n`,
      status: 1,
    });
  });

  it('is kept in a file that nobody else can read, which is replaced as a whole', async () => {
    const umask = process.umask(0);
    try {
      await ctl('context set one --peer 127.0.0.1:1');
    } finally {
      process.umask(umask);
    }
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(path.dirname(file)).mode & 0o077).toBe(0);
    expect(readdirSync(path.dirname(file)).sort()).toEqual(['config.yaml', 'config.yaml.lock']);
    chmodSync(file, 0o640);
    const before = readFileSync(file, 'utf8');
    for (const words of ['context ls', 'context set one --peer 127.0.0.1:2', 'ls']) {
      const { status, stderr } = await ctl(words);
      expect({ status, stderr }).toEqual({
        status: 2,
        stderr: `jarvisctl: ${file} has mode 0640, so that others may read its tokens or change its peers; allowed: 0600 (chmod 600 ${file})\n`,
      });
    }
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  it('takes a token from a file, keeps it, and never shows it', async () => {
    const token = write('token', `${CANARY}\n`);
    const set = await ctl(`context set one --peer 10.0.0.1:7101 --token-file ${token}`);
    expect(set.stderr).toContain('will travel in plain text');
    expect(readFileSync(file, 'utf8')).toContain(CANARY);
    for (const format of ['table', 'wide', 'json', 'yaml', 'name'])
      expect((await ctl(`context show one -o ${format}`)).status).toBe(0);
    await ctl('context set one --peer 127.0.0.1:1');
    expect((await ctl('context ls')).stdout).toContain('yes');
    await ctl('context set one --remove-token');
    expect(readFileSync(file, 'utf8')).not.toContain(CANARY);
  });

  it('takes the three files of TLS together, as absolute paths', async () => {
    const [ca, cert, key] = ['ca.pem', 'me.pem', 'me.key'].map((name) => write(name, 'x'));
    expect((await ctl(`context set one --tls-ca ${ca} --tls-cert ${cert} --tls-key ${key}`)).status).toBe(0);
    expect(JSON.parse((await ctl('context show -o json')).stdout)).toMatchObject({ tls: { ca, cert, key } });
    await ctl('context set one --remove-tls');
    expect(JSON.parse((await ctl('context show -o json')).stdout)).toMatchObject({ tls: null });
  });

  it.each([
    ['context set one --tls-ca CA', '--tls-cert and --tls-key are missing'],
    ['context set one --tls-ca CA --tls-cert CA', '--tls-key is missing'],
    ['context set one --tls-ca CA --tls-cert CA --tls-key /nowhere', '--tls-key: cannot read /nowhere'],
    ['context set one --token-file /nowhere', '--token-file: cannot read /nowhere'],
    ['context set one --token-file BLANK', 'holds no token'],
    ['context set one --token-file CA --remove-token', 'exclude each other'],
    ['context set one --tls-ca CA --tls-cert CA --tls-key CA --remove-tls', 'exclude each other'],
    ['context set __proto__ --peer 127.0.0.1:1', '"__proto__" is no context'],
    ['context set one --peer nowhere', 'is not an address'],
    ['context set one --context two', "unknown option '--context'"],
  ])('refuses "%s" and changes nothing', async (words, why) => {
    const ca = write('ca.pem', 'x');
    const blank = write('blank', '\n');
    const { status, stderr } = await ctl(words.replaceAll('CA', ca).replace('BLANK', blank));
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(why) as string });
    expect(readdirSync(home).sort()).toEqual(['blank', 'ca.pem']);
  });

  it.each([
    ['contexts: [', 'config.yaml'],
    ['contexts: {one: {token: 7}}', 'contexts.one.token'],
    [`contexts: {one: {tokn: ${CANARY}}}`, 'tokn'],
    ['contexts: {-one: {}}', 'contexts.-one'],
    ['current: two\ncontexts: {}', 'there is no context "two"'],
  ])('says what is wrong with a file that holds %j', async (text, why) => {
    write('jarvis/config.yaml', text);
    const { status, stderr } = await ctl('ls');
    expect({ status: status === 0, stderr }).toEqual({
      status: false,
      stderr: expect.stringContaining(why) as string,
    });
  });
});

describe('which cluster is meant', () => {
  let cluster: FakeCluster;

  beforeEach(async () => {
    cluster = await FakeCluster.start();
    await ctl(`context set here --peer ${cluster.address}`);
    await ctl('context set nowhere --peer 127.0.0.1:1');
  });

  afterEach(() => cluster.stop());

  it.each([
    ['ls', {}, 0],
    ['ls --context nowhere', {}, 3],
    ['--context nowhere ls', {}, 3],
    ['ls', { JARVIS_CONTEXT: 'nowhere' }, 3],
    ['ls --context here', { JARVIS_CONTEXT: 'nowhere' }, 0],
    ['ls --context here', { JARVIS_PEERS: '127.0.0.1:1' }, 3],
    ['ls --peer 127.0.0.1:1', {}, 3],
    ['ls --peer HERE', { JARVIS_PEERS: '127.0.0.1:1', JARVIS_CONTEXT: 'nowhere' }, 0],
    ['ls --context elsewhere', {}, 1],
    ['ls --tls-ca /x', {}, 2],
    ['ls', { JARVIS_TLS_KEY: '/x' }, 2],
    ['ls', { JARVIS_TOKEN: 'two words' }, 2],
  ])('%s with %j exits %i', async (words, env, status) => {
    const result = await ctl(words.replace('HERE', cluster.address), env);
    expect(result).toMatchObject({ status });
  });

  it('does not show the token of the current context to peers that are named without it', async () => {
    const token = write('token', CANARY);
    await ctl(`context set here --token-file ${token}`);
    expect((await ctl(`ls --peer ${cluster.address}`)).status).toBe(0);
  });
});
