/** Deliberate bugs, each of a kind that real implementations shipped. */
import { LEASE_MUTANTS } from './mutants-leases.ts';

/** `find` occurs once in the file. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant extends Edit {
  readonly name: string;
  readonly what: string;
  /** What else is wrong with it. */
  readonly also?: readonly Edit[];
  /** In which runs it shows: those of `nodes/`; else those of the cluster alone. */
  readonly world?: 'nodes';
}

const CORE = 'src/raft/core';
const WAL = 'src/raft/wal';
const SNAPSHOTS = 'src/raft/snapshots';

const CLUSTER_MUTANTS: readonly Mutant[] = [
  {
    name: 'vote-before-fsync',
    what: 'a vote and an acknowledgement leave before they are durable',
    file: `${CORE}/messages.ts`,
    find: "return isPromise(type) || type === 'vote';",
    replace: "return type === 'vote';",
  },
  {
    name: 'candidate-before-fsync',
    what: 'votes are asked for before the own term is durable',
    file: `${CORE}/messages.ts`,
    find: "return isPromise(type) || type === 'vote';",
    replace: 'return isPromise(type);',
  },
  {
    name: 'commit-index-dropped',
    what: 'a commit index that needs no write of its own is never written',
    file: 'src/raft/log-requests.ts',
    find: 'this.#riding = request.mustSync ? null : hardState;',
    replace: 'this.#riding = null;',
  },
  {
    name: 'commit-of-old-term',
    what: 'entries of earlier terms are committed by counting',
    file: `${CORE}/replication.ts`,
    find: ' || log.termAt(index) !== member.term) return false;',
    replace: ') return false;',
  },
  {
    name: 'read-before-own-commit',
    what: 'ReadIndex is answered before an entry of the own term is committed',
    file: `${CORE}/reads.ts`,
    find: 'return member.log.termAt(member.log.committed) === member.term;',
    replace: 'return member.log.committed > 0;',
  },
  {
    name: 'read-without-quorum',
    what: 'a round of reads is confirmed by any one answer',
    file: `${CORE}/reads.ts`,
    find: "if (result !== 'won') return;",
    replace: "if (result === 'lost') return;",
  },
  {
    name: 'commit-quorum-off-by-one',
    what: 'one acknowledgement too few commits',
    file: `${CORE}/quorum.ts`,
    find: 'matches[Math.floor(voters.length / 2)]',
    replace: 'matches[Math.floor(voters.length / 2) - 1]',
  },
  {
    name: 'vote-quorum-off-by-one',
    what: 'one vote too few elects',
    file: `${CORE}/quorum.ts`,
    find: 'Math.floor(voters.length / 2) + 1;',
    replace: 'Math.max(1, Math.floor(voters.length / 2));',
  },
  {
    name: 'joint-commit-ignored',
    what: 'the outgoing majority has no say in commits',
    file: `${CORE}/quorum.ts`,
    find: 'return Math.min(incoming, majorityCommitted(majorities.votersOutgoing, matchOf));',
    replace: 'return incoming;',
  },
  {
    name: 'joint-vote-ignored',
    what: 'the outgoing majority has no say in elections',
    file: `${CORE}/quorum.ts`,
    find: 'const outgoing = majorityVote(majorities.votersOutgoing, voteOf);',
    replace: 'const outgoing = incoming;',
  },
  {
    name: 'learner-counted',
    what: 'learners count as voters where commits are counted',
    file: `${CORE}/replication.ts`,
    find: 'const index = jointCommitted(member.confState, (id)',
    replace:
      'const { confState: known } = member;\n  const counted = { ...known, voters: [...known.voters, ...known.learners] };\n  const index = jointCommitted(counted, (id)',
  },
  {
    name: 'second-change-at-once',
    what: 'a change of membership is taken while one is pending',
    file: `${CORE}/membership.ts`,
    find: "if (member.pendingConfIndex > member.log.applied) return 'a change may be pending';",
    replace: '',
  },
  {
    name: 'joint-never-left',
    what: 'a new leader does not leave the joint configuration that it finds',
    file: `${CORE}/membership.ts`,
    find: 'if (!member.isLeader || !confState.autoLeave || log.applied < pendingConfIndex) return;',
    replace:
      'if (!member.isLeader || !confState.autoLeave || log.applied < pendingConfIndex || log.termAt(member.confIndex) !== member.term) return;',
  },
  {
    name: 'campaign-with-unapplied-change',
    what: 'an election under a configuration that a committed change replaces',
    file: `${CORE}/election.ts`,
    find: ' || member.log.hasUnappliedConfChange()) return;',
    replace: ') return;',
  },
  {
    name: 'vote-for-anybody',
    what: 'a vote is given whatever the log of the candidate holds',
    file: `${CORE}/log.ts`,
    find: 'return term > this.lastTerm || (term === this.lastTerm && index >= this.lastIndex);',
    replace: 'return term >= 0 && index >= 0;',
  },
  {
    name: 'vote-by-index',
    what: 'the longer log is taken for the newer one, whatever its term',
    file: `${CORE}/log.ts`,
    find: 'return term > this.lastTerm || (term === this.lastTerm && index >= this.lastIndex);',
    replace: 'return term >= this.lastTerm || index > this.lastIndex;',
  },
  {
    name: 'vote-forgotten-in-term',
    what: 'a step-down clears the vote of the term',
    file: `${CORE}/member.ts`,
    find: '    this.leader = 0;\n    this.electionElapsed = 0;\n    this.heartbeatElapsed = 0;',
    replace:
      '    this.vote = 0;\n    this.leader = 0;\n    this.electionElapsed = 0;\n    this.heartbeatElapsed = 0;',
  },
  {
    name: 'old-completion-counts',
    what: 'the completion of a write of an earlier term acknowledges a rewritten tail',
    file: `${CORE}/log.ts`,
    find: 'if (index > this.#durable && index <= this.#handedOut && this.matches(index, term)) this.#durable = index;',
    replace: 'if (index > this.#durable && index <= this.lastIndex) this.#durable = this.lastIndex;',
  },
  {
    name: 'commit-beyond-match',
    what: 'a heartbeat tells the commit index whether or not the follower matches',
    file: `${CORE}/replication.ts`,
    find: 'const commit = Math.min(progress.match, member.log.committed);',
    replace: 'const commit = Math.min(progress.next - 1, member.log.committed);',
  },
  {
    name: 'append-without-check',
    what: 'entries are taken without a look at the one before them',
    file: `${CORE}/log.ts`,
    find: 'if (!this.matches(index, term)) return null;',
    replace: 'if (index > this.lastIndex) return null;',
  },
  {
    name: 'stale-snapshot',
    what: 'an old snapshot replaces a newer log',
    file: `${CORE}/following.ts`,
    find: 'if (snapshot === null || snapshot.index <= log.committed) return;',
    replace: 'if (snapshot === null) return;',
  },
  {
    name: 'window-never-freed',
    what: 'acknowledgements do not free the window of a follower',
    file: `${CORE}/inflights.ts`,
    find: 'if (oldest === undefined || oldest.index > index) break;',
    replace: 'if (oldest === undefined || oldest.index > 0) break;',
  },
  {
    name: 'transfer-never-given-up',
    what: 'a transfer of leadership holds proposals back for ever',
    file: `${CORE}/raft-core.ts`,
    find: '      member.transferTarget = 0;\n',
    replace: '',
  },
  {
    name: 'snapshot-limbo',
    what: 'a failed snapshot transfer is not tried again',
    file: `${CORE}/replication.ts`,
    find: "if (progress.state !== 'snapshot') return;",
    replace: "if (progress.state !== 'snapshot' || !ok) return;",
  },
  {
    name: 'acknowledged-after-enospc',
    what: 'a write that failed counts as written',
    file: `${WAL}/writers.ts`,
    find: "this.#failed = true;\n        this.#events.failed(writeFailure(this.#settings, error, error instanceof Error ? error.message : ''));",
    replace: 'void error;\n        this.#events.written(batch.length, 0, this.#writer.stats);',
  },
  {
    name: 'log-never-synced',
    what: 'a batch is acknowledged without a sync',
    file: `${WAL}/segment-writer.ts`,
    find: '    this.#files.syncData(this.#handle);\n    const durationMs',
    replace: '    const durationMs',
  },
  {
    name: 'log-deleted-above-snapshot',
    what: 'segments are deleted that the snapshot does not cover',
    file: `${WAL}/segment-writer.ts`,
    find: 'this.#segments.findLastIndex(({ startLastIndex }) => startLastIndex <= baseIndex)',
    replace: 'this.#segments.findLastIndex(({ startLastIndex }) => startLastIndex >= baseIndex)',
  },
  {
    name: 'segment-name-not-synced',
    what: 'a new segment is used before its directory entry is durable',
    file: `${WAL}/segment-writer.ts`,
    find: '  files.rename(join(directory, name), join(directory, segmentName(sequence)));\n  files.syncDirectory(directory);',
    replace: '  files.rename(join(directory, name), join(directory, segmentName(sequence)));',
  },
  {
    name: 'truncation-not-replayed',
    what: 'recovery brings back entries that were replaced',
    file: `${WAL}/recovery.ts`,
    find: 'this.entries.length = Math.max(kept, 0);',
    replace: 'this.entries.length = Math.max(kept + 1, 0);',
  },
  {
    name: 'watermark-ahead',
    what: 'the watermark tells of a batch that is not written yet, and a torn tail becomes corruption',
    file: `${WAL}/segment-writer.ts`,
    find: '    this.#files.write(this.#handle, parts, this.#offset);\n',
    replace:
      '    const [before, offset] = [this.#state, this.#offset];\n    this.#state = { ...before, chain };\n    this.#offset += bytes;\n    this.#writeWatermark();\n    [this.#state, this.#offset] = [before, offset];\n    this.#files.write(this.#handle, parts, this.#offset);\n',
  },
  {
    name: 'checksum-ignored',
    what: 'a batch is believed whatever its checksum says',
    file: `${WAL}/batch-format.ts`,
    find: 'if (checksum(header.previousChain, segment.subarray(offset, offset + 20), body) !== header.chain)\n    return null;',
    replace: '',
  },
  {
    name: 'corrupt-as-torn',
    what: 'damage below the watermark is cut off as a torn tail',
    file: `${WAL}/recovery.ts`,
    find: 'if (watermark !== null) checkWatermark(directory, scans, watermark.position);',
    replace: '',
  },
  {
    name: 'watermark-tail-unchecked',
    what: 'the watermark is not held against where its segment ends',
    file: `${WAL}/recovery.ts`,
    find: 'if (scan.chains.get(position.offset) === position.chain) return;',
    replace: 'if (position.sequence <= last.header.sequence) return;',
  },
  {
    name: 'lost-segment-believed',
    what: 'a log is believed whose watermark stands in a segment that is gone',
    file: `${WAL}/recovery.ts`,
    find: 'if (position.sequence > last.header.sequence)',
    replace: 'if (position.sequence < 0)',
  },
  {
    name: 'snapshot-name-not-synced',
    what: 'a snapshot that was taken is relied on before its name is durable',
    file: `${SNAPSHOTS}/snapshot-writer.ts`,
    find: '    await systemCall(path, files.syncDirectory(dirname(path)));\n',
    replace: '',
  },
  {
    name: 'snapshot-not-synced',
    what: 'a snapshot that was taken gets its name before its contents are durable',
    file: `${SNAPSHOTS}/snapshot-writer.ts`,
    find: '      await systemCall(aside, file.sync());\n',
    replace: '',
  },
  {
    name: 'received-name-not-synced',
    what: 'a snapshot that was received is relied on before its name is durable',
    file: `${SNAPSHOTS}/snapshot-receiver.ts`,
    find: '      await received(this.#path, this.#files.syncDirectory(dirname(this.#path)));\n',
    replace: '',
  },
  {
    name: 'record-name-not-synced',
    what: 'a node goes on before the count of its start is durable under its name',
    file: 'src/raft/durable-file.ts',
    find: '  await files.rename(aside, path);\n  await files.syncDirectory(dirname(path));',
    replace: '  await files.rename(aside, path);',
  },
  {
    name: 'older-log-votes',
    what: 'a log that ends below the state is believed',
    file: `${WAL}/recovery.ts`,
    find: 'if (state.lastIndex < mustReach)',
    replace: 'if (state.lastIndex < 0)',
  },
  {
    name: 'blank-disk-votes',
    what: 'a node that lost its log begins a new one under the same id',
    file: `${WAL}/wal.ts`,
    find: 'if (!options.create || mustReach > 0)',
    replace: 'if (mustReach < 0)',
  },
  {
    name: 'older-copy-votes',
    what: 'a copy of a data directory is heeded like the node itself',
    file: 'src/raft/data-directory.ts',
    find: 'if (known === undefined || counter > known.counter) return null;',
    replace: 'if (known === undefined || counter > 0) return null;',
  },
  {
    name: 'endless-lease',
    what: 'a leader reads by its lease long after others may have elected another',
    file: 'src/raft/read-lease.ts',
    find: '(limits.electionTicks - 1) * limits.tickMs * (1 - DRIFT)',
    replace: '20 * limits.electionTicks * limits.tickMs',
  },
  {
    name: 'capacity-ignored',
    what: 'nodes are given more than they have',
    file: 'src/scheduler/core/placement/fit.ts',
    find: 'if (cpu <= 0 && memory <= 0) return null;',
    replace: 'if (cpu <= 1_000_000) return null;',
    also: [
      {
        file: 'src/scheduler/core/placement/node-table.ts',
        find: 'const freeCpu = row.capacity.cpuMillis - ',
        replace: 'const freeCpu = 1_000_000 - ',
      },
    ],
  },
  {
    name: 'report-of-another-attempt',
    what: 'what an earlier attempt came to is taken for the newest one',
    file: 'src/scheduler/core/apply/report-attempts.ts',
    find: 'if (attempt.assignment !== report.assignment || attempt.node !== node) return false;',
    replace: '',
  },
  {
    name: 'retries-forgotten',
    what: 'the scheduling loop does not look for retries that are due',
    file: 'src/scheduler/loop.ts',
    find: '    this.#scheduleRetries();\n    // Whoever',
    replace: '    // Whoever',
  },
  {
    name: 'groups-forgotten',
    what: 'a leader does not go on with batches and DAGs',
    file: 'src/scheduler/loop.ts',
    find: '    this.#groups.step();\n',
    replace: '',
  },
  {
    name: 'gates-ignored',
    what: 'more tasks of a batch run than it allows',
    file: 'src/scheduler/core/group-index.ts',
    find: 'return group.maxParallel - activeCount(group);',
    replace: 'return null;',
  },
  {
    name: 'child-too-early',
    what: 'a task of a DAG is queued before all that it depends on has completed',
    file: 'src/scheduler/core/groups/dependents.ts',
    find: '    isReady = false;\n',
    replace: '',
  },
  {
    name: 'counts-drift',
    what: 'tasks that are skipped are not counted',
    file: 'src/scheduler/core/groups/settle.ts',
    find: '    counts[to] += 1;',
    replace: "    counts[to] += to === 'SKIPPED' ? 0 : 1;",
  },
  {
    name: 'plans-forgotten',
    what: 'the scheduling loop does not wake for new work',
    file: 'src/scheduler/loop.ts',
    find: 'if (changes.some(wakes)) this.#wake();',
    replace: '',
  },
  {
    name: 'time-from-the-clock',
    what: 'apply looks at the wall clock',
    file: 'src/scheduler/core/transaction.ts',
    find: 'this.nowMs = Math.max(options.state.cluster?.timeMs ?? 0, options.atMs);',
    replace: 'this.nowMs = Math.max(options.state.cluster?.timeMs ?? 0, performance.now() * 1e6);',
  },
];

export const MUTANTS: readonly Mutant[] = [...CLUSTER_MUTANTS, ...LEASE_MUTANTS];
