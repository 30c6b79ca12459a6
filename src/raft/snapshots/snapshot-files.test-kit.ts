/** What tests of snapshot files write into them. */
import type { SnapshotMeta } from '../core/types.ts';
import type { Row, RowStream } from '../ports.ts';
import { checksum } from '../wal/binary.ts';
import type { RowDigester } from './snapshot-writer.ts';

export const CLUSTER = '6f1c2d3e-0000-4000-8000-000000000001';
export const PEERS = [
  { raftId: 1, name: 'n1', incarnation: 'a', address: '127.0.0.1:7101' },
  { raftId: 2, name: 'n2', incarnation: 'b', address: '127.0.0.1:7102' },
];

export class SumDigester implements RowDigester {
  rowCount = 0;
  #sum = 0;

  add(row: Row): void {
    this.rowCount += 1;
    this.#sum = (this.#sum + checksum(0, Buffer.from(row.key), row.value)) % 0x1_0000_0000;
  }

  get digest(): string {
    return this.#sum.toString(16);
  }
}

export function meta(index: number, term = 1): SnapshotMeta {
  const confState = { voters: [1, 2], votersOutgoing: [], learners: [3], learnersNext: [], autoLeave: false };
  return { index, term, confState };
}

export function rowsOf(count: number, bytes = 100): Row[] {
  return Array.from({ length: count }, (_, at) => ({
    key: `task/${at}/ä`,
    value: Buffer.alloc(at % 7 === 3 ? 0 : bytes + at, at % 251),
  }));
}

export async function* streamed(rows: readonly Row[]): AsyncGenerator<Row> {
  yield* rows;
}

export function streamOf(index: number, rows: readonly Row[]): RowStream {
  const digester = new SumDigester();
  for (const row of rows) digester.add(row);
  const { rowCount, digest } = digester;
  return { index, rowCount, digest, rows: streamed(rows), close: async () => {} };
}

export async function collect<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of iterable) all.push(one);
  return all;
}
