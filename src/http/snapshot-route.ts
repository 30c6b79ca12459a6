/** `GET /snapshot`: the state as a file, as it is made. */
import { Readable } from 'node:stream';

import type { FastifyReply } from 'fastify';

import type { SnapshotPiece } from '../generated/cluster.ts';

/** What fails before the first piece is answered as every failure; later the answer breaks off, and the file does not verify. */
export async function sendSnapshot(
  reply: FastifyReply,
  pieces: AsyncIterable<SnapshotPiece>,
): Promise<FastifyReply> {
  const iterator = pieces[Symbol.asyncIterator]();
  const first = await iterator.next();
  async function* bytes(): AsyncGenerator<Uint8Array> {
    try {
      for (let next = first; next.done !== true; next = await iterator.next()) yield next.value.data;
    } finally {
      await iterator.return?.();
    }
  }
  return await reply
    .header('content-type', 'application/octet-stream')
    .header('content-disposition', 'attachment; filename="jarvis.snapshot"')
    .send(Readable.from(bytes(), { objectMode: false }));
}
