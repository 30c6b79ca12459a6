/**
 * What a node does for as long as it leads: forms the cluster's state where there is none, watches the nodes, serves
 * their sessions, and whatever else it is given (the scheduling loop). Begins anew with every term.
 */
import type { Usage } from '../../generated/worker.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { ClusterConfig } from '../../model/cluster.ts';
import type { Leadership, Replica } from '../../scheduler/ports.ts';
import { LeaderSessions } from './leader-sessions.ts';
import { LEADER_LIMITS } from './limits.ts';
import { NodeEvents } from './node-events.ts';
import { NodeMonitor } from './node-monitor.ts';
import type { WorkerCall } from './node-session.ts';

/** Runs from the beginning of a term as leader to its end; `start` may come again without `stop`. */
interface TermDuty {
  start(term: number): void;
  stop(): void;
}

/** The first command of a new cluster. */
interface Formation {
  readonly clusterId: string;
  readonly epoch: number;
  readonly config: ClusterConfig;
  /** Absent: the first. */
  readonly version?: number;
}

interface LeaderDutiesOptions {
  readonly replica: Replica;
  readonly formation: Formation;
  /** Begun once the cluster's state exists, in this order, after the monitor and the sessions. */
  readonly duties: readonly TermDuty[];
  readonly clock: Clock;
  readonly log: Log;
  /** As {@link LeaderSessions} has it. */
  readonly nextTurn?: (action: () => void) => void;
}

const EPOCH_BEGIN_MS = Date.UTC(2020, 0, 1);

/** The epoch of a cluster that forms now: whole minutes since 2020, at least 1; one made from an older one is above it. */
export function newEpoch(wallMs: number): number {
  return Math.max(1, Math.floor((wallMs - EPOCH_BEGIN_MS) / 60_000));
}

export class LeaderDuties {
  readonly #options: LeaderDutiesOptions;
  readonly #monitor: NodeMonitor;
  readonly #sessions: LeaderSessions;
  readonly #events: NodeEvents;
  readonly #unsubscribe: () => void;
  /** The term that is served at present. */
  #term: number | null = null;
  #cancelRetry: () => void = () => {};

  constructor(options: LeaderDutiesOptions) {
    this.#options = options;
    const { replica, clock, log, nextTurn } = options;
    const { clusterId } = options.formation;
    this.#monitor = new NodeMonitor({ replica, clock, log });
    this.#events = new NodeEvents({ replica, log });
    this.#sessions = new LeaderSessions({
      clusterId,
      replica,
      monitor: this.#monitor,
      clock,
      log,
      nextTurn,
    });
    this.#unsubscribe = replica.onLeadership((leadership) => this.#follow(leadership));
    this.#follow(replica.leadership());
  }

  close(): void {
    this.#unsubscribe();
    this.#end();
  }

  /** For `SessionService`: takes a worker's stream over where this node leads. */
  accept(call: WorkerCall): boolean {
    return this.#sessions.accept(call);
  }

  /** Wall time of the node's newest heartbeat; null where none has come since this node leads. */
  lastHeartbeatMs(node: string): number | null {
    return this.#monitor.lastHeartbeatMs(node);
  }

  /** See {@link NodeMonitor.silentMs}. */
  silentMs(node: string): number | null {
    return this.#monitor.silentMs(node);
  }

  /** How far the clocks of the nodes that it has heard of are ahead of this one's; empty where this node does not lead. */
  clockOffsets(): readonly number[] {
    return this.#term === null ? [] : this.#monitor.clockOffsets();
  }

  usage(node: string): Usage | null {
    return this.#monitor.usage(node);
  }

  #follow({ isLeader, term }: Leadership): void {
    if (isLeader && this.#term === term) return;
    this.#end();
    if (!isLeader) return;
    this.#term = term;
    this.#options.log.info({ term }, 'this node leads');
    void this.#form(term);
  }

  #end(): void {
    if (this.#term === null) return;
    this.#options.log.info({ term: this.#term }, 'this node no longer leads');
    this.#term = null;
    this.#cancelRetry();
    for (const duty of this.#options.duties) duty.stop();
    this.#sessions.stop();
    this.#monitor.stop();
    this.#events.stop();
  }

  #begin(term: number): void {
    this.#events.start();
    this.#monitor.start(term);
    this.#sessions.start(term);
    for (const duty of this.#options.duties) duty.start(term);
  }

  /** Everything else needs the cluster's row. Proposed again while this node leads and there is none. */
  async #form(term: number): Promise<void> {
    const { replica, formation, clock, log } = this.#options;
    if (replica.state.cluster === null) {
      try {
        const outcome = await replica.propose({ type: 'initCluster', term, ...formation });
        if (outcome.type === 'refused') log.warn({ code: outcome.code }, 'the cluster was not initialised');
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'the cluster is not initialised yet');
      }
    }
    if (this.#term !== term) return;
    if (replica.state.cluster !== null) this.#begin(term);
    else this.#cancelRetry = clock.after(LEADER_LIMITS.decisionRetryMs, () => void this.#form(term));
  }
}
