/** Who may come in, and with TLS get a certificate for it. */
import { clusterVersionOf } from '../model/command-versions.ts';
import type { LocalOperations } from '../operations/local.ts';
import type { ClusterRecord } from '../raft/data-directory.ts';
import type { RaftNode } from '../raft/node.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import { Admission } from './admission.ts';
import { ClusterViews } from './cluster-views.ts';
import type { CopylessNames } from './copyless-names.ts';
import { enrolmentParts } from './enrolment/enrolment-parts.ts';
import type { Entrance } from './entrance.ts';
import type { MemberServices } from './member-services.ts';
import type { NodeAudit } from './node-audit.ts';
import type { NodeParts } from './node-parts.ts';
import type { ClusterReplica } from './replica.ts';

interface AdmissionParts {
  readonly replica: ClusterReplica;
  readonly cluster: ClusterRecord;
  readonly raft: RaftNode;
  readonly names: CopylessNames;
  readonly entrance: Entrance;
  readonly local: LocalOperations;
  readonly audit: NodeAudit;
  readonly signal: AbortSignal;
}

export function nodeAdmission({ config, security, clock, log }: NodeParts, parts: AdmissionParts): Admission {
  const { replica, cluster, raft, names, entrance, local, audit, signal } = parts;
  const { tls } = security;
  return new Admission({
    raft,
    replica,
    cluster,
    entrance,
    views: new ClusterViews({ raft, replica, names, clock }),
    version: () => clusterVersionOf(replica.state.cluster),
    isBarred: (name) => tls !== null && replica.state.formerMembers.has(name),
    // With TLS the certificate that it shows is what lets it in.
    tokens: { areRequired: config.auth && tls === null, use: (user) => local.useJoinToken(user, signal) },
    audit,
    log,
  });
}

/** Does nothing without TLS. */
export async function beginEnrolment(
  { config, security, clock, log, closing }: NodeParts,
  parts: AdmissionParts & { readonly pool: ChannelPool; readonly services: MemberServices },
): Promise<void> {
  const { replica, raft, local, audit, pool, services, signal } = parts;
  const { tls } = security;
  if (tls === null) return;
  const enrolment = await enrolmentParts({
    config,
    tls,
    replica,
    raft,
    pool,
    signal,
    audit,
    useTokenHere: (user, caller) => local.useJoinToken(user, caller),
    clock,
    log,
  });
  services.enrolment?.become(enrolment.service);
  closing('enrolment', enrolment.close);
}
