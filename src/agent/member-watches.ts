/** What every member looks at again and again beside its Raft node: that its state is right, and who should rather lead. */
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Service } from '../rpc/server.ts';
import type { SchedulerMachine } from '../store/scheduler-machine.ts';
import type { NodeConfig } from './config.ts';
import type { StateDifference } from './digest-judge.ts';
import { LeaderPreference } from './leader-preference.ts';
import type { MemberQuestions } from './member-questions.ts';
import type { ClusterReplica } from './replica.ts';
import { StateAudit } from './state-audit.ts';

export interface MemberWatches {
  /** What the others ask for. */
  readonly digests: Service;
  /** Replicas that were found to differ. */
  difference(): StateDifference | null;
  start(): void;
  close(): void;
}

export function memberWatches(options: {
  readonly config: NodeConfig;
  readonly clusterId: string;
  readonly raft: RaftNode;
  readonly machine: SchedulerMachine;
  readonly replica: ClusterReplica;
  readonly questions: MemberQuestions;
  /** Of the nodes that a leader has heard of; empty elsewhere. */
  readonly clockOffsets: () => readonly number[];
  readonly onMinority: (reason: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}): MemberWatches {
  const { config, clusterId, raft, machine, replica, questions, clockOffsets, onMinority, clock, log } =
    options;
  const audit = new StateAudit({
    clusterId,
    raft,
    samples: () => machine.digestSamples,
    ask: (peer) => questions.digests(peer),
    onMinority,
    clock,
    log,
  });
  const preference = new LeaderPreference({
    name: config.name,
    raft,
    replica,
    clockOffsets: () => {
      const ofNodes = clockOffsets();
      return ofNodes.length > 0 ? ofNodes : audit.clockOffsets;
    },
    clock,
    log,
  });
  return {
    digests: audit.service(),
    difference: () => audit.difference,
    start() {
      audit.start();
      preference.start();
    },
    close() {
      audit.close();
      preference.close();
    },
  };
}
