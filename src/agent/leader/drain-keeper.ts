/**
 * Carries drains on, for as long as this node leads: says that a deadline has passed, and that nothing is left. What counts
 * is state, so a later leader goes on where this one stopped.
 */
import type { Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { drainOf } from '../../model/earlier-rows.ts';
import type { NodeDrain, NodeRow } from '../../model/node.ts';
import type { RowChange } from '../../model/rows.ts';
import { ClusterTime } from '../../scheduler/cluster-time.ts';
import type { CommandInput, Replica } from '../../scheduler/ports.ts';
import { LEADER_LIMITS } from './limits.ts';

/** What a node has that others must take over before it may go for good. */
export interface LogHandOver {
  /**
   * Resolves once the output of whatever has finished on the node is kept elsewhere, too. Called of a node that an operator
   * drains, once nothing is left on it and before it is DRAINED; again after a failure, and by a later leader.
   */
  handOver(node: NodeRow, signal: AbortSignal): Promise<void>;
}

/** Of one drain of a node, while this node leads. */
interface Watch {
  readonly index: number;
  readonly controller: AbortController;
  isBusy: boolean;
  /** When the hand-over was first tried, monotonic; null: not yet. */
  handingSinceMs: number | null;
  cancelTimer: () => void;
}

interface DrainKeeperOptions {
  readonly replica: Replica;
  readonly handOver: LogHandOver;
  readonly clock: Clock;
  readonly log: Log;
}

export class DrainKeeper {
  readonly #replica: Replica;
  readonly #handOver: LogHandOver;
  readonly #clock: Clock;
  readonly #time: ClusterTime;
  readonly #log: Log;
  readonly #watches = new Map<string, Watch>();
  #term: number | null = null;
  #unsubscribe: () => void = () => {};

  constructor(options: DrainKeeperOptions) {
    this.#replica = options.replica;
    this.#handOver = options.handOver;
    this.#clock = options.clock;
    this.#time = new ClusterTime(options.clock);
    this.#log = options.log;
  }

  start(term: number): void {
    this.stop();
    this.#term = term;
    this.#unsubscribe = this.#replica.onApplied(({ changes }) => {
      for (const change of changes) this.#changed(change);
    });
    for (const node of this.#replica.state.nodes.keys()) this.#judge(node);
  }

  stop(): void {
    this.#term = null;
    this.#unsubscribe();
    this.#unsubscribe = () => {};
    for (const node of this.#watches.keys()) this.#forget(node);
  }

  #changed(change: RowChange): void {
    if (change.table === 'node') return this.#judge(change.key);
    if (change.table !== 'task' || this.#watches.size === 0) return;
    const node = change.before?.attempts.at(-1)?.node;
    if (node !== undefined && this.#watches.has(node)) this.#judge(node);
  }

  /** What is to be done of the node's drain now, or when. */
  #judge(name: string): void {
    const { state } = this.#replica;
    const row = state.nodes.get(name);
    const drain = row === undefined ? null : drainOf(row);
    if (this.#term === null || row === undefined || drain === null || drain.finishedAtMs !== null)
      return this.#forget(name);
    const watch = this.#watch(name, drain);
    if (watch.isBusy) return;
    watch.cancelTimer();
    if (state.tasksOn(name).size === 0) {
      // Of a node that is away nothing can be taken over; once it is back this is looked at again.
      if (row.sessionOpen && row.reconciled) this.#carryOut(name, watch, () => this.#finish(row, watch));
      return;
    }
    if (drain.isOverdue) return;
    const leftMs = drain.deadlineMs - this.#time.nowMs(state.cluster?.timeMs ?? 0);
    if (leftMs <= 0) return this.#carryOut(name, watch, () => this.#overdue(name, watch));
    const delayMs = Math.min(leftMs, LEADER_LIMITS.longestTimerMs);
    watch.cancelTimer = this.#clock.after(delayMs, () => this.#judge(name));
  }

  /** That of an earlier drain, or of one that was asked for anew, is over. */
  #watch(name: string, { index }: NodeDrain): Watch {
    const known = this.#watches.get(name);
    if (known?.index === index) return known;
    this.#forget(name);
    const watch: Watch = {
      index,
      controller: new AbortController(),
      isBusy: false,
      handingSinceMs: null,
      cancelTimer: () => {},
    };
    this.#watches.set(name, watch);
    return watch;
  }

  #forget(name: string): void {
    const watch = this.#watches.get(name);
    if (watch === undefined) return;
    this.#watches.delete(name);
    watch.cancelTimer();
    watch.controller.abort(new JarvisError('conflict', `the drain of node ${name} is over`));
  }

  /** One thing at a time for each drain; what comes to nothing is done again after a pause. */
  #carryOut(name: string, watch: Watch, work: () => Promise<void>): void {
    watch.isBusy = true;
    void this.#carriedOut(name, watch, work);
  }

  /** Never throws. */
  async #carriedOut(name: string, watch: Watch, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!watch.controller.signal.aborted)
        this.#log.warn({ worker: name, error: messageOf(error) }, 'a drain does not go on yet');
    }
    watch.isBusy = false;
    if (this.#watches.get(name) !== watch) return;
    watch.cancelTimer = this.#clock.after(LEADER_LIMITS.decisionRetryMs, () => this.#judge(name));
  }

  async #overdue(node: string, { index }: Watch): Promise<void> {
    await this.#propose({ type: 'drainOverdue', node, drain: index });
  }

  async #finish(row: NodeRow, watch: Watch): Promise<void> {
    // A daemon that is about to be started again keeps what it has.
    if (drainOf(row)?.startId === null) await this.#handLogsOver(row, watch);
    if (watch.controller.signal.aborted) return;
    await this.#propose({ type: 'nodeDrained', node: row.name, drain: watch.index });
  }

  /** In all for a bounded time: a node that cannot hand its logs over is not kept for ever. */
  async #handLogsOver(row: NodeRow, watch: Watch): Promise<void> {
    const others = [...this.#replica.state.nodes.values()].filter(({ name }) => name !== row.name);
    if (!others.some(mayTakeOver)) {
      this.#log.warn(
        { event: 'node.logs_left', worker: row.name },
        'no other node takes the logs of this one',
      );
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    watch.handingSinceMs ??= nowMs;
    const leftMs = watch.handingSinceMs + LEADER_LIMITS.handOverMs - nowMs;
    if (leftMs <= 0) {
      const fields = { event: 'node.logs_left', worker: row.name, handOverMs: LEADER_LIMITS.handOverMs };
      this.#log.error(fields, 'the logs of a node were not handed over in time: they go with it');
      return;
    }
    const timeout = new AbortController();
    const error = new JarvisError('timeout', 'the logs were not handed over in time');
    const cancel = this.#clock.after(leftMs, () => timeout.abort(error));
    const signal = AbortSignal.any([watch.controller.signal, timeout.signal]);
    try {
      await this.#handOver.handOver(row, signal);
    } finally {
      cancel();
    }
  }

  async #propose(
    command: Omit<Extract<CommandInput, { type: 'drainOverdue' | 'nodeDrained' }>, 'term'>,
  ): Promise<void> {
    const term = this.#term;
    if (term === null) return;
    const outcome = await this.#replica.propose({ ...command, term });
    if (outcome.type === 'refused')
      this.#log.debug({ worker: command.node, code: outcome.code, reason: outcome.message }, 'refused');
  }
}

/** Now or soon. */
function mayTakeOver(node: NodeRow): boolean {
  return node.schedulable && node.status !== 'OFFLINE' && drainOf(node) === null;
}
