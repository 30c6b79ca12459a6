/** A certificate that the cluster has given a node is renewed by the node itself, at two thirds of its life. */
import { EnrolmentService, type CertificateReply, type RenewRequest } from '../../generated/enrolment.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import type { TlsFiles, TlsMaterial } from '../../lib/tls-files.ts';
import type { ChannelPool } from '../../rpc/channel.ts';
import { unaryCall } from '../../rpc/client.ts';
import { newKey, storeEnrolled } from './enrolled-files.ts';

const RENEWED_AT = 2 / 3;

export interface RenewalOptions {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly files: TlsFiles;
  readonly material: () => TlsMaterial;
  /** Of the members, `host:port`. */
  readonly addresses: () => readonly string[];
  /** Asks one of them. */
  readonly ask: (address: string, request: RenewRequest) => Promise<CertificateReply>;
  readonly clock: Clock;
  readonly log: Log;
}

export class CertificateRenewal {
  readonly #options: RenewalOptions;
  #cancel: () => void = () => {};
  #closed = false;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#cancel = this.#options.clock.after(limits.renewalLookMs, () => void this.#look());
  }

  /** Never throws: what fails is tried again at the next look. */
  async #look(): Promise<void> {
    const { clock, log, material } = this.#options;
    const { identity } = material();
    try {
      if (identity !== null && clock.wallMs() >= renewalMs(identity)) await this.#renew();
    } catch (error) {
      const until = new Date(identity?.validToMs ?? 0).toISOString();
      log.warn({ until, error: messageOf(error) }, 'the certificate of this node is not renewed yet');
    }
    this.#schedule();
  }

  async #renew(): Promise<void> {
    const { name, hosts, files, addresses, ask, log } = this.#options;
    const { keyPem, publicKeyPem } = newKey();
    const request = { name, public_key: publicKeyPem, hosts: [...hosts] };
    let last: unknown = new JarvisError('unavailable', 'there is no member');
    for (const address of addresses()) {
      if (this.#closed) return;
      try {
        const { certificate, authorities } = await ask(address, request);
        await storeEnrolled(files, { keyPem, certificatePem: certificate, authoritiesPem: authorities });
        log.info({ from: address }, 'the certificate of this node is renewed');
        return;
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }
}

function renewalMs({
  validFromMs,
  validToMs,
}: {
  readonly validFromMs: number;
  readonly validToMs: number;
}): number {
  return validFromMs + (validToMs - validFromMs) * RENEWED_AT;
}

export function askToRenew(pool: ChannelPool, signal: AbortSignal): RenewalOptions['ask'] {
  return (address, request) =>
    unaryCall({
      pool,
      address,
      method: EnrolmentService.renew,
      request,
      signal,
      timeoutMs: limits.enrolmentCallTimeoutMs,
      write: true,
    });
}
