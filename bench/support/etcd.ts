/** Three members of etcd on loopback, on the same disk, as Debian's etcd-server starts them: its defaults, fsync included. */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import * as grpc from '@grpc/grpc-js';

import { SEARCH_PATH } from '../../test/support/docker-bed/programs.ts';
import { guardDirectory } from '../../test/support/guard.ts';
import { freePort, HOST } from '../../test/support/ports.ts';
import { endProcessesOf } from '../../test/support/processes.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Method } from '../../src/rpc/client.ts';
import type { Scope } from '../scope.ts';

const MEMBERS = 3;
const START_TIMEOUT_MS = 30_000;
const STATUS_TIMEOUT_MS = 2000;
const LOG_LINES_SHOWN = 10;

export interface Put {
  readonly key: string;
  readonly value: string;
}

/** `PutRequest` and `PutResponse` of etcd's rpc.proto; of the answer nothing is needed but that it came. */
export const ETCD_PUT: Method<Put, object> = {
  path: '/etcdserverpb.KV/Put',
  requestSerialize: ({ key, value }) =>
    Buffer.from(new BinaryWriter().uint32(10).string(key).uint32(18).string(value).finish()),
  responseDeserialize: () => ({}),
};

/** `TxnRequest` with puts alone: etcd's own way to write many at once. */
export const ETCD_PUTS: Method<readonly Put[], object> = {
  path: '/etcdserverpb.KV/Txn',
  requestSerialize: (puts) => {
    const writer = new BinaryWriter();
    for (const put of puts) writer.uint32(18).fork().uint32(18).bytes(ETCD_PUT.requestSerialize(put)).join();
    return Buffer.from(writer.finish());
  },
  responseDeserialize: () => ({}),
};

interface Status {
  readonly member: string;
  readonly leader: string;
}

/** `StatusResponse`: member_id is field 2 of the header, which is field 1; leader is field 4. */
const STATUS: Method<object, Status> = {
  path: '/etcdserverpb.Maintenance/Status',
  requestSerialize: () => Buffer.alloc(0),
  responseDeserialize: (bytes) => {
    const reader = new BinaryReader(bytes);
    let [member, leader] = ['', ''];
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 1) member = memberOf(reader.bytes());
      else if (field === 4) leader = reader.uint64().toString();
      else reader.skip(wireType);
    }
    return { member, leader };
  },
};

function memberOf(header: Uint8Array): string {
  const reader = new BinaryReader(header);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 2) return reader.uint64().toString();
    reader.skip(wireType);
  }
  return '';
}

/** @returns why it cannot run; null where it is installed */
export function etcdObstacle(): string | null {
  return etcdPath() === null ? 'etcd is not installed (Debian: etcd-server)' : null;
}

function etcdPath(): string | null {
  return SEARCH_PATH.map((folder) => path.join(folder, 'etcd')).find((file) => existsSync(file)) ?? null;
}

/** @returns the address of the leader */
export async function startEtcd(scope: Scope): Promise<string> {
  const program = etcdPath();
  if (program === null) throw new Error('etcd is not installed');
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-bench-etcd-'));
  const guard = guardDirectory(directory);
  const members: { name: string; client: string; peer: string }[] = [];
  for (let at = 1; at <= MEMBERS; at += 1) {
    members.push({
      name: `e${at}`,
      client: `${HOST}:${await freePort()}`,
      peer: `${HOST}:${await freePort()}`,
    });
  }
  await scope.own({
    start: () => {
      const all = members.map(({ name, peer }) => `${name}=http://${peer}`).join(',');
      for (const member of members) startMember(program, directory, member, all);
      return Promise.resolve(directory);
    },
    end: async () => {
      await endProcessesOf(directory);
      await rm(directory, { recursive: true, force: true });
      await guard.dismiss();
    },
    describe: () =>
      members.map(({ name }) => `--- the end of the log of ${name}\n${tail(directory, name)}\n`).join(''),
  });
  return waitFor('a leader of etcd', () => leaderOf(members.map(({ client }) => client)), {
    timeoutMs: START_TIMEOUT_MS,
  });
}

function startMember(
  program: string,
  directory: string,
  { name, client, peer }: { readonly name: string; readonly client: string; readonly peer: string },
  all: string,
): void {
  const log = openSync(path.join(directory, `${name}.log`), 'a', 0o600);
  const flags = {
    name,
    'data-dir': path.join(directory, name),
    'listen-client-urls': `http://${client}`,
    'advertise-client-urls': `http://${client}`,
    'listen-peer-urls': `http://${peer}`,
    'initial-advertise-peer-urls': `http://${peer}`,
    'initial-cluster': all,
    'log-level': 'warn',
  };
  const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
  // Debian's service sets more in its environment; the flags say all.
  const child = spawn(program, args, { env: { PATH: process.env['PATH'] }, stdio: ['ignore', log, log] });
  child.on('error', () => undefined);
  closeSync(log);
}

async function leaderOf(addresses: readonly string[]): Promise<string | null> {
  for (const address of addresses) {
    const { member, leader } = await statusOf(address);
    if (member !== '' && member === leader) return address;
  }
  return null;
}

function statusOf(address: string): Promise<Status> {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const deadline = Date.now() + STATUS_TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      STATUS.path,
      STATUS.requestSerialize,
      STATUS.responseDeserialize,
      {},
      new grpc.Metadata(),
      { deadline },
      (error, status) => {
        client.close();
        if (error === null && status !== undefined) resolve(status);
        else reject(error ?? new Error('no status'));
      },
    );
  });
}

function tail(directory: string, name: string): string {
  try {
    const text = readFileSync(path.join(directory, `${name}.log`), 'utf8');
    return text.trimEnd().split('\n').slice(-LOG_LINES_SHOWN).join('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
