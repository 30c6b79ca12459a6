/** The production scheduling loop on a member, for as long as it leads and has applied an entry of its own term. */
import { JarvisError } from '../../src/lib/errors.ts';
import { silentLog } from '../../src/lib/log.ts';
import type { Outcome } from '../../src/model/commands.ts';
import { ClusterTime } from '../../src/scheduler/cluster-time.ts';
import { SchedulingLoop } from '../../src/scheduler/loop.ts';
import type { Applied, CommandInput, Replica as ReplicaPort, StateView } from '../../src/scheduler/ports.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { encodeCommand } from '../../src/store/codec.ts';
import type { WorkerCall } from '../../src/agent/leader/node-session.ts';
import type { SoftState } from '../../src/raft/core/types.ts';
import type { Member } from './member.ts';
import { LeaderWork } from './nodes/leader-work.ts';
import { Violation } from './trace.ts';

function unused(): never {
  throw new Error('the scheduling loop does not ask for that');
}

/** Where the simulated wall clocks begin. */
export const WALL_START_MS = 1_000_000;

export class SchedulerWork {
  readonly #member: Member;
  readonly #loop: SchedulingLoop;
  readonly #listeners = new Set<(applied: Applied) => void>();
  readonly #time: ClusterTime;
  /** What else a leader does where there are nodes; null: nothing. */
  readonly #leader: LeaderWork | null;
  /** The term of the newest step of each batch and DAG. */
  readonly #advancedIn = new Map<string, number>();
  /** The term that it schedules in; null while this member does not lead. */
  #term: number | null = null;

  constructor(member: Member, clock: Clock) {
    this.#member = member;
    const wall = { ...clock, wallMs: () => WALL_START_MS + clock.wallMs() };
    this.#time = new ClusterTime(wall);
    this.#leader = member.world.hasNodes ? new LeaderWork(member, (input) => this.propose(input)) : null;
    this.#loop = new SchedulingLoop({
      replica: this.#port(),
      clock: wall,
      log: silentLog,
      nextTurn: (action) => void member.later(0, action),
    });
  }

  applied(applied: Applied | null, term: number): void {
    if (applied !== null) {
      this.#countGroupWork(applied);
      for (const listener of this.#listeners) listener(applied);
      this.#leader?.applied(applied);
    }
    this.#leader?.appliedIn(term);
    if (this.#member.isLeading && this.#term !== term && term === this.#member.core.status().term) {
      this.#term = term;
      this.#loop.start(term);
      this.#member.world.trace.count('scheduling begun');
    }
    if (this.#loop.unexplainedRefusals > 0)
      throw new Violation(
        `node ${this.#member.id} planned what nothing but its plan can have made impossible`,
      );
  }

  #countGroupWork({ command, outcome, changes }: Applied): void {
    const { trace } = this.#member.world;
    if (outcome.type === 'done') {
      if (command.type === 'retryGroup') trace.count('batch or DAG retried');
      if (command.type === 'retryTask' && (command.group ?? null) !== null)
        trace.count('task of a batch or DAG begun anew by itself');
      if (command.type === 'updateTask') trace.count('task changed');
      if (command.type === 'expire' && changes.some(({ table, after }) => table === 'task' && after === null))
        trace.count('finished tasks expired');
    }
    if (command.type !== 'advanceGroup' || !changes.some(({ table }) => table === 'batch' || table === 'dag'))
      return;
    const before = this.#advancedIn.get(command.id);
    if (before !== undefined && before !== command.term)
      trace.count('batch or DAG gone on with by another leader');
    this.#advancedIn.set(command.id, command.term);
  }

  /** Where nodes are simulated. */
  changed(soft: SoftState): void {
    this.#leader?.changed(soft);
  }

  /** @returns false where this member does not lead */
  acceptWorker(call: WorkerCall): boolean {
    return this.#leader?.accept(call) ?? false;
  }

  /** It leads no longer, its state was replaced, or its process has ended. */
  stop(): void {
    this.#term = null;
    this.#loop.stop();
  }

  /**
   * Stamped, into the log; resolves with apply's outcome.
   * @param queuedMs so long it waits for its turn, as one that back-pressure holds up
   * @throws JarvisError no_leader, outcome_unknown
   */
  async propose(input: CommandInput, queuedMs = 0): Promise<Outcome> {
    const member = this.#member;
    if (!member.isLeading) throw new JarvisError('no_leader', 'it does not lead');
    const atMs = Math.floor(this.#time.nowMs(member.replica.core.state.cluster?.timeMs ?? 0));
    const data = encodeCommand({ ...input, atMs });
    if (queuedMs > 0) await new Promise<void>((resolve) => void member.later(queuedMs, resolve));
    if (!member.isLeading) throw new JarvisError('no_leader', 'it does not lead any more');
    return await new Promise((resolve, reject) => {
      const result = member.propose(data, {
        done: (index) => resolve(member.outcomeAt(index as number)),
        failed: reject,
      });
      if (result.type === 'refused') reject(new JarvisError('no_leader', result.reason));
    });
  }

  #port(): ReplicaPort {
    const member = this.#member;
    return {
      nodeName: `n${member.id}`,
      get state(): StateView {
        return member.replica.core.state;
      },
      get appliedIndex() {
        return member.replica.appliedIndex;
      },
      leadership: unused,
      onLeadership: unused,
      onApplied: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      propose: (input) => this.propose(input),
      readBarrier: unused,
      confirmLeadership: unused,
      read: unused,
      onAdvanced: unused,
      rowsFrom: unused,
      taskIdsWithPrefix: unused,
      tasksNewestFirst: unused,
      groupIdsWithPrefix: unused,
      groupsNewestFirst: unused,
    };
  }
}
