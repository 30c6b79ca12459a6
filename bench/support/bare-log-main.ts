/**
 * What any service that keeps what it acknowledges has to do, and nothing else: a gRPC call's bytes are appended to one
 * file, synced together with those of all calls that came meanwhile, and sent back. Run with the file's name; says the
 * port on stdout.
 */
import { open, type FileHandle } from 'node:fs/promises';

import * as grpc from '@grpc/grpc-js';

import { serverOptions } from '../../src/rpc/channel.ts';
import { BARE_LOG, BARE_LOG_STREAM } from './bare-log.ts';

/** Written round and round, after it was filled: a sync then has no size to record, as in a log of segments. */
const FILE_BYTES = 64 * 1024 * 1024;

interface Waiting {
  readonly bytes: Buffer;
  readonly answer: (error: null, bytes: Buffer) => void;
}

class BareLog {
  readonly #file: FileHandle;
  #waiting: Waiting[] = [];
  #isWriting = false;
  #offset = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  append(one: Waiting): void {
    this.#waiting.push(one);
    if (this.#isWriting) return;
    this.#isWriting = true;
    void this.#write();
  }

  /** A failure ends the process: nothing is left to be measured. */
  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      const bytes = Buffer.concat(batch.map((one) => one.bytes));
      if (this.#offset + bytes.byteLength > FILE_BYTES) this.#offset = 0;
      await this.#file.write(bytes, 0, bytes.byteLength, this.#offset);
      await this.#file.datasync();
      this.#offset += bytes.byteLength;
      for (const one of batch) one.answer(null, one.bytes);
    }
    this.#isWriting = false;
  }
}

async function main(name: string | undefined): Promise<void> {
  if (name === undefined) throw new Error('usage: bare-log-main.ts FILE');
  const file = await open(name, 'w+');
  const zeros = Buffer.alloc(1024 * 1024);
  for (let at = 0; at < FILE_BYTES; at += zeros.byteLength) await file.write(zeros, 0, zeros.byteLength, at);
  await file.sync();
  const log = new BareLog(file);
  const server = new grpc.Server(serverOptions);
  server.addService(
    { append: BARE_LOG, appendAll: BARE_LOG_STREAM },
    {
      append: (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) =>
        log.append({ bytes: call.request, answer }),
      appendAll: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (bytes: Buffer) => log.append({ bytes, answer: () => call.write(bytes) }));
        call.on('end', () => call.end());
      },
    },
  );
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error !== null) throw error;
    console.log(port);
  });
}

await main(process.argv[2]);
