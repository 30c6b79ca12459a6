/** What can be asked of a node: answered by itself where it leads or may, and else sent on. */
import { randomUUID } from 'node:crypto';

import type { Autoscaler } from '../autoscaler/loop.ts';
import type { LogLevels } from '../lib/log-levels.ts';
import { FreshnessWatch } from '../operations/freshness.ts';
import { LocalOperations } from '../operations/local.ts';
import { localLogLevel } from '../operations/log-level.ts';
import { memberParts } from '../operations/member-parts.ts';
import type { LocalLogs, LocalUsage } from '../operations/node-port.ts';
import { RoutingOperations } from '../operations/router.ts';
import type { DataDirectory } from '../raft/data-directory.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import { createRemotes } from '../rpc/remotes.ts';
import { webhookTester } from './alerts/webhooks.ts';
import { ownAuthorityHash } from './enrolment/enrolment-parts.ts';
import type { Entrance } from './entrance.ts';
import { NodeInsight, type NodeSelf } from './insight.ts';
import type { LeaderDuties } from './leader/leader-duties.ts';
import type { MemberQuestions } from './member-questions.ts';
import { LeaderMembershipControl } from './membership-control.ts';
import type { NodeParts } from './node-parts.ts';
import type { RecoveredMember } from './recovery.ts';
import type { ClusterReplica } from './replica.ts';
import { SavedSnapshots } from './saved-snapshots.ts';
import { barMember } from './version-watch.ts';
import { targetVotersOf } from './voter-keeper.ts';

interface OperationParts {
  readonly directory: DataDirectory;
  readonly member: Pick<RecoveredMember, 'machine' | 'raft'>;
  readonly self: NodeSelf;
  readonly replica: ClusterReplica;
  readonly duties: LeaderDuties;
  readonly entrance: Entrance;
  readonly autoscaler: Autoscaler;
  readonly questions: MemberQuestions;
  readonly pool: ChannelPool;
  readonly localLogs: LocalLogs;
  readonly localUsage: LocalUsage;
  readonly logLevels: LogLevels;
}

/** @returns what is answered here alone, and what is open to everybody */
export async function nodeOperations(
  { config, security, version, clock, log, closing }: NodeParts,
  parts: OperationParts,
): Promise<{ readonly local: LocalOperations; readonly routing: RoutingOperations }> {
  const { directory, member, self, replica, duties, entrance, autoscaler, questions, pool } = parts;
  const { raft, machine } = member;
  const { tls } = security;
  const remotes = createRemotes(pool);
  closing('remotes', () => remotes.close());
  const insight = new NodeInsight({ raft, duties, self });
  const snapshots = new SavedSnapshots({ raft, machine, dataDirectory: directory.paths.root });
  await snapshots.clear();
  const local = new LocalOperations({
    replica,
    insight,
    membership: new LeaderMembershipControl({
      raft,
      clock,
      targetVoters: () => targetVotersOf(replica.state.cluster, raft.membership.peers.length),
      replica,
      entrance,
      bar: (name) => barMember(replica, name, log),
      ask: (address, caller) => questions.identity(address, caller),
    }),
    snapshots,
    remotes,
    clock,
    testWebhook: webhookTester({ clock, version }),
    scaling: autoscaler,
  });
  const freshness = new FreshnessWatch({ replica, insight, clock });
  const routing: RoutingOperations = new RoutingOperations({
    ...memberParts({ replica, local, clock, routing: () => routing }),
    remotes,
    localLogs: parts.localLogs,
    localUsage: parts.localUsage,
    localLogLevel: localLogLevel(config.name, parts.logLevels, log),
    clock,
    uniqueId: randomUUID,
    freshness: () => freshness.now(),
    authorityHash: () => (tls === null ? null : ownAuthorityHash(tls, clock.wallMs())),
    version: { version, name: config.name, node_version: process.version },
  });
  return { local, routing };
}
