/**
 * Which nodes the leader hears of (docs/contract.md, section 5; docs/leases.md). Receipts of heartbeats are the
 * leader's own: a new one counts from becoming leader [NEWLEADER], and the time runs for the node, whatever its session
 * [REGTIMER]: a new session only ever lengthens it. Once OFFLINE is proposed for a session nothing is granted in it any
 * more [STOPGRANT], whatever becomes of the proposal, which is made again until it is decided. That silence is counted from
 * every receipt, also one that was not answered, errs on the safe side of [WAIT].
 *
 * A node that was given a longer lease for a restart has a longer T until that lease is over. In its next session it is
 * granted short ones again, and the longer T ends as a shortened one does: once it was counted here since that session was
 * seen, or since this node leads [SHORTWAIT] [SHORTNEW].
 */
import { isDeepStrictEqual } from 'node:util';

import type { Usage } from '../../generated/worker.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { graceOf, pressureOf } from '../../model/earlier-rows.ts';
import type { NodeRow } from '../../model/node.ts';
import { PRESSURES } from '../../model/node.ts';
import { grantedMs, timeoutMsOf } from '../../model/timeouts.ts';
import type { CommandInput, Replica } from '../../scheduler/ports.ts';
import { LEADER_LIMITS } from './limits.ts';

interface Watch {
  /** The newest session that was seen open. */
  session: number;
  /** Since when it is seen, by this leader; monotonic, and moved by nothing. */
  sessionSinceMs: number;
  /** Silence counts from here; monotonic. */
  sinceMs: number;
  /** Monotonic and wall time of the newest receipt, and its session. */
  heard: { readonly atMs: number; readonly wallMs: number; readonly session: number } | null;
  /** As it said last; null: it does not know. */
  usage: Usage | null;
  /** The session for which OFFLINE was proposed; 0: none. */
  endingSession: number;
  isProposing: boolean;
  /** No proposal before that: the last came to nothing. */
  notBeforeMs: number;
}

export class NodeMonitor {
  readonly #replica: Replica;
  readonly #clock: Clock;
  readonly #log: Log;
  #watches = new Map<string, Watch>();
  #term: number | null = null;
  #cancelTimer: (() => void) | null = null;
  #dueMs = 0;

  constructor(options: { replica: Replica; clock: Clock; log: Log }) {
    this.#replica = options.replica;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  start(term: number): void {
    this.stop();
    this.#term = term;
    this.#check();
  }

  stop(): void {
    this.#term = null;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#watches = new Map();
  }

  /** Takes note of a heartbeat. False: that session is over or about to be ended. */
  heard(node: string, session: number, usage: Usage | null): boolean {
    const row = this.#openSession(node, session);
    if (row === null) return false;
    const nowMs = this.#clock.monotonicMs();
    const watch = this.#watch(row, nowMs);
    watch.sinceMs = Math.max(watch.sinceMs, nowMs);
    watch.heard = { atMs: nowMs, wallMs: this.#clock.wallMs(), session };
    // A node that does not know says so; what it said before is old by then.
    watch.usage = usage;
    this.#judge(row, watch, nowMs);
    return true;
  }

  /**
   * How long the answer to a heartbeat lets the node run tasks. Asked once a quorum has confirmed, after the heartbeat
   * came, that this node leads in that term: what is applied here may have ended the session meanwhile [VALID], or OFFLINE
   * may have been proposed [STOPGRANT]. Null: it must not be answered.
   */
  leaseMs(node: string, session: number, term: number): number | null {
    const { cluster } = this.#replica.state;
    const row = this.#openSession(node, session);
    if (term !== this.#term || cluster === null || row === null) return null;
    return grantedMs(cluster, row);
  }

  /** Null: it is over, or about to be ended. */
  #openSession(node: string, session: number): NodeRow | null {
    const row = this.#replica.state.nodes.get(node);
    if (this.#term === null || row === undefined || !row.sessionOpen || row.session !== session) return null;
    return this.#watches.get(node)?.endingSession === session ? null : row;
  }

  /** Wall time of the newest heartbeat; null where none has come since this node leads. */
  lastHeartbeatMs(node: string): number | null {
    return this.#watches.get(node)?.heard?.wallMs ?? null;
  }

  /**
   * For how long the node has been silent, as far as this leader can know: since it leads, or since the node's session
   * began, where it has not heard of it since. Null where it does not lead, or has not begun to watch the node.
   */
  silentMs(node: string): number | null {
    const watch = this.#watches.get(node);
    return watch === undefined ? null : this.#clock.monotonicMs() - watch.sinceMs;
  }

  /**
   * Milliseconds, of every other node's wall clock against this one's, as its newest heartbeat told it. What was measured
   * may be some seconds old by then: good enough for differences of a minute.
   */
  clockOffsets(): readonly number[] {
    const offsets: number[] = [];
    for (const [node, { heard, usage }] of this.#watches) {
      if (node === this.#replica.nodeName || heard === null || usage === null || usage.wall_ms === 0)
        continue;
      offsets.push(usage.wall_ms - heard.wallMs);
    }
    return offsets;
  }

  usage(node: string): Usage | null {
    return this.#watches.get(node)?.usage ?? null;
  }

  #check(): void {
    const heartbeat = this.#replica.state.cluster?.config.heartbeat;
    const nowMs = this.#clock.monotonicMs();
    const lateMs = this.#dueMs === 0 ? 0 : nowMs - this.#dueMs;
    if (lateMs > LEADER_LIMITS.stallMs) {
      this.#log.warn(
        { lateMs },
        'this process stood still; the silence of nodes in that time does not count',
      );
      for (const watch of this.#watches.values()) watch.sinceMs = Math.min(nowMs, watch.sinceMs + lateMs);
    }
    let dueMs = nowMs + (heartbeat?.intervalMs ?? LEADER_LIMITS.stallMs);
    for (const row of this.#replica.state.nodes.values()) {
      if (row.sessionOpen) dueMs = Math.min(dueMs, this.#judge(row, this.#watch(row, nowMs), nowMs));
    }
    for (const node of this.#watches.keys()) {
      if (!this.#replica.state.nodes.has(node)) this.#watches.delete(node);
    }
    this.#dueMs = dueMs;
    this.#cancelTimer = this.#clock.after(Math.max(1, dueMs - nowMs), () => {
      if (this.#term !== null) this.#check();
    });
  }

  #watch(row: NodeRow, nowMs: number): Watch {
    let watch = this.#watches.get(row.name);
    if (watch === undefined) {
      watch = {
        session: row.session,
        sessionSinceMs: nowMs,
        sinceMs: nowMs,
        heard: null,
        usage: null,
        endingSession: 0,
        isProposing: false,
        notBeforeMs: 0,
      };
      this.#watches.set(row.name, watch);
    } else if (watch.session !== row.session) {
      watch.session = row.session;
      watch.sessionSinceMs = nowMs;
      watch.sinceMs = nowMs;
    }
    return watch;
  }

  /** Proposes what the silence of the node calls for; answers when it is to be judged again, at the latest. */
  #judge(row: NodeRow, watch: Watch, nowMs: number): number {
    const { cluster } = this.#replica.state;
    if (cluster === null || this.#term === null) return Infinity;
    const { warningMs } = cluster.config.heartbeat;
    const timeoutMs = timeoutMsOf(cluster, row);
    const silentMs = nowMs - watch.sinceMs;
    const decision = { node: row.name, session: row.session, term: this.#term };
    if (silentMs >= timeoutMs) {
      watch.endingSession = row.session;
      this.#propose(watch, nowMs, { type: 'nodeOffline', ...decision });
      return nowMs + LEADER_LIMITS.decisionRetryMs;
    }
    this.#tellPressure(row, watch, nowMs);
    const grace = graceOf(row);
    const isCounted = grace !== null && nowMs - watch.sessionSinceMs >= grace.timeoutMs;
    if (isCounted && grace.session !== row.session)
      this.#propose(watch, nowMs, { type: 'graceOver', ...decision, graceSession: grace.session });
    if (silentMs >= warningMs) {
      if (row.status === 'AVAILABLE')
        this.#propose(watch, nowMs, { type: 'nodeHealth', ...decision, healthy: false });
      return watch.sinceMs + timeoutMs;
    }
    // Healthy again only once it was heard of, in the session that the word is about.
    if (row.status === 'UNHEALTHY' && watch.heard?.session === row.session) {
      this.#propose(watch, nowMs, { type: 'nodeHealth', ...decision, healthy: true });
    }
    return watch.sinceMs + warningMs;
  }

  /** As the node said last, in the session that the word is about; while it does not know, that stays. */
  #tellPressure(row: NodeRow, watch: Watch, nowMs: number): void {
    if (watch.usage === null || watch.heard?.session !== row.session || this.#term === null) return;
    const said: readonly string[] = watch.usage.pressure;
    const pressure = PRESSURES.filter((each) => said.includes(each));
    if (isDeepStrictEqual(pressure, pressureOf(row))) return;
    const decision = { node: row.name, session: row.session, term: this.#term };
    this.#propose(watch, nowMs, { type: 'nodePressure', ...decision, pressure });
  }

  #propose(watch: Watch, nowMs: number, command: CommandInput & { readonly node: string }): void {
    if (watch.isProposing || nowMs < watch.notBeforeMs) return;
    watch.isProposing = true;
    watch.notBeforeMs = nowMs + LEADER_LIMITS.decisionRetryMs;
    const { type, node } = command;
    this.#log.info({ type, worker: node, silentMs: Math.round(nowMs - watch.sinceMs) }, 'a node is judged');
    void this.#decide(watch, command);
  }

  async #decide(watch: Watch, command: CommandInput & { readonly node: string }): Promise<void> {
    const { type, node } = command;
    try {
      const outcome = await this.#replica.propose(command);
      if (outcome.type === 'refused')
        this.#log.info({ type, worker: node, code: outcome.code }, 'the judgement was refused');
    } catch (error) {
      this.#log.warn({ type, worker: node, error: messageOf(error) }, 'the judgement was dropped');
    }
    watch.isProposing = false;
  }
}
