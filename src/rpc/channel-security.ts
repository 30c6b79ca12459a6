/**
 * How this process connects to nodes: in plain text, or over TLS with a certificate of its own. The other side must be a
 * node of the cluster, and where it is known which, that one; under which address it was found does not matter, as nodes
 * move.
 */
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { isIP, type Socket } from 'node:net';

import * as grpc from '@grpc/grpc-js';

import { identityOf } from '../lib/certificate-identity.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { silentLog, type Log } from '../lib/log.ts';
import { RepeatedLines } from '../lib/repeated-lines.ts';
import type { TlsMaterial } from '../lib/tls-files.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import { certificateProblem } from './certificate-words.ts';

export interface ChannelSecurity {
  /** @param node who is expected there; undefined: any node of the cluster */
  credentials(node?: string): grpc.ChannelCredentials;
  /** What stood against the certificate of the server at `host:port`, at the last attempt; null: nothing. */
  problemAt(address: string): string | null;
  /** From then on new connections differ from those that stand. @returns ends it */
  onRenewal(listener: () => void): () => void;
}

const plainText = grpc.credentials.createInsecure();

export const insecureChannels: ChannelSecurity = {
  credentials: () => plainText,
  problemAt: () => null,
  onRenewal: () => () => {},
};

export class TlsChannels implements ChannelSecurity {
  readonly #source: TlsSource;
  readonly #lines: RepeatedLines;
  readonly #log: Log;
  readonly #acceptsAnybody: boolean;
  /** Of the present material, by node: channels with the same credentials share their connections. */
  readonly #credentials = new Map<string | undefined, TlsChannelCredentials>();
  readonly #problems = new Map<string, string>();
  readonly #listeners = new Set<() => void>();

  constructor(
    source: TlsSource,
    {
      log = silentLog,
      clock = systemClock,
      acceptsAnybody = false,
    }: {
      log?: Log;
      clock?: Clock;
      /** Whoever is there: for what is public, and believed only once something else has proved it. */
      acceptsAnybody?: boolean;
    } = {},
  ) {
    this.#source = source;
    this.#log = log;
    this.#acceptsAnybody = acceptsAnybody;
    this.#lines = new RepeatedLines({
      clock,
      intervalMs: limits.repeatedLineMs,
      kindsKept: limits.repeatedLineKinds,
    });
    source.onChange(() => {
      this.#credentials.clear();
      for (const listener of this.#listeners) listener();
    });
  }

  credentials(node?: string): grpc.ChannelCredentials {
    const known = this.#credentials.get(node);
    if (known !== undefined) return known;
    const made = new TlsChannelCredentials({
      material: this.#source.current,
      node,
      acceptsAnybody: this.#acceptsAnybody,
      onTried: (target, problem) => this.#tried(target, problem),
    });
    if (this.#credentials.size >= limits.rpcPooledChannels) this.#credentials.clear();
    this.#credentials.set(node, made);
    return made;
  }

  problemAt(address: string): string | null {
    return this.#problems.get(address) ?? null;
  }

  onRenewal(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tried(target: string, problem: string | null): void {
    this.#problems.delete(target);
    if (problem === null) return;
    if (this.#problems.size >= limits.rpcPooledChannels) this.#problems.clear();
    this.#problems.set(target, problem);
    this.#lines.write(`${target} ${problem}`, (heldBack) =>
      this.#log.warn({ target, problem, heldBack }, 'the certificate of a server is refused'),
    );
  }
}

interface TlsChannelOptions {
  readonly material: TlsMaterial;
  readonly node: string | undefined;
  readonly acceptsAnybody: boolean;
  /** Told what stands against the server's certificate, or that nothing does. */
  readonly onTried: (target: string, problem: string | null) => void;
}

type CreateConnector = grpc.ChannelCredentials['_createSecureConnector'];
type Connector = ReturnType<CreateConnector>;

/** grpc-js's own verify the name of the host, and accept what is older than TLS 1.3. */
class TlsChannelCredentials extends grpc.ChannelCredentials {
  readonly #options: TlsChannelOptions;
  readonly #context: SecureContext;

  constructor(options: TlsChannelOptions) {
    super();
    const { certificatePem, keyPem, authoritiesPem } = options.material;
    this.#options = options;
    this.#context = createSecureContext({
      cert: certificatePem,
      key: keyPem,
      ca: authoritiesPem,
      minVersion: 'TLSv1.3',
    });
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: grpc.ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(...[target, , callCredentials]: Parameters<CreateConnector>): Connector {
    return {
      connect: async (socket) => {
        try {
          const secured = await this.#secured(socket, target.path);
          this.#options.onTried(target.path, null);
          return { socket: secured, secure: true };
        } catch (error) {
          const refusal = refusalOf(error);
          if (refusal !== null) this.#options.onTried(target.path, refusal.message);
          throw refusal ?? error;
        }
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials ?? grpc.CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }

  #secured(socket: Socket, target: string): Promise<TLSSocket> {
    const host = target.replace(/:\d+$/, '');
    return new Promise((resolve, reject) => {
      const closed = (): void => reject(new Error('the connection was closed before TLS stood'));
      const secured: TLSSocket = connect(
        {
          socket,
          secureContext: this.#context,
          ALPNProtocols: ['h2'],
          rejectUnauthorized: !this.#options.acceptsAnybody,
          // An address is no name of a server (RFC 6066).
          ...(isIP(host.replaceAll(/[[\]]/g, '')) === 0 ? { servername: host } : {}),
          checkServerIdentity: (_host, certificate) =>
            identityProblem(certificate.subjectaltname, this.#options.node),
        },
        () => {
          secured.off('error', reject);
          secured.off('close', closed);
          resolve(secured);
        },
      );
      secured.once('error', reject);
      secured.once('close', closed);
    });
  }
}

class ServerRefused extends Error {
  override readonly name = 'ServerRefused';
}

function identityProblem(subjectAltName: string | undefined, node: string | undefined): Error | undefined {
  const identity = identityOf(subjectAltName);
  if (identity === null) return new ServerRefused("the server's certificate names no node");
  const { kind, name } = identity;
  if (kind !== 'node')
    return new ServerRefused(
      `the server's certificate is that of ${kind} ${JSON.stringify(name)}, and no node's`,
    );
  if (node === undefined || node === name) return undefined;
  return new ServerRefused(
    `the server is node ${JSON.stringify(name)}, and ${JSON.stringify(node)} was expected there`,
  );
}

/** Null where it is not the certificate that is to blame. */
function refusalOf(error: unknown): ServerRefused | null {
  if (error instanceof ServerRefused) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const problem = certificateProblem(code);
  return problem === null
    ? null
    : new ServerRefused(`the server's certificate ${problem} (${messageOf(error)})`);
}
