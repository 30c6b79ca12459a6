/** What a node with TLS has for enrolment: the service, and the renewal of a certificate that it was given itself. */
import { X509Certificate } from 'node:crypto';

import { EnrolmentService } from '../../generated/enrolment.ts';
import { splitAddress } from '../../lib/address.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import { authorityHash, authorityOf, certificatesIn } from '../../lib/tls-files.ts';
import type { TlsSource } from '../../lib/tls-watch.ts';
import type { JoinTokenUser } from '../../operations/port.ts';
import type { RaftNode } from '../../raft/node.ts';
import type { ChannelPool } from '../../rpc/channel.ts';
import { unaryCall } from '../../rpc/client.ts';
import type { Service } from '../../rpc/server.ts';
import type { Replica } from '../../scheduler/ports.ts';
import type { NodeConfig } from '../config.ts';
import type { NodeAudit } from '../node-audit.ts';
import { CertificateSigner } from './certificate-signer.ts';
import { Enrolment } from './enrolment.ts';
import { hostsOf } from './first-contact.ts';
import { askToRenew, CertificateRenewal } from './renewal.ts';
import { isOfCluster } from './with-certificate.ts';

interface EnrolmentPartsOptions {
  readonly config: NodeConfig;
  readonly tls: TlsSource;
  readonly replica: Replica;
  readonly raft: Pick<RaftNode, 'membership'>;
  /** Where this node leads. */
  readonly useTokenHere: (user: JoinTokenUser, signal: AbortSignal) => Promise<void>;
  readonly audit: NodeAudit;
  readonly pool: ChannelPool;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** @throws JarvisError invalid where the key of the authority cannot be used */
export async function enrolmentParts(
  options: EnrolmentPartsOptions,
): Promise<{ readonly service: Service; readonly close: () => void }> {
  const { config, tls, replica, raft, clock, log } = options;
  const authoritiesPem = (): string => tls.current.authoritiesPem;
  const { tlsCaKey: keyFile } = config;
  const enrolment = new Enrolment({
    signer: keyFile === null ? null : await CertificateSigner.start({ keyFile, authoritiesPem, clock }),
    authoritiesPem,
    useToken: (user, caller) => useToken(options, user, caller),
    useTokenHere: options.useTokenHere,
    isMember: (name) =>
      raft.membership.peers.some((peer) => peer.name === name) || replica.state.copylessNodes.has(name),
    hostOwners: () => hostOwners(replica),
    audit: options.audit,
    clock,
    log,
  });
  const renewal = renewalOf({
    ...options,
    addresses: () => raft.membership.peers.map(({ address }) => address),
  });
  return { service: enrolment.service(), close: () => renewal?.close() };
}

/** Null: the node's certificate is its operator's to renew. */
export function renewalOf(
  options: Pick<EnrolmentPartsOptions, 'config' | 'tls' | 'pool' | 'clock' | 'signal' | 'log'> & {
    /** Of the members. */
    readonly addresses: () => readonly string[];
  },
): CertificateRenewal | null {
  const { config, tls, pool, addresses, clock, signal, log } = options;
  if (!isOfCluster(config)) return null;
  return new CertificateRenewal({
    name: config.name,
    hosts: hostsOf(config),
    files: config.tls as NonNullable<NodeConfig['tls']>,
    material: () => tls.current,
    addresses,
    ask: askToRenew(pool, signal),
    clock,
    log,
  });
}

/** Of the authority that has signed this node's certificate: by it a new node knows this one. */
export function ownAuthorityHash(tls: TlsSource, nowMs: number): string | null {
  const { certificatePem, authoritiesPem } = tls.current;
  const [leaf, ...between] = certificatesIn(certificatePem).map((pem) => new X509Certificate(pem));
  const authorities = certificatesIn(authoritiesPem).map((pem) => new X509Certificate(pem));
  const authority = leaf === undefined ? null : authorityOf(leaf, between, authorities, nowMs);
  return authority === null ? null : authorityHash(authority.toString());
}

async function useToken(
  { replica, useTokenHere, pool }: EnrolmentPartsOptions,
  user: JoinTokenUser,
  signal: AbortSignal,
): Promise<void> {
  const { isLeader, leader } = replica.leadership();
  if (isLeader) return await useTokenHere(user, signal);
  if (leader === null) throw new JarvisError('no_leader', 'the cluster has no leader at present');
  const { id, secretHash, node, holder } = user;
  await unaryCall({
    pool,
    address: leader.address,
    method: EnrolmentService.useToken,
    request: { id, secret_hash: secretHash, node, holder },
    signal,
    timeoutMs: limits.enrolmentCallTimeoutMs,
    write: true,
  });
}

/** Those of loopback are everybody's. */
function hostOwners({ state }: Pick<Replica, 'state'>): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  for (const { name, address, http } of state.nodes.values())
    for (const each of [address, http]) {
      const host = each === '' ? 'localhost' : splitAddress(each).host;
      const isShared =
        host === 'localhost' || host === '0.0.0.0' || host.startsWith('::') || host.startsWith('127.');
      if (!isShared) owners.set(host, name);
    }
  return owners;
}
