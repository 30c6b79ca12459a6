/** The replicated state of this node as its shells use it: proposals through Raft, reads from the store. */
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { clusterKnows, notKnownYet, type Laggard } from '../model/command-versions.ts';
import type { Command, Outcome } from '../model/commands.ts';
import type { GroupTable } from '../model/group.ts';
import type { OrderedTableName, TableName, Tables } from '../model/rows.ts';
import type { RaftLeadership, RaftNode } from '../raft/node.ts';
import { ClusterTime } from '../scheduler/cluster-time.ts';
import type {
  Applied,
  CommandInput,
  GroupPage,
  Leadership,
  Replica,
  StateView,
  TaskPage,
} from '../scheduler/ports.ts';
import { encodeCommand } from '../store/codec.ts';
import { expectCommand } from '../store/entries.ts';
import type { SchedulerMachine } from '../store/scheduler-machine.ts';
import { TaskReads } from '../store/task-reads.ts';

/** What becomes of this node's own proposals. */
export interface ProposalObserver {
  proposed(durationMs: number): void;
  /** @param code of the error */
  proposalFailed(code: string): void;
}

const NOBODY: ProposalObserver = { proposed: () => {}, proposalFailed: () => {} };

export class ClusterReplica implements Replica {
  readonly nodeName: string;
  readonly #raft: RaftNode;
  readonly #machine: SchedulerMachine;
  readonly #reads: TaskReads;
  readonly #time: ClusterTime;
  readonly #clock: Clock;
  readonly #observer: ProposalObserver;
  readonly #laggards: () => readonly Laggard[];

  constructor(options: {
    nodeName: string;
    raft: RaftNode;
    machine: SchedulerMachine;
    clock: Clock;
    observer?: ProposalObserver;
    /** Members that keep the cluster from a later version, for people; default: none. */
    laggards?: () => readonly Laggard[];
  }) {
    this.nodeName = options.nodeName;
    this.#raft = options.raft;
    this.#machine = options.machine;
    this.#reads = new TaskReads(options.machine);
    this.#time = new ClusterTime(options.clock);
    this.#clock = options.clock;
    this.#observer = options.observer ?? NOBODY;
    this.#laggards = options.laggards ?? (() => []);
  }

  get state(): StateView {
    return this.#machine.core.state;
  }

  get appliedIndex(): number {
    return this.#machine.appliedIndex;
  }

  leadership(): Leadership {
    return this.#named(this.#raft.leadership());
  }

  onLeadership(listener: (leadership: Leadership) => void): () => void {
    return this.#raft.onLeadership((leadership) => listener(this.#named(leadership)));
  }

  onApplied(listener: (applied: Applied) => void): () => void {
    return this.#machine.onApplied(listener);
  }

  async propose(input: CommandInput): Promise<Outcome> {
    if (!this.#raft.leadership().isLeader) throw new JarvisError('no_leader', 'this node does not lead');
    const atMs = this.#time.nowMs(this.state.cluster?.timeMs ?? 0);
    const command: unknown = { ...input, atMs };
    expectCommand<Command>(this.#machine.core, command);
    // A member that does not know it would pass it over, and from then on have another state.
    if (!clusterKnows(this.state.cluster, command.type))
      throw new JarvisError('unavailable', notKnownYet(this.state.cluster, command.type, this.#laggards()), {
        retryAfterMs: limits.upgradeRetryMs,
      });
    const beganMs = this.#clock.monotonicMs();
    try {
      const outcome = (await this.#raft.propose(encodeCommand(command))) as Outcome;
      this.#observer.proposed(this.#clock.monotonicMs() - beganMs);
      return outcome;
    } catch (error) {
      this.#observer.proposalFailed(error instanceof JarvisError ? error.code : 'internal');
      throw error;
    }
  }

  async readBarrier(signal: AbortSignal): Promise<void> {
    await this.#raft.readIndex(signal);
  }

  confirmLeadership(signal: AbortSignal): Promise<number> {
    return this.#raft.confirmLeadership(signal);
  }

  read<T extends TableName>(table: T, key: string): Promise<Tables[T] | null> {
    return this.#reads.read(table, key);
  }

  onAdvanced(listener: () => void): () => void {
    const stops = [this.#machine.onApplied(listener), this.#machine.onInstalled(listener)];
    return () => stops.forEach((stop) => stop());
  }

  rowsFrom<T extends OrderedTableName>(
    table: T,
    from: { readonly index: number; readonly part: number },
    count: number,
  ) {
    return this.#reads.rowsFrom(table, from, count);
  }

  taskIdsWithPrefix(prefix: string, limit: number): Promise<readonly string[]> {
    return this.#reads.taskIdsWithPrefix(prefix, limit);
  }

  tasksNewestFirst(query: Parameters<Replica['tasksNewestFirst']>[0]): Promise<TaskPage> {
    return this.#reads.tasksNewestFirst(query);
  }

  groupIdsWithPrefix(table: GroupTable, prefix: string, limit: number): Promise<readonly string[]> {
    return this.#reads.groupIdsWithPrefix(table, prefix, limit);
  }

  groupsNewestFirst(query: Parameters<Replica['groupsNewestFirst']>[0]): Promise<GroupPage> {
    return this.#reads.groupsNewestFirst(query);
  }

  #named({ isLeader, term, leader }: RaftLeadership): Leadership {
    const peer = this.#raft.membership.peers.find(({ raftId }) => raftId === leader);
    return { isLeader, term, leader: peer === undefined ? null : { name: peer.name, address: peer.address } };
  }
}
