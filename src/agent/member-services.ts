/** What a member answers over gRPC beside Raft: there from the beginning, and of use once it is part of a cluster. */
import { CallersService } from '../generated/callers.ts';
import { ClusterService } from '../generated/cluster.ts';
import { EnrolmentService } from '../generated/enrolment.ts';
import { InstanceHostService } from '../generated/instance_host.ts';
import { LastWordsService } from '../generated/last_words.ts';
import { LogHandOverService } from '../generated/log_hand_over.ts';
import { StateDigestsService } from '../generated/state_digests.ts';
import { NodeLogsService, WorkerService } from '../generated/worker.ts';
import type { ClusterOperations } from '../operations/port.ts';
import type { ClusterRecord } from '../raft/data-directory.ts';
import { callersService } from '../rpc/callers-service.ts';
import { clusterService, nodeLogsService } from '../rpc/cluster-service.ts';
import type { Guarding } from './guarding.ts';
import type { LastWords } from './last-words.ts';
import { lateService } from './late-service.ts';
import type { SessionService } from './leader/session-service.ts';
import type { NodeLogs } from './logs/node-logs.ts';
import type { MemberWatches } from './member-watches.ts';
import type { NodeParts } from './node-parts.ts';
import { nodeProviderService } from './node-providers.ts';

/** @param hasTls without it nothing is to be had by enrolling */
export function memberServices(hasTls: boolean) {
  return {
    cluster: lateService(ClusterService),
    logs: lateService(NodeLogsService),
    worker: lateService(WorkerService),
    lastWords: lateService(LastWordsService),
    handOver: lateService(LogHandOverService),
    digests: lateService(StateDigestsService),
    callers: lateService(CallersService),
    instances: lateService(InstanceHostService),
    ...(hasTls ? { enrolment: lateService(EnrolmentService) } : {}),
  };
}

export type MemberServices = ReturnType<typeof memberServices>;

/** It is part of a cluster: whoever has called is answered. */
export function answerMembers(
  services: MemberServices,
  { config, clock, log }: NodeParts,
  parts: {
    readonly open: ClusterOperations;
    readonly guard: Guarding['guard'];
    readonly cluster: ClusterRecord;
    readonly logs: NodeLogs;
    readonly sessions: SessionService;
    readonly lastWords: LastWords;
    readonly watches: MemberWatches;
  },
): void {
  const { open, guard, cluster, logs, sessions, lastWords, watches } = parts;
  const { clusterId } = cluster;
  services.cluster.become(clusterService(open, log, guard));
  services.logs.become(nodeLogsService(logs.local, log, guard));
  services.worker.become(sessions);
  services.handOver.become(logs.service);
  services.lastWords.become(lastWords.service());
  services.digests.become(watches.digests);
  services.callers.become(callersService(clusterId, guard, log));
  services.instances.become(nodeProviderService({ config, clusterId, clock, log }));
}
