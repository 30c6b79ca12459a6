/** What a leader does for nodes: the production duties with monitor, sessions and desired state, on a simulated member. */
import { DrainKeeper } from '../../../src/agent/leader/drain-keeper.ts';
import { LeaderDuties } from '../../../src/agent/leader/leader-duties.ts';
import type { WorkerCall } from '../../../src/agent/leader/node-session.ts';
import { TimeoutSettler } from '../../../src/agent/leader/timeout-settler.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import { JarvisError } from '../../../src/lib/errors.ts';
import { silentLog } from '../../../src/lib/log.ts';
import type { CommandResults } from '../../../src/scheduler/core/apply/results.ts';
import type { Command, Outcome } from '../../../src/model/commands.ts';
import type { TaskRow } from '../../../src/model/task.ts';
import { LeadershipNews, type RaftLeadership } from '../../../src/raft/leadership.ts';
import type { SoftState } from '../../../src/raft/core/types.ts';
import type { Applied, CommandInput, Leadership, Replica } from '../../../src/scheduler/ports.ts';
import type { Member } from '../member.ts';
import { Violation } from '../trace.ts';

function unused(): never {
  throw new Error('the duties of a leader do not ask for that');
}

export class LeaderWork {
  readonly #member: Member;
  readonly #news: LeadershipNews;
  readonly #duties: LeaderDuties;
  readonly #listeners = new Set<(applied: Applied) => void>();
  readonly #propose: (input: CommandInput) => Promise<Outcome>;

  constructor(member: Member, propose: (input: CommandInput) => Promise<Outcome>) {
    const { world } = member;
    this.#member = member;
    this.#propose = propose;
    this.#news = new LeadershipNews({
      term: () => member.core.status().term,
      logger: silentLog,
      onFailure: (error) => {
        world.violation ??= error instanceof Error ? error : new Violation(String(error));
      },
    });
    this.#duties = new LeaderDuties({
      replica: this.#port(),
      formation: { clusterId: 'simulated', epoch: 3, config: world.nodeSettings.config },
      duties: [
        new TimeoutSettler({ replica: this.#port(), clock: this.#clock(), log: silentLog }),
        new DrainKeeper({
          replica: this.#port(),
          // Output is no part of these runs.
          handOver: { handOver: async () => {} },
          clock: this.#clock(),
          log: silentLog,
        }),
      ],
      clock: this.#clock(),
      log: silentLog,
      nextTurn: (action) => void member.later(0, action),
    });
  }

  changed(soft: SoftState): void {
    this.#news.changed(soft);
  }

  applied(applied: Applied): void {
    const { command, term } = applied;
    const { isLeading, core, world } = this.#member;
    if (isLeading && command.type === 'nodeOffline' && term < core.status().term)
      world.trace.count('node taken for gone by a later leader');
    if (this.#news.current.isLeader) this.#tell(applied);
    for (const listener of this.#listeners) listener(applied);
  }

  /** An entry of the term has been applied. */
  appliedIn(term: number): void {
    this.#news.applied(term);
  }

  #tell({ command, outcome, index, changes }: Applied): void {
    const { trace, time } = this.#member.world;
    if (outcome.type === 'refused' && outcome.code === 'stale_decision')
      trace.count('decision of another term refused');
    if (command.type === 'nodeOffline' && outcome.type === 'done') {
      trace.count('node taken for gone');
    }
    if (command.type === 'reconcileNode' && outcome.type === 'done' && command.known.length > 0)
      trace.count('daemon found attempts of earlier sessions');
    if (outcome.type === 'done') this.#countChange(command);
    if (command.type === 'drainOverdue' && outcome.type === 'done') {
      const { stopped } = outcome.result as CommandResults['drainOverdue'];
      if (stopped.length > 0) trace.count('attempts stopped by a drain');
    }
    for (const change of changes) if (change.table === 'task') this.#countMove(change.after);
    const by = `by n${this.#member.id}`;
    switch (command.type) {
      case 'setHeartbeat':
        trace.tell(time.nowMs, 'timeout', command.heartbeat.timeoutMs ?? 0, index, by);
        break;
      case 'timeoutSettled':
        trace.tell(time.nowMs, 'timeout settled', outcome.type, index, by);
        break;
      case 'grantGrace':
      case 'graceOver':
        trace.tell(time.nowMs, command.type, command.node, outcome.type, index, by);
        break;
      case 'registerNode':
      case 'nodeOffline':
      case 'reconcileNode': {
        const node = command.type === 'registerNode' ? command.name : command.node;
        const session = this.#member.replica.core.state.nodes.get(node)?.session ?? 0;
        trace.tell(time.nowMs, command.type, node, session % 2 ** 29, outcome.type, index, by);
        break;
      }
      case 'assign':
        for (const { taskId, node } of command.assignments)
          trace.tell(time.nowMs, 'assign', taskId, node, index, by);
        break;
      case 'reportAttempts':
        for (const { taskId, assignment, status } of command.reports)
          trace.tell(time.nowMs, 'report', command.node, taskId, assignment, status, by);
        break;
      default:
        break;
    }
  }

  /** An attempt that has ended now: its task is PENDING in that entry, and only then has no newer one. */
  #countMove(task: TaskRow | null): void {
    const attempt = task?.attempts.at(-1);
    if (task?.status !== 'PENDING' || attempt?.error?.type !== 'NodeDrained') return;
    const isBegun = attempt.startedAtMs !== null;
    this.#member.world.trace.count(isBegun ? 'attempt moved by a drain' : 'assignment taken back by a drain');
  }

  #countChange(command: Command): void {
    const { trace } = this.#member.world;
    if (command.type === 'timeoutSettled') trace.count('shorter timeout settled');
    else if (command.type === 'graceOver') trace.count('longer timeout of a restart counted');
    else if (command.type === 'grantGrace') trace.count('longer lease granted for a restart');
    else if (command.type === 'nodeDrained') trace.count('node drained');
  }

  accept(call: WorkerCall): boolean {
    return this.#duties.accept(call);
  }

  /** A clock as wrong as the argument of leases permits: docs/leases.md. */
  #clock(): Clock {
    const member = this.#member;
    const { world } = member;
    const rate = world.nodeSettings.leaderRates[member.machine.slot] ?? 1;
    return {
      wallMs: () => 1_000_000 + world.time.nowMs,
      monotonicMs: () => world.time.nowMs * rate,
      after: (delayMs, callback) => member.later(delayMs / rate, callback),
    };
  }

  /** As `raft/node.ts` does it. */
  async #confirm(signal: AbortSignal): Promise<number> {
    const { isLeader, term } = this.#news.current;
    if (!isLeader) throw new JarvisError('no_leader', 'this node does not lead');
    const { trace, leader } = this.#member.world;
    if (leader !== this.#member) trace.count('heartbeat came to a deposed leader');
    const confirmed = this.#member.reads.request(signal, { needsQuorum: true });
    this.#member.input(() => {});
    try {
      await confirmed;
    } catch (error) {
      trace.count('heartbeat not answered after its round');
      throw error;
    }
    const now = this.#news.current;
    if (!now.isLeader || now.term !== term)
      throw new JarvisError('no_leader', 'leadership changed while it was confirmed');
    return term;
  }

  /** Some proposals are appended late: the process stood still in between, and its term may be another by then. */
  async #proposeLater(input: CommandInput): Promise<Outcome> {
    const { world } = this.#member;
    const { nodeChance } = world;
    if (input.type === 'nodeOffline') world.onOffline(this.#member, input.node);
    const isOnNode =
      input.type !== 'grantGrace' && input.type !== 'graceOver' && input.type !== 'timeoutSettled';
    const isOfDrain = input.type === 'drainOverdue' || input.type === 'nodeDrained';
    const usual = isOnNode ? nodeChance : world.settingChance;
    const chance = isOfDrain ? world.drainChance : usual;
    const isLate = chance.happens(0.1) || (input.type === 'nodeOffline' && chance.happens(0.3));
    if (isLate || (input.type === 'grantGrace' && chance.happens(0.3)))
      await new Promise<void>((resolve) => {
        this.#member.later(chance.random() ** 2 * 2500, resolve);
      });
    return this.#propose(input);
  }

  #leadership({ isLeader, term, leader }: RaftLeadership): Leadership {
    return { isLeader, term, leader: leader === 0 ? null : { name: `n${leader}`, address: '' } };
  }

  #port(): Replica {
    const member = this.#member;
    return {
      nodeName: `n${member.id}`,
      get state() {
        return member.replica.core.state;
      },
      get appliedIndex() {
        return member.replica.appliedIndex;
      },
      leadership: () => this.#leadership(this.#news.current),
      onLeadership: (listener) => this.#news.listen((news) => listener(this.#leadership(news))),
      onApplied: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      propose: (input) => this.#proposeLater(input),
      readBarrier: unused,
      confirmLeadership: (signal) => this.#confirm(signal),
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
