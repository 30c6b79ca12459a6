/** For tests: gRPC as any client may speak it, well or badly, byte by byte. */
import * as http2 from 'node:http2';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

import { splitAddress } from '../lib/address.ts';

/** The message as gRPC frames it: a byte for compression, the length, the bytes. */
export function framed(message: Uint8Array, { compressed = false, length = message.length } = {}): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(compressed ? 1 : 0, 0);
  header.writeUInt32BE(length, 1);
  return Buffer.concat([header, message]);
}

export interface RawAnswer {
  /** Of the HTTP answer; absent where none came. */
  readonly httpStatus: number | undefined;
  /** Absent where none came. */
  readonly status: number | undefined;
  readonly message: string;
  readonly trailers: http2.IncomingHttpHeaders;
  /** Why the stream was reset; 0: it was not. */
  readonly resetCode: number;
  readonly bytes: number;
}

/** A client that leaves all of it to the test. */
export class RawClient {
  readonly session: http2.ClientHttp2Session;

  private constructor(session: http2.ClientHttp2Session) {
    this.session = session;
  }

  static async connect(address: string, options: http2.ClientSessionOptions = {}): Promise<RawClient> {
    const session = http2.connect(`http://${address}`, options);
    session.on('error', () => undefined);
    await once(session, 'connect');
    return new RawClient(session);
  }

  open(path: string, headers: http2.OutgoingHttpHeaders = {}): http2.ClientHttp2Stream {
    const stream = this.session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    stream.on('error', () => undefined);
    return stream;
  }

  /** Sends the bytes and ends the request; resolves when the answer is over. */
  async send(path: string, body: Uint8Array, headers: http2.OutgoingHttpHeaders = {}): Promise<RawAnswer> {
    const stream = this.open(path, headers);
    const answer = answerOf(stream);
    stream.end(body);
    return await answer;
  }

  async close(): Promise<void> {
    if (this.session.destroyed) return;
    const closed = once(this.session, 'close');
    this.session.destroy();
    await closed;
  }
}

/** Reads all of it. */
export async function answerOf(stream: http2.ClientHttp2Stream): Promise<RawAnswer> {
  let head: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
  let trailers: http2.IncomingHttpHeaders = {};
  let bytes = 0;
  stream.on('response', (headers) => {
    head = headers;
  });
  stream.on('trailers', (headers) => {
    trailers = headers;
  });
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(stream, 'close');
  const all = { ...head, ...trailers };
  const status = all['grpc-status'];
  return {
    httpStatus: head[':status'],
    status: status === undefined ? undefined : Number(status),
    message: decodeURIComponent(String(all['grpc-message'] ?? '')),
    trailers: all,
    resetCode: stream.rstCode,
    bytes,
  };
}

/** A socket that is connected, and says nothing by itself. */
export async function rawSocket(address: string): Promise<Socket> {
  const { host, port } = splitAddress(address);
  const socket = connect(port, host);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}
