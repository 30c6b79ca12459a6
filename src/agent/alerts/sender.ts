/**
 * Carries the outbox of alerts for as long as this node leads (docs/alerts.md): sends what is due, says in the log what
 * became of it, and closes what has gathered for long enough. Everything that must survive it stands in the replicated
 * state; a leader that dies between sending and saying so leaves a message that its successor sends again, with its id.
 */
import { pause } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import { shownTarget } from '../../lib/webhook-target.ts';
import type { AlertRow } from '../../model/alert-outbox.ts';
import { channelKey } from '../../model/alert-outbox.ts';
import { alertsOf } from '../../model/alerts.ts';
import type { AlertAttempt } from '../../model/commands.ts';
import { ClusterTime } from '../../scheduler/cluster-time.ts';
import { mayClose } from '../../scheduler/core/alerts/outbox.ts';
import type { Replica } from '../../scheduler/ports.ts';
import { LEADER_LIMITS } from '../leader/limits.ts';
import type { SendToWebhook } from './webhooks.ts';

interface AlertSenderOptions {
  readonly replica: Replica;
  readonly send: SendToWebhook;
  readonly clock: Clock;
  readonly log: Log;
}

/** From a start to its stop. */
interface Run {
  readonly term: number;
  readonly ended: AbortController;
  /** Messages that are being sent, or whose outcome is not in the log yet; and where to. */
  readonly busy: Map<string, string>;
  /** To be said in the log. */
  attempts: AlertAttempt[];
  readonly close: Set<string>;
  isLooking: boolean;
  isRecording: boolean;
  /** Something has changed since the look began. */
  isStale: boolean;
}

export class AlertSender {
  readonly #options: AlertSenderOptions;
  readonly #time: ClusterTime;
  #run: Run | null = null;
  #unsubscribe: () => void = () => {};
  #cancelTimer: () => void = () => {};

  constructor(options: AlertSenderOptions) {
    this.#options = options;
    this.#time = new ClusterTime(options.clock);
  }

  start(term: number): void {
    this.stop();
    const run: Run = {
      term,
      ended: new AbortController(),
      busy: new Map(),
      attempts: [],
      close: new Set(),
      isLooking: false,
      isRecording: false,
      isStale: false,
    };
    this.#run = run;
    this.#unsubscribe = this.#options.replica.onApplied(({ changes }) => {
      if (changes.some(({ table }) => table === 'alert')) void this.#look(run);
    });
    void this.#look(run);
  }

  stop(): void {
    this.#run?.ended.abort();
    this.#run = null;
    this.#cancelTimer();
    this.#unsubscribe();
    this.#unsubscribe = () => {};
  }

  /** Never throws. One at a time. */
  async #look(run: Run): Promise<void> {
    run.isStale = true;
    if (run.isLooking) return;
    run.isLooking = true;
    while (this.#run === run && run.isStale) {
      run.isStale = false;
      try {
        await this.#lookOnce(run);
      } catch (error) {
        if (this.#run !== run) return;
        this.#options.log.warn({ error: messageOf(error) }, 'alerts are not sent yet');
        this.#lookIn(run, LEADER_LIMITS.decisionRetryMs);
      }
    }
    run.isLooking = false;
  }

  async #lookOnce(run: Run): Promise<void> {
    const { replica } = this.#options;
    const { alerts, alertChannels, cluster } = replica.state;
    const nowMs = this.#time.nowMs(cluster?.timeMs ?? 0);
    let nextMs = nowMs + LEADER_LIMITS.longestTimerMs;
    const due: AlertRow[] = [];
    for (const row of alerts.values()) {
      if (row.endedAtMs !== null || run.busy.has(row.id)) continue;
      const channel = alertChannels.get(channelKey(row.event, row.url));
      if (row.notBeforeMs > nowMs) nextMs = Math.min(nextMs, row.notBeforeMs);
      else if (row.status === 'PENDING') due.push(row);
      else if (channel !== undefined && mayClose(row, channel, nowMs)) run.close.add(row.id);
    }
    this.#lookIn(run, nextMs - nowMs);
    if (run.close.size > 0) void this.#record(run);
    if (due.length > 0) await this.#begin(run, due);
  }

  #lookIn(run: Run, delayMs: number): void {
    this.#cancelTimer();
    if (this.#run === run)
      this.#cancelTimer = this.#options.clock.after(Math.max(1, delayMs), () => void this.#look(run));
  }

  /** @param due what is too much is looked for again when one of them has ended */
  async #begin(run: Run, due: readonly AlertRow[]): Promise<void> {
    const room = limits.alertRequests - run.busy.size;
    if (room <= 0) return;
    const { replica } = this.#options;
    // A process that stood still may not know that another leads by now.
    const term = await replica.confirmLeadership(
      AbortSignal.any([run.ended.signal, AbortSignal.timeout(LEADER_LIMITS.proposalTimeoutMs)]),
    );
    if (this.#run !== run || term !== run.term) return;
    const present = due.flatMap(({ id }) => replica.state.alerts.get(id) ?? []);
    const ours = present.filter(({ id, status }) => status === 'PENDING' && !run.busy.has(id));
    for (const row of this.#chosen(ours, new Set(run.busy.values()), room)) void this.#send(run, row);
  }

  /**
   * One at a time to each webhook, and first to those that have taken what they were sent: whoever lets a request wait until it
   * is given up, as often as there are events, holds up nobody else.
   */
  #chosen(due: readonly AlertRow[], busy: ReadonlySet<string>, room: number): readonly AlertRow[] {
    const failing = new Set<string>();
    for (const { url, failure, endedAtMs } of this.#options.replica.state.alerts.values())
      if (failure !== null && endedAtMs === null) failing.add(url);
    const rank = ({ url }: AlertRow): number => (failing.has(url) ? 1 : 0);
    const taken = new Set(busy);
    const chosen: AlertRow[] = [];
    for (const row of [...due].sort((one, other) => rank(one) - rank(other) || byAge(one, other))) {
      if (chosen.length === room) break;
      if (taken.has(row.url)) continue;
      taken.add(row.url);
      chosen.push(row);
    }
    return chosen;
  }

  /** Never throws. */
  async #send(run: Run, row: AlertRow): Promise<void> {
    const { replica, send, log } = this.#options;
    const { cluster } = replica.state;
    const webhook = alertsOf(cluster?.config).webhooks.find(({ url }) => url === row.url);
    // Whoever takes a webhook out withdraws its messages in the same entry.
    if (cluster === null || webhook === undefined) return;
    run.busy.set(row.id, row.url);
    const attempt = row.attempts + 1;
    const message = { ...row, clusterId: cluster.clusterId };
    const { failure, retryAfterMs } = await send({ webhook, message, attempt, signal: run.ended.signal });
    // Another leader finds out for itself.
    if (this.#run !== run) return;
    const fields = { alert: row.id, event: row.event, to: shownTarget(row.url), attempt };
    if (failure === null) log.info(fields, 'an alert was delivered');
    else log.warn({ ...fields, error: failure }, 'an alert was not delivered');
    run.attempts.push({ id: row.id, attempt, failure, retryAfterMs });
    await this.#record(run);
  }

  /** Never throws. Again and again, until it is in the log or this node leads no more. */
  async #record(run: Run): Promise<void> {
    if (run.isRecording) return;
    run.isRecording = true;
    while (this.#run === run && run.attempts.length + run.close.size > 0) {
      const { attempts } = run;
      const close = [...run.close];
      if (await this.#propose(run, attempts, close)) {
        run.attempts = run.attempts.slice(attempts.length);
        for (const { id } of attempts) run.busy.delete(id);
        for (const id of close) run.close.delete(id);
        void this.#look(run);
      } else await pause(this.#options.clock, LEADER_LIMITS.decisionRetryMs, run.ended.signal);
    }
    run.isRecording = false;
  }

  async #propose(run: Run, attempts: readonly AlertAttempt[], close: readonly string[]): Promise<boolean> {
    const { replica, log } = this.#options;
    try {
      const command = { type: 'advanceAlerts', term: run.term, attempts, close } as const;
      const outcome = await replica.propose(command);
      if (outcome.type === 'done') return true;
      log.warn({ code: outcome.code, reason: outcome.message }, 'what became of alerts was refused');
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'what became of alerts is not in the log yet');
    }
    return false;
  }
}

/** Those that have waited longest are sent first. */
function byAge(one: AlertRow, other: AlertRow): number {
  return one.notBeforeMs - other.notBeforeMs || (one.id < other.id ? -1 : 1);
}
