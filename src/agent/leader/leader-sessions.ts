/** The streams of all workers on the leader, for as long as it leads; at most one speaks for a node. */
import { JarvisError } from '../../lib/errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Applied, Replica } from '../../scheduler/ports.ts';
import { newestNodeOf } from './desired-state.ts';
import type { NodeMonitor } from './node-monitor.ts';
import type { WorkerCall } from './node-session.ts';
import { NodeSession } from './node-session.ts';

export interface LeaderSessionsOptions {
  readonly clusterId: string;
  readonly replica: Replica;
  readonly monitor: NodeMonitor;
  readonly clock: Clock;
  readonly log: Log;
  /** Runs it in the next turn of the event loop; default: setImmediate. Simulations have turns of their own. */
  readonly nextTurn?: ((action: () => void) => void) | undefined;
}

export class LeaderSessions {
  readonly #clusterId: string;
  readonly #replica: Replica;
  readonly #monitor: NodeMonitor;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #nextTurn: (action: () => void) => void;
  readonly #open = new Set<NodeSession>();
  readonly #byNode = new Map<string, NodeSession>();
  #term: number | null = null;
  #unsubscribe: () => void = () => {};

  constructor(options: LeaderSessionsOptions) {
    this.#clusterId = options.clusterId;
    this.#replica = options.replica;
    this.#monitor = options.monitor;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#nextTurn = options.nextTurn ?? ((action) => void setImmediate(action));
  }

  start(term: number): void {
    this.stop();
    this.#term = term;
    this.#unsubscribe = this.#replica.onApplied((applied) => this.#applied(applied));
  }

  stop(): void {
    this.#term = null;
    this.#unsubscribe();
    this.#unsubscribe = () => {};
    for (const session of this.#open) session.end(new JarvisError('no_leader', 'this node no longer leads'));
  }

  /** Takes a stream over; false where this node does not lead, or not yet. */
  accept(call: WorkerCall): boolean {
    if (this.#term === null) return false;
    const session = new NodeSession({
      call,
      clusterId: this.#clusterId,
      term: this.#term,
      replica: this.#replica,
      monitor: this.#monitor,
      clock: this.#clock,
      log: this.#log,
      nextTurn: this.#nextTurn,
      onRegistered: (registered) => this.#registered(registered),
      onOver: (over) => {
        this.#open.delete(over);
        if (this.#byNode.get(over.node) === over) this.#byNode.delete(over.node);
      },
    });
    this.#open.add(session);
    return true;
  }

  #registered(session: NodeSession): void {
    this.#byNode.get(session.node)?.end(new JarvisError('conflict', 'a newer stream speaks for the node'));
    this.#byNode.set(session.node, session);
  }

  #applied(applied: Applied): void {
    const concerned = new Set<NodeSession>();
    const add = (node: string | undefined): void => {
      const session = node === undefined ? undefined : this.#byNode.get(node);
      if (session !== undefined) concerned.add(session);
    };
    for (const change of applied.changes) {
      if (change.table === 'node') add(change.key);
      if (change.table !== 'task') continue;
      add(newestNodeOf(change.before));
      add(newestNodeOf(change.after));
    }
    for (const session of concerned) session.applied(applied);
  }
}
