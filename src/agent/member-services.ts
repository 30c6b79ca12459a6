/** What a member answers over gRPC beside Raft: there from the beginning, and of use once it is part of a cluster. */
import { ClusterService } from '../generated/cluster.ts';
import { EnrolmentService } from '../generated/enrolment.ts';
import { InstanceHostService } from '../generated/instance_host.ts';
import { LastWordsService } from '../generated/last_words.ts';
import { LogHandOverService } from '../generated/log_hand_over.ts';
import { StateDigestsService } from '../generated/state_digests.ts';
import { NodeLogsService, WorkerService } from '../generated/worker.ts';
import { lateService } from './late-service.ts';

/** @param hasTls without it nothing is to be had by enrolling */
export function memberServices(hasTls: boolean) {
  return {
    cluster: lateService(ClusterService),
    logs: lateService(NodeLogsService),
    worker: lateService(WorkerService),
    lastWords: lateService(LastWordsService),
    handOver: lateService(LogHandOverService),
    digests: lateService(StateDigestsService),
    instances: lateService(InstanceHostService),
    ...(hasTls ? { enrolment: lateService(EnrolmentService) } : {}),
  };
}
