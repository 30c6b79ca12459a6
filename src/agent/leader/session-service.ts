/**
 * The gRPC service `Worker`: the leader serves sessions, every other node forwards the stream to it and never answers.
 * What was forwarded to a node that does not lead is ended, so that no stream is passed around. With TLS a node forwards
 * its own stream only: it cannot speak for another.
 */
import * as grpc from '@grpc/grpc-js';

import type { LeaderMessage, WorkerMessage } from '../../generated/worker.ts';
import { WorkerClient, WorkerService } from '../../generated/worker.ts';
import { callerOf } from '../../lib/certificate-identity.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { channelOptions } from '../../rpc/channel.ts';
import { fromServiceError, toStatus } from '../../rpc/errors.ts';
import { FORWARDED_KEY } from '../../rpc/forwarded.ts';
import type { Replica } from '../../scheduler/ports.ts';
import type { WorkerCall } from './node-session.ts';

export interface SessionServiceOptions {
  readonly replica: Replica;
  /** Takes a stream over where this node leads; false where it does not. */
  readonly accept: (call: WorkerCall) => boolean;
  /** As of now: a stream keeps those that it was opened with. */
  readonly credentials: () => grpc.ChannelCredentials;
  readonly log: Log;
}

export class SessionService {
  readonly definition = WorkerService;
  readonly handlers: { readonly session: grpc.handleBidiStreamingCall<WorkerMessage, LeaderMessage> };
  readonly #options: SessionServiceOptions;
  /** Ends each stream that is forwarded at present. */
  readonly #forwarded = new Set<(error: JarvisError) => void>();
  readonly #unsubscribe: () => void;
  /** Where streams are forwarded to; empty: nowhere. */
  #leaderAddress = '';

  constructor(options: SessionServiceOptions) {
    this.#options = options;
    this.handlers = { session: (call) => this.#session(call) };
    this.#unsubscribe = options.replica.onLeadership(() => this.#leadershipChanged());
    this.#leaderAddress = this.#forwardAddress();
  }

  close(): void {
    this.#unsubscribe();
    this.#endForwarded('this node is shutting down');
  }

  #session(call: WorkerCall): void {
    if (this.#options.accept(call)) return;
    // Without a listener an error of the stream would end the process.
    call.on('error', () => {});
    const address = this.#forwardAddress();
    const isForwarded = call.metadata.get(FORWARDED_KEY)[0] === '1';
    if (isForwarded || address === '') {
      call.emit('error', toStatus(new JarvisError('no_leader', 'no leader is known here')));
      return;
    }
    const caller = callerOf(call);
    if (caller !== null && caller.name !== this.#options.replica.nodeName) {
      const where = `the leader is at ${address}: with TLS nobody speaks to it for another node`;
      call.emit('error', toStatus(new JarvisError('no_leader', where)));
      return;
    }
    this.#forward(call, address);
  }

  /** The leader's address; empty where there is none, or where it is this node. */
  #forwardAddress(): string {
    const { isLeader, leader } = this.#options.replica.leadership();
    return isLeader || leader === null || leader.name === this.#options.replica.nodeName
      ? ''
      : leader.address;
  }

  #leadershipChanged(): void {
    const address = this.#forwardAddress();
    if (address === this.#leaderAddress) return;
    this.#leaderAddress = address;
    this.#endForwarded('the leader has changed');
  }

  #endForwarded(reason: string): void {
    for (const end of this.#forwarded) end(new JarvisError('no_leader', reason));
  }

  /** Passes messages on in both directions, each at the pace of its reader; either side's end is the other's. */
  #forward(call: WorkerCall, address: string): void {
    const client = new WorkerClient(address, this.#options.credentials(), {
      ...channelOptions,
      'grpc.use_local_subchannel_pool': 1,
    });
    const metadata = new grpc.Metadata();
    metadata.set(FORWARDED_KEY, '1');
    const upstream = client.session(metadata);
    let isOver = false;
    const finish = (error: JarvisError | null): void => {
      if (isOver) return;
      isOver = true;
      this.#forwarded.delete(finish);
      upstream.cancel();
      client.close();
      if (error === null) call.end();
      else call.emit('error', toStatus(error));
    };
    this.#forwarded.add(finish);
    call.on('data', (message: WorkerMessage) => {
      if (!isOver && !upstream.write(message)) call.pause();
    });
    upstream.on('drain', () => call.resume());
    upstream.on('data', (message: LeaderMessage) => {
      if (!isOver && !call.write(message)) upstream.pause();
    });
    call.on('drain', () => upstream.resume());
    for (const event of ['end', 'cancelled', 'close', 'error'] as const) call.on(event, () => finish(null));
    upstream.on('end', () => finish(null));
    upstream.on('error', (error) => finish(fromServiceError(error, { address, write: false })));
  }
}
