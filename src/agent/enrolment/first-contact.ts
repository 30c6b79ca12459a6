/**
 * A node that has no certificate yet comes in by a join token (docs/joining.md). It believes nobody before it has seen
 * an authority whose key has the hash that stands in the token, and shows the token over a connection only whose
 * certificate that authority has signed. Its own key never leaves the machine.
 */
import { EnrolmentService, type CertificateReply, type EnrolRequest } from '../../generated/enrolment.ts';
import { splitAddress } from '../../lib/address.ts';
import { pause } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf, type ErrorCode } from '../../lib/errors.ts';
import type { JoinToken } from '../../lib/join-token.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import { authorityHash, certificatesIn, readTlsFiles, type TlsFiles } from '../../lib/tls-files.ts';
import { ChannelPool } from '../../rpc/channel.ts';
import { TlsChannels, type ChannelSecurity } from '../../rpc/channel-security.ts';
import { unaryCall } from '../../rpc/client.ts';
import type { NodeConfig } from '../config.ts';
import { pendingKey, storeEnrolled } from './enrolled-files.ts';

export interface FirstContactOptions {
  readonly config: Pick<NodeConfig, 'name' | 'join' | 'advertise' | 'http'>;
  readonly files: TlsFiles;
  readonly token: JoinToken & { readonly text: string };
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Another member may answer otherwise, or this one later. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set([
  'no_leader',
  'unavailable',
  'timeout',
  'outcome_unknown',
  'too_many',
]);

/**
 * Resolves once the certificate is on disk. Asks the members in turn, for a bounded time, until the signal is aborted.
 * @throws JarvisError forbidden, conflict, invalid where nobody will let it in; unavailable where nobody could
 */
export async function comeInByToken(options: FirstContactOptions): Promise<void> {
  const { config, files, clock, signal, log } = options;
  const key = await pendingKey(files);
  const giveUpMs = clock.monotonicMs() + limits.enrolmentMs;
  let toldBefore = '';
  for (let round = 0; ; round += 1) {
    signal.throwIfAborted();
    const address = config.join[round % config.join.length] ?? '';
    try {
      const reply = await enrolAt(address, key.publicKeyPem, options);
      await storeEnrolled(files, {
        keyPem: key.keyPem,
        certificatePem: reply.certificate,
        authoritiesPem: reply.authorities,
      });
      // What was answered fits together, and is for this node's key.
      const { endsMs } = await readTlsFiles(files, clock.wallMs());
      log.info(
        { from: address, until: new Date(endsMs).toISOString() },
        'this node has a certificate of the cluster',
      );
      return;
    } catch (error) {
      const mayPass = error instanceof JarvisError && RETRYABLE.has(error.code);
      if (!mayPass || clock.monotonicMs() >= giveUpMs) throw error;
      const told = messageOf(error);
      if (!signal.aborted && told !== toldBefore) log.info({ address, error: told }, 'no certificate yet');
      toldBefore = told;
    }
    await pause(clock, limits.enrolmentRetryMs, signal);
  }
}

async function enrolAt(
  address: string,
  publicKey: string,
  { config, token, signal }: FirstContactOptions,
): Promise<CertificateReply> {
  const authority = await authorityAt(address, token, signal);
  const security = channelsTo(authority);
  const pool = new ChannelPool(security);
  const request: EnrolRequest = {
    name: config.name,
    public_key: publicKey,
    hosts: hostsOf(config),
    join_token: token.text,
  };
  try {
    return await unaryCall({
      pool,
      address,
      method: EnrolmentService.enrol,
      request,
      signal,
      timeoutMs: limits.enrolmentCallTimeoutMs,
      write: true,
    });
  } catch (error) {
    const problem = security.problemAt(address);
    if (problem === null) throw error;
    throw new JarvisError('unauthenticated', `${address}: ${problem}; the join token was not shown to it`, {
      cause: error,
    });
  } finally {
    pool.close();
  }
}

/**
 * The authority that the token is about. Nothing is told to whoever answers, who may be anybody.
 * @throws JarvisError unauthenticated where it knows another one
 */
async function authorityAt(address: string, token: JoinToken, signal: AbortSignal): Promise<string> {
  const pool = new ChannelPool(channelsTo(null));
  try {
    const { authorities } = await unaryCall({
      pool,
      address,
      method: EnrolmentService.authorities,
      request: {},
      signal,
      timeoutMs: limits.enrolmentCallTimeoutMs,
      write: false,
    });
    const known = certificatesIn(authorities).slice(0, MOST_AUTHORITIES);
    const authority = known.find((pem) => authorityHash(pem) === token.authorityHash);
    if (authority !== undefined) return authority;
  } finally {
    pool.close();
  }
  throw new JarvisError(
    'unauthenticated',
    `${address} is of another cluster than the join token, or pretends to be of one: its authority is not the one whose ` +
      'hash stands in the token, which was not shown to it',
  );
}

const MOST_AUTHORITIES = 16;

/**
 * Without a certificate of its own.
 * @param authoritiesPem the authority that must have signed the other side's, a node's; null: whoever is there
 */
function channelsTo(authoritiesPem: string | null): ChannelSecurity {
  const current = {
    certificatePem: '',
    keyPem: '',
    authoritiesPem: authoritiesPem ?? '',
    identity: null,
    endsMs: Number.POSITIVE_INFINITY,
    digest: '',
  };
  return new TlsChannels({ current, onChange: () => () => {} }, { acceptsAnybody: authoritiesPem === null });
}

/** Under which others reach it: what clients of HTTPS compare with its certificate. */
export function hostsOf({ advertise, http }: Pick<NodeConfig, 'advertise' | 'http'>): string[] {
  const hosts = [advertise, http].map((address) => splitAddress(address).host);
  return [...new Set(hosts)].filter((host) => host !== '0.0.0.0' && host !== '::');
}
