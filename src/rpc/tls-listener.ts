/**
 * TLS in front of the gRPC server. Whoever connects must show a certificate; one that is not good enough is told why, on
 * its first call, and the connection is closed. What a certificate allows is looked at with every call, and calls that go
 * on end with it: a connection may outlast the certificate that it was opened with.
 */
import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  createServer,
  type DetailedPeerCertificate,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls';

import type * as grpc from '@grpc/grpc-js';

import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { DatedIdentity } from '../lib/certificate-identity.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { RepeatedLines } from '../lib/repeated-lines.ts';
import { authorityOf, certificatesIn, datedIdentityOf, type TlsMaterial } from '../lib/tls-files.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import { certificateProblem } from './certificate-words.ts';
import { GuardedCall } from './guarded-call.ts';
import {
  callRefusal,
  isOfWrongUse,
  isOpenToAll,
  membershipRefusal,
  messageRefusal,
  type PeerRefusal,
} from './peer-rules.ts';

/** Of a connection with a certificate that is refused: for its first call to hear why. */
const REFUSED_STAY_MS = 5000;
/** A timer for longer fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** More certificates between one and its authority are none that anybody needs. */
const CHAIN_LENGTH = 8;

/** One that may be asked at any time what is to be said against it. */
interface Connection {
  readonly socket: TLSSocket;
  /** As `getPeer` says it; its socket forgets it at its end. */
  readonly peer: string;
  readonly identity: DatedIdentity | null;
  readonly chain: readonly X509Certificate[];
  /** Under way, with their paths. */
  readonly calls: Map<GuardedCall, string>;
  /** What stands against its certificate, whatever is called. */
  refusal: PeerRefusal | null;
  /** The refusal is not in the log yet: whoever has no certificate may have come for what needs none. */
  isUnsaid: boolean;
  cancelEnd: () => void;
}

/** @param refusal.isUnknown not known who it is, rather than known and not allowed */
export type OnRefused = (refusal: {
  readonly from: string;
  readonly code: PeerRefusal['code'];
  readonly isUnknown: boolean;
}) => void;

export class TlsListener {
  readonly #source: TlsSource;
  readonly #onRefused: OnRefused;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #lines: RepeatedLines;
  readonly #server: Server;
  /** Null: this node is no member yet. */
  #members: ReadonlySet<string> | null = null;
  readonly #connections = new Map<string, Connection>();
  readonly #unsubscribe: () => void;

  /** @param options.secured takes over a connection whose handshake is done */
  constructor(options: {
    readonly source: TlsSource;
    readonly secured: (socket: Socket) => void;
    readonly handshakeMs: number;
    readonly onRefused: OnRefused;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#source = options.source;
    this.#onRefused = options.onRefused;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#lines = new RepeatedLines({
      clock: options.clock,
      intervalMs: limits.repeatedLineMs,
      kindsKept: limits.repeatedLineKinds,
    });
    this.#server = createServer({
      ...contextOf(this.#source.current),
      ALPNProtocols: ['h2'],
      requestCert: true,
      // Node.js would close the connection without a word.
      rejectUnauthorized: false,
      handshakeTimeout: options.handshakeMs,
    });
    this.#server.on('secureConnection', (socket) => {
      this.#secured(socket);
      options.secured(socket);
    });
    this.#server.on('tlsClientError', (error, socket) => {
      // It may have gone already, and its address with it.
      const from = socket.remoteAddress ?? 'unknown';
      // Node.js leaves it open.
      socket.destroy();
      this.#lines.write(`handshake ${from}`, (heldBack) =>
        this.#log.warn({ from, error: messageOf(error).trim(), heldBack }, 'a TLS handshake failed'),
      );
    });
    this.#unsubscribe = this.#source.onChange((material) => this.#renew(material));
  }

  /** A socket that has just been accepted. */
  accept(socket: Socket): void {
    this.#server.emit('connection', socket);
  }

  close(): void {
    this.#unsubscribe();
    for (const connection of this.#connections.values()) connection.cancelEnd();
    this.#connections.clear();
  }

  /** Calls of whoever is none of them any more end. */
  setMembers(names: ReadonlySet<string>): void {
    this.#members = names;
    for (const { calls, identity, peer } of this.#connections.values()) {
      if (identity === null) continue;
      for (const [call, path] of calls) {
        const refusal = membershipRefusal(path, identity, names);
        if (refusal === null) continue;
        this.#refused(peer, refusal);
        call.refuse(refusal);
      }
    }
  }

  readonly interceptor: grpc.ServerInterceptor = ({ path }, call) => {
    const connection = this.#connections.get(call.getPeer());
    const guarded: GuardedCall = new GuardedCall(call, {
      refusal: connection === undefined ? GONE : this.#refusalOf(connection, path),
      refuses: (message) => {
        const identity = connection?.identity ?? null;
        const refusal = identity === null ? null : messageRefusal(path, identity, message);
        if (refusal !== null) this.#refused(call.getPeer(), refusal);
        return refusal;
      },
      onOver: () => connection?.calls.delete(guarded),
    });
    connection?.calls.set(guarded, path);
    return guarded;
  };

  #refusalOf(connection: Connection, path: string): PeerRefusal | null {
    if (isOpenToAll(path)) {
      connection.isUnsaid = false;
      return null;
    }
    if (connection.refusal !== null) {
      // Also where it has called what is open to all before.
      if (connection.chain.length === 0) this.#refused(connection.peer, connection.refusal);
      connection.isUnsaid = false;
      return connection.refusal;
    }
    const { identity } = connection;
    const refusal =
      callRefusal(path, identity, this.#clock.wallMs()) ??
      (identity === null ? null : membershipRefusal(path, identity, this.#members));
    if (refusal !== null) this.#refused(connection.peer, refusal);
    return refusal;
  }

  #secured(socket: TLSSocket): void {
    const chain = chainOf(socket);
    const [leaf] = chain;
    const peer = peerOf(socket);
    const connection: Connection = {
      socket,
      peer,
      identity: leaf === undefined ? null : datedIdentityOf(leaf),
      chain,
      calls: new Map(),
      refusal: null,
      isUnsaid: leaf === undefined,
      cancelEnd: () => {},
    };
    this.#connections.set(peer, connection);
    socket.once('close', () => {
      connection.cancelEnd();
      if (connection.isUnsaid && connection.refusal !== null) this.#refused(peer, connection.refusal);
      if (this.#connections.get(peer) === connection) this.#connections.delete(peer);
    });
    if (socket.authorized) this.#endWithCertificate(connection);
    else this.#refuse(connection, refusalOfCode(String(socket.authorizationError), leaf));
  }

  /** The certificate counts no more: calls under way end, those that come are refused, then the connection is closed. */
  #refuse(connection: Connection, refusal: PeerRefusal): void {
    if (connection.refusal !== null) return;
    connection.refusal = refusal;
    if (!connection.isUnsaid) this.#refused(connection.peer, refusal);
    for (const call of connection.calls.keys()) call.refuse(refusal);
    connection.cancelEnd();
    connection.cancelEnd = this.#clock.after(REFUSED_STAY_MS, () => connection.socket.destroy());
  }

  #endWithCertificate(connection: Connection): void {
    const { validToMs = Infinity } = connection.identity ?? {};
    const leftMs = validToMs - this.#clock.wallMs();
    if (leftMs <= 0) {
      const refusal = callRefusal('', connection.identity, this.#clock.wallMs());
      if (refusal !== null) this.#refuse(connection, refusal);
      return;
    }
    connection.cancelEnd = this.#clock.after(Math.min(leftMs, LONGEST_TIMER_MS), () =>
      this.#endWithCertificate(connection),
    );
  }

  /** New connections meet the new material; those that stand go on only where their authority is still trusted. */
  #renew(material: TlsMaterial): void {
    // The lowest version too: what is not said again falls back to the default.
    this.#server.setSecureContext(contextOf(material));
    const authorities = certificatesIn(material.authoritiesPem).map((pem) => new X509Certificate(pem));
    for (const connection of this.#connections.values()) {
      const [leaf, ...between] = connection.chain;
      if (leaf === undefined || authorityOf(leaf, between, authorities, this.#clock.wallMs()) !== null)
        continue;
      this.#refuse(connection, {
        code: 'untrusted',
        message: 'the authority of the certificate is not trusted here any more',
      });
    }
  }

  #refused(from: string, { code, message }: PeerRefusal): void {
    const address = from.replace(/:\d+$/, '');
    this.#onRefused({ from: address, code, isUnknown: !isOfWrongUse(code) });
    this.#lines.write(`${code} ${address} ${message}`, (heldBack) =>
      this.#log.warn({ from: address, code, reason: message, heldBack }, 'a certificate is refused'),
    );
  }
}

/** Its connection was closed in the same moment. */
const GONE: PeerRefusal = { code: 'untrusted', message: 'the connection is gone' };

function contextOf(material: TlsMaterial): SecureContextOptions {
  return {
    cert: material.certificatePem,
    key: material.keyPem,
    ca: material.authoritiesPem,
    minVersion: 'TLSv1.3',
  };
}

/** As grpc-js's `getPeer` says it. */
function peerOf(socket: TLSSocket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

/** The certificate, and those above it that came along or are known. */
function chainOf(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // Empty where none was shown. One that signed itself is its own issuer.
  while (next?.raw !== undefined && chain.length < CHAIN_LENGTH) {
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}

function refusalOfCode(code: string, leaf: X509Certificate | undefined): PeerRefusal {
  if (leaf === undefined)
    return { code: 'untrusted', message: 'no certificate was shown: one of this cluster is needed' };
  const problem = certificateProblem(code) ?? `cannot be verified: ${code}`;
  const subject = JSON.stringify(leaf.subject.replaceAll('\n', ', '));
  return {
    code: code === 'CERT_HAS_EXPIRED' ? 'expired' : 'untrusted',
    message: `the certificate of ${subject} ${problem}`,
  };
}
