/** What is on disk, and comes back from it or from another node: the log, snapshots, commands and rows. */
import { crc32 } from 'node:zlib';

import { invariant } from '../../../src/lib/assert.ts';
import type { Random } from '../../../src/lib/random.ts';
import { decodeConfChange, encodeConfChange } from '../../../src/raft/core/confchange-codec.ts';
import type { Entry } from '../../../src/raft/core/types.ts';
import { SimulatedFiles } from '../../../src/raft/simulated-files.test-kit.ts';
import { readSnapshotRows, verifiedPrefix } from '../../../src/raft/snapshots/snapshot-reader.ts';
import { writeSnapshot } from '../../../src/raft/snapshots/snapshot-writer.ts';
import { isStorageError } from '../../../src/raft/storage-error.ts';
import { encodeRecords, decodeRecords } from '../../../src/raft/wal/batch-format.ts';
import { recoverLog } from '../../../src/raft/wal/recovery.ts';
import { SimulatedLogFiles } from '../../../src/raft/wal/simulated-log-files.test-kit.ts';
import { Wal } from '../../../src/raft/wal/wal.ts';
import {
  decodeCommand,
  decodeContent,
  encodeCommand,
  encodeStored,
  contentOf,
} from '../../../src/store/codec.ts';
import { RowDigest, hashRow } from '../../../src/store/digest.ts';
import { below, mutated, pick } from '../mutations.ts';
import { attempt, type Ending, type Target } from '../target.ts';
import { sampleCommands, sampleRows } from '../samples.ts';

const IDENTITY = {
  clusterId: '6f1c2d3e-0000-4000-8000-000000000001',
  incarnation: '6f1c2d3e-0000-4000-8000-00000000000a',
};
const DIRECTORY = '/log';
const CONF_STATE = {
  voters: [1, 2, 3],
  votersOutgoing: [],
  learners: [4],
  learnersNext: [],
  autoLeave: false,
};
const PEERS = [1, 2, 3].map((raftId) => ({
  raftId,
  name: `n${raftId}`,
  incarnation: `incarnation-${raftId}`,
  address: `127.0.0.1:710${raftId}`,
}));

function entry(index: number, term: number): Entry {
  const type = index % 5 === 0 ? 'confChange' : 'normal';
  return { index, term, type, data: Buffer.from(`entry ${index} of term ${term}`) };
}

/** A log of two segments with a base, an overwritten tail and several batches, as its files. */
async function sampleLog(): Promise<SimulatedLogFiles> {
  const files = new SimulatedLogFiles();
  const { wal } = await Wal.open(DIRECTORY, IDENTITY, { create: true, segmentBytes: 8192, files });
  for (let index = 1; index <= 30; index += 1) {
    const hardState = { term: 1, vote: 1, commit: index - 1 };
    await wal.append({ hardState, entries: [entry(index, 1)], snapshot: null });
  }
  await wal.compact({ index: 10, term: 1, confState: CONF_STATE, peers: PEERS });
  await wal.append({ hardState: { term: 2, vote: 2, commit: 25 }, entries: [entry(28, 2)], snapshot: null });
  await wal.append({
    hardState: null,
    entries: [{ ...entry(29, 2), data: Buffer.alloc(5000) }],
    snapshot: null,
  });
  await wal.close();
  return files;
}

/** The checksums made right again, so that what is behind them is read. */
function withRightBatches(segment: Buffer, salt: number): void {
  let offset = 4096;
  let chain = segment.length < 4096 ? 0 : segment.readUInt32LE(104);
  while (offset + 32 <= segment.length && segment.readUInt32LE(offset) !== 0) {
    const end = offset + Math.ceil((32 + segment.readUInt32LE(offset + 4)) / 8) * 8;
    segment.writeUInt32LE(chain, offset + 16);
    chain = crc32(segment.subarray(offset + 32, end), crc32(segment.subarray(offset, offset + 20), chain));
    segment.writeUInt32LE(chain, offset + 20);
    segment.writeUInt32LE(crc32(segment.subarray(offset, offset + 24), salt), offset + 24);
    offset = end;
  }
}

function saltOf(sequence: number): number {
  const ids = [IDENTITY.clusterId, IDENTITY.incarnation].map((id) =>
    Buffer.from(id.replaceAll('-', ''), 'hex'),
  );
  const number = Buffer.alloc(8);
  number.writeUInt32LE(sequence);
  return [...ids, number].reduce((sum, bytes) => crc32(bytes, sum), 0);
}

const log: Target = {
  name: 'wal',
  what: 'segments of the log, with and without checksums that fit: recovery reads them or refuses them',
  weight: 8,
  open: async () => {
    const whole = await sampleLog();
    const names = whole.list(DIRECTORY).filter((name) => whole.bytes(`${DIRECTORY}/${name}`).length > 0);
    const samples = names.map((name) => Buffer.from(whole.bytes(`${DIRECTORY}/${name}`)));
    return {
      // Which file it is comes first.
      input: (random) => {
        const file = below(random, names.length);
        const bytes = mutated(random, [damagedInUse(random, samples[file] ?? Buffer.alloc(0))]);
        const sequence = Number.parseInt(names[file] ?? '', 10);
        if (random() < 0.5 && sequence > 0) withRightBatches(bytes, saltOf(sequence));
        return Buffer.concat([Buffer.of(file), bytes]);
      },
      run: (input) => {
        const files = whole.clone();
        files.put(`${DIRECTORY}/${names[(input[0] ?? 0) % names.length]}`, input.subarray(1));
        try {
          const recovered = recoverLog(files, DIRECTORY, IDENTITY, { mustReach: 0 });
          return recovered?.recovery.repaired === null ? 'ok' : 'torn';
        } catch (error) {
          if (isStorageError(error)) return error.kind;
          throw error;
        }
      },
    };
  },
};

/** Most of a segment is zeros that nobody has written to: what is in use is changed. */
function damagedInUse(random: Random, segment: Buffer): Buffer {
  const bytes = Buffer.from(segment);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  for (let change = below(random, 3); change > 0; change -= 1) {
    // Behind the header rather than in it.
    const from = random() < 0.8 ? Math.min(4096, end) : 0;
    bytes[from + below(random, Math.max(1, end - from))] = below(random, 256);
  }
  return bytes;
}

const records: Target = {
  name: 'wal-records',
  what: 'the records in a batch of the log whose checksum fits',
  weight: 16,
  open: () => {
    const samples = [
      encodeRecords([
        { type: 'hardState', hardState: { term: 3, vote: 1, commit: 7 } },
        { type: 'entry', entry: entry(8, 3) },
        { type: 'truncate', fromIndex: 8 },
        { type: 'base', meta: { index: 5, term: 2, confState: CONF_STATE, peers: PEERS }, dropsAll: false },
        { type: 'entry', entry: entry(10, 3) },
      ]),
    ].map((bytes) => Buffer.from(bytes));
    return {
      input: (random) => mutated(random, samples),
      run: (input) => {
        let count = 0;
        const isWhole = decodeRecords(input, () => {
          count += 1;
        });
        invariant(count <= input.length, 'a record takes a byte at least');
        return isWhole ? 'ok' : 'refused';
      },
    };
  },
};

async function sampleSnapshot(): Promise<Buffer> {
  const files = new SimulatedFiles(new SimulatedLogFiles());
  const rows = sampleRows().map(({ key, row }) => ({
    key,
    value: Buffer.from(contentOf(encodeStored(row))),
  }));
  const digester = new RowDigest();
  for (const { key, value } of rows) digester.add(hashRow(key, value));
  const { rowCount, digest } = digester;
  const again = new RowDigest();
  const header = {
    clusterId: 'c-1',
    epoch: 1,
    meta: { index: 9, term: 2, confState: CONF_STATE },
    peers: PEERS,
  };
  const stream = {
    rowCount,
    digest,
    rows: (async function* () {
      yield* rows;
    })(),
  };
  await writeSnapshot(files, '/snapshot', header, stream, {
    add: ({ key, value }) => again.add(hashRow(key, value)),
    get rowCount() {
      return again.rowCount;
    },
    get digest() {
      return again.digest;
    },
  });
  const file = await files.open('/snapshot', 'read');
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0);
  return bytes;
}

/** Header and first chunk get the checksums that fit. */
function withRightSnapshot(bytes: Buffer): void {
  if (bytes.length < 20) return;
  const headerEnd = 20 + bytes.readUInt32LE(12);
  if (headerEnd + 12 > bytes.length) return;
  const seed = crc32(bytes.subarray(20, headerEnd), crc32(bytes.subarray(0, 16)));
  bytes.writeUInt32LE(seed, 16);
  const chunkEnd = headerEnd + 12 + bytes.readUInt32LE(headerEnd);
  if (chunkEnd > bytes.length) return;
  const chain = crc32(
    bytes.subarray(headerEnd + 12, chunkEnd),
    crc32(bytes.subarray(headerEnd, headerEnd + 8), seed),
  );
  bytes.writeUInt32LE(chain, headerEnd + 8);
  if (bytes.length < chunkEnd + 16) return;
  const suffix = bytes.length - 16;
  const jsonBytes = bytes.readUInt32LE(suffix);
  if (jsonBytes > suffix) return;
  const json = bytes.subarray(suffix - jsonBytes, suffix);
  bytes.writeUInt32LE(crc32(bytes.subarray(suffix, suffix + 4), crc32(json, seed)), suffix + 4);
}

const snapshots: Target = {
  name: 'snapshot',
  what: 'snapshot files, with and without checksums that fit',
  weight: 4,
  open: async () => {
    const samples = [await sampleSnapshot()];
    return {
      input: (random) => {
        const bytes = mutated(random, samples);
        if (random() < 0.7) withRightSnapshot(bytes);
        return bytes;
      },
      run: async (input) => {
        const disk = new SimulatedLogFiles();
        disk.put('/snapshot', input);
        const files = new SimulatedFiles(disk);
        const end = await verifiedPrefix('/snapshot', () => true, files);
        invariant(end <= input.length, 'what is whole is in the file');
        try {
          for await (const { value } of readSnapshotRows('/snapshot', files)) checkRow(value);
          return 'ok';
        } catch (error) {
          if (isStorageError(error)) return error.kind;
          throw error;
        }
      },
    };
  },
};

function checkRow(content: Uint8Array): Ending {
  return attempt(() => {
    const row = decodeContent(content);
    invariant(Object.getPrototypeOf(row) === Object.prototype || Array.isArray(row), 'a row is plain');
  }, ['unavailable']);
}

const rows: Target = {
  name: 'rows',
  what: 'rows as they stand in the store and in snapshots',
  weight: 20,
  open: () => {
    const samples = sampleRows().map(({ row }) => Buffer.from(contentOf(encodeStored(row))));
    return { input: (random) => mutated(random, samples), run: checkRow };
  },
};

const commands: Target = {
  name: 'commands',
  what: 'commands as they stand in the log: what decodes can be encoded again, or is refused',
  weight: 20,
  open: () => {
    const samples = sampleCommands().map((command) => Buffer.from(encodeCommand(command)));
    return {
      input: (random) => {
        const bytes = mutated(random, samples);
        if (random() < 0.8 && bytes.length > 0) bytes[0] = 1;
        return bytes;
      },
      run: (input) => {
        const decoded = decodeCommand(input);
        if (decoded.type === 'undecodable') return 'undecodable';
        return attempt(() => encodeCommand({ value: decoded.value }), ['invalid']);
      },
    };
  },
};

const configurations: Target = {
  name: 'conf-change',
  what: 'changes of the membership as they stand in the log',
  weight: 10,
  open: () => {
    const context = Buffer.from(JSON.stringify(PEERS));
    const samples = (['auto', 'implicit', 'explicit'] as const).map((transition, at) =>
      Buffer.from(
        encodeConfChange({
          transition,
          changes: [
            { type: pick(() => at / 3, ['addVoter', 'addLearner', 'remove'] as const), id: 1000 + at },
            { type: 'update', id: 2 ** 40 },
          ],
          context,
        }),
      ),
    );
    return {
      input: (random) => mutated(random, samples),
      run: (input) => (decodeConfChange(input) === null ? 'refused' : 'ok'),
    };
  },
};

export const STORAGE_TARGETS: readonly Target[] = [log, records, snapshots, rows, commands, configurations];
