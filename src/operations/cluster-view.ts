/** The cluster as an operator sees it: the answer to `GET /cluster`, from the leader or from a node that is alone. */
import {
  Member,
  type ClusterStatus,
  type DiskError as DiskErrorMessage,
  type JointConfiguration,
  type NodeReport,
  type SnapshotTransfer,
  type StateDifference,
} from '../generated/cluster.ts';
import { clusterVersionOf } from '../model/command-versions.ts';
import { failureTolerance } from '../model/quorum.ts';
import { copylessNodes, type CopylessNodeRow } from '../model/copyless-node.ts';
import type { NodeRow } from '../model/node.ts';
import type { StateView } from '../scheduler/ports.ts';
import type { ClusterInsight, DiskError, MemberInsight, NodeFacts } from './insight.ts';

interface ViewOptions {
  /** Of the node that answers. */
  readonly nodeName: string;
  readonly insight: ClusterInsight;
  /** What workers registered, and who works without a copy. */
  readonly state: Pick<StateView, 'cluster' | 'copylessNodes' | 'nodes'>;
  /** The node's own view, whatever others know by now. */
  readonly stale: boolean;
}

export function clusterView({ nodeName, insight, state, stale }: ViewOptions): ClusterStatus {
  const { nodes, cluster } = state;
  const members = insight.members();
  const workers = copylessNodes(state, members);
  const facts = insight.node();
  const named = (role: MemberInsight['role']): string[] =>
    members.filter((member) => member.role === role).map((member) => member.name);
  const nameOf = namesBy(members);
  const leads = facts.role === 'leader';
  const votes = members.map((member) => ({ ...member, isAlive: member.active }));
  return {
    cluster_id: facts.clusterId,
    epoch: facts.epoch,
    leader: nameOf(facts.leader) ?? '',
    term: facts.term,
    commit_index: facts.commitIndex,
    applied_index: facts.appliedIndex,
    voters: named('voter'),
    learners: named('learner'),
    workers: workers.map(({ name }) => name),
    // Whoever does not lead hears too little of the others to know.
    failure_tolerance: leads ? failureTolerance(votes) : undefined,
    joint: jointView(members, facts),
    transfer_target: leads ? nameOf(facts.transferTarget) : undefined,
    members: [
      ...members.map((member) => memberView(member, facts, nodes.get(member.name))),
      ...workers.map((worker) => workerView(worker, { insight, state })),
    ],
    node: reportView(nodeName, facts, nameOf),
    stale,
    cluster_version: clusterVersionOf(cluster),
  };
}

function memberView(member: MemberInsight, facts: NodeFacts, node: NodeRow | undefined): Member {
  const { lastContactMs, matchIndex } = member;
  const isKnown = member.state !== 'unknown';
  return {
    name: member.name,
    raft_id: member.raftId,
    address: member.address,
    role: member.role,
    state: member.state,
    match_index: isKnown ? matchIndex : undefined,
    lag: isKnown ? Math.max(0, facts.commitIndex - matchIndex) : undefined,
    next_index: isKnown ? member.nextIndex : undefined,
    inflight: isKnown ? member.inflight : undefined,
    paused: isKnown ? member.isPaused : undefined,
    active: member.active,
    last_contact_seconds: lastContactMs === null ? undefined : seconds(lastContactMs),
    snapshot: snapshotView(member.snapshot),
    version: node?.version,
    node_status: node?.status,
    report: undefined,
    last_words: member.lastWords.map(diskErrorView),
  };
}

/** Raft knows nothing of it: what there is to tell is what the state and the leader's ear know. */
function workerView(
  { name, address }: CopylessNodeRow,
  { insight, state }: Pick<ViewOptions, 'insight' | 'state'>,
): Member {
  const node = state.nodes.get(name);
  const silentMs = insight.silentMs(name);
  const warningMs = state.cluster?.config.heartbeat.warningMs ?? 0;
  return Member.create({
    name,
    address,
    role: 'worker',
    active: node?.sessionOpen === true && (silentMs ?? 0) < warningMs,
    last_contact_seconds: silentMs === null ? undefined : seconds(silentMs),
    version: node?.version,
    node_status: node?.status,
  });
}

function snapshotView(snapshot: MemberInsight['snapshot']): SnapshotTransfer | undefined {
  if (snapshot === null) return undefined;
  const { index, takenBytes, totalBytes, failures, lastFailure } = snapshot;
  return {
    index,
    taken_bytes: takenBytes,
    total_bytes: totalBytes,
    failures,
    last_failure: lastFailure ?? undefined,
  };
}

function jointView(members: readonly MemberInsight[], facts: NodeFacts): JointConfiguration | undefined {
  const names = (belongs: (member: MemberInsight) => boolean): string[] =>
    members.filter(belongs).map(({ name }) => name);
  const outgoing = names((member) => member.outgoing);
  if (outgoing.length === 0) return undefined;
  return {
    incoming: names((member) => member.incoming),
    outgoing,
    learners_next: names(({ raftId }) => facts.learnersNext.includes(raftId)),
    auto_leave: facts.autoLeave,
  };
}

function reportView(
  name: string,
  facts: NodeFacts,
  nameOf: (raftId: number) => string | undefined,
): NodeReport {
  return {
    name,
    raft_id: facts.raftId,
    role: facts.role === 'preCandidate' ? 'pre_candidate' : facts.role,
    term: facts.term,
    vote: nameOf(facts.vote),
    leader: nameOf(facts.leader),
    commit_index: facts.commitIndex,
    applied_index: facts.appliedIndex,
    first_index: facts.firstIndex,
    last_index: facts.lastIndex,
    durable_index: facts.durableIndex,
    uncommitted_bytes: facts.uncommittedBytes,
    log: {
      segments: facts.log.segments,
      bytes: facts.log.bytes,
      last_fsync_seconds: seconds(facts.log.lastFsyncMs),
      pending: facts.log.pending,
    },
    disk_errors: facts.diskErrors.map(diskErrorView),
    refusals: Object.fromEntries(facts.refusals),
    version: facts.version,
    state_difference: differenceView(facts.stateDifference, nameOf),
  };
}

function differenceView(
  difference: NodeFacts['stateDifference'],
  nameOf: (raftId: number) => string | undefined,
): StateDifference | undefined {
  if (difference === null) return undefined;
  const digests = [...difference.digests].map(([id, digest]) => [nameOf(id) ?? String(id), digest] as const);
  return { index: difference.index, digests: Object.fromEntries(digests) };
}

function diskErrorView({ kind, path, message, atMs }: DiskError): DiskErrorMessage {
  return { kind, path, message, at: new Date(atMs).toISOString() };
}

/** A member that left is known by its id only; 0 is nobody. */
function namesBy(members: readonly MemberInsight[]): (raftId: number) => string | undefined {
  const names = new Map(members.map(({ raftId, name }) => [raftId, name]));
  return (raftId) => (raftId === 0 ? undefined : (names.get(raftId) ?? String(raftId)));
}

/** To the millisecond. */
function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}
