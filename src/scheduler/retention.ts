/**
 * The leader's part of retention: looks for what has expired and proposes to delete it, a bounded piece after the other,
 * with pauses as long as the pieces take. Costs nothing while there is nothing: where the oldest rows begin is known.
 */
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { ExpireCommand } from '../model/commands.ts';
import type { OrderedTableName, Tables } from '../model/rows.ts';
import { ClusterTime } from './cluster-time.ts';
import type { CommandResults } from './core/apply/results.ts';
import { expiryOf, expiryRule, isExpired } from './core/expiry.ts';
import type { Replica } from './ports.ts';

/** The oldest row of a table, as of when it began there. */
interface Oldest {
  readonly from: number;
  readonly atMs: number;
}

type Expired = Pick<ExpireCommand, 'events' | 'finished' | 'usedKeys' | 'dagNames' | 'joinTokens'>;

export class Retention {
  readonly #replica: Replica;
  readonly #clock: Clock;
  readonly #time: ClusterTime;
  readonly #log: Log;
  readonly #oldest = new Map<OrderedTableName, Oldest>();
  /** From a start to its stop; what comes back after its end finds another one. */
  #run: { readonly term: number } | null = null;
  #cancelTimer: () => void = () => {};

  constructor(options: { readonly replica: Replica; readonly clock: Clock; readonly log: Log }) {
    this.#replica = options.replica;
    this.#clock = options.clock;
    this.#time = new ClusterTime(options.clock);
    this.#log = options.log;
  }

  start(term: number): void {
    this.stop();
    const run = { term };
    this.#run = run;
    this.#oldest.clear();
    this.#lookIn(limits.expiryIntervalMs, run);
  }

  stop(): void {
    this.#run = null;
    this.#cancelTimer();
  }

  #lookIn(delayMs: number, run: { readonly term: number }): void {
    this.#cancelTimer = this.#clock.after(delayMs, () => void this.#look(run));
  }

  /** Never throws. */
  async #look(run: { readonly term: number }): Promise<void> {
    if (this.#run !== run) return;
    const beginMs = this.#clock.monotonicMs();
    let isMore = false;
    try {
      const found = await this.#expired();
      if (this.#run !== run) return;
      isMore = found !== null && (await this.#propose(found, run.term));
    } catch (error) {
      if (this.#run !== run) return;
      const isExpected = error instanceof JarvisError && error.code !== 'internal';
      const fields = { error: messageOf(error) };
      if (isExpected) this.#log.debug(fields, 'what has expired is not deleted yet');
      else this.#log.error(fields, 'what has expired cannot be deleted');
    }
    if (this.#run !== run) return;
    const tookMs = this.#clock.monotonicMs() - beginMs;
    this.#lookIn(isMore ? tookMs : limits.expiryIntervalMs, run);
  }

  /** @returns whether it came to something */
  async #propose(found: Expired, term: number): Promise<boolean> {
    const outcome = await this.#replica.propose({ type: 'expire', term, ...found });
    if (outcome.type === 'done') {
      const result = outcome.result as CommandResults['expire'];
      this.#log.debug({ ...result }, 'deleted what has expired');
      return result.events + result.tasks + result.idempotencyKeys + result.joinTokens > 0;
    }
    if (outcome.code !== 'stale_decision')
      this.#log.error({ code: outcome.code, reason: outcome.message }, 'a deletion was refused: a bug');
    return false;
  }

  async #expired(): Promise<Expired | null> {
    const rows = {
      events: await this.#rowsExpired('event'),
      finished: await this.#rowsExpired('finished'),
      usedKeys: await this.#rowsExpired('usedKeys'),
    };
    const joinTokens = this.#joinTokensExpired();
    const isNothing = Object.values(rows).every(({ length }) => length === 0);
    if (isNothing) return joinTokens.length === 0 ? null : { ...expiryOf(rows), joinTokens };
    const dagIds = rows.finished.flatMap(({ items }) => items.filter((id) => id.startsWith('dag-')));
    const expired = { ...expiryOf(rows), ...(joinTokens.length === 0 ? {} : { joinTokens }) };
    return dagIds.length === 0 ? expired : { ...expired, dagNames: await this.#namesOf(dagIds) };
  }

  /** There are few. */
  #joinTokensExpired(): readonly string[] {
    const { cluster, joinTokens } = this.#replica.state;
    const nowMs = this.#time.nowMs(cluster?.timeMs ?? 0);
    return [...joinTokens.values()].filter(({ expiresAtMs }) => expiresAtMs <= nowMs).map(({ id }) => id);
  }

  async #namesOf(dagIds: readonly string[]): Promise<readonly string[]> {
    const dags = await Promise.all(dagIds.map((id) => this.#replica.read('dag', id)));
    return [...new Set(dags.flatMap((dag) => dag?.name ?? []))];
  }

  /** A bounded number of the oldest. */
  async #rowsExpired<T extends OrderedTableName>(table: T): Promise<readonly Tables[T][]> {
    const { cluster } = this.#replica.state;
    // Nothing was kept by a version that has kept no account.
    if (cluster?.retained === undefined) return [];
    const rule = expiryRule(cluster, table);
    const from = cluster.retained[rule.from];
    let count = cluster.retained[rule.count];
    const nowMs = this.#time.nowMs(cluster.timeMs);
    const known = this.#oldest.get(table);
    const mayHold =
      count > rule.most || known?.from !== from || isExpired(rule, { atMs: known.atMs, count, nowMs });
    if (!mayHold) return [];
    // The entry before the beginning may have rows left.
    const first = { index: Math.max(0, from - 1), part: 0 };
    const { rows } = await this.#replica.rowsFrom(table, first, limits.expiredRows);
    const [oldest] = rows;
    // What comes into an empty table later is younger than now.
    this.#oldest.set(table, { from, atMs: oldest?.atMs ?? cluster.timeMs });
    const mostItems = table === 'event' ? limits.expiredEvents : limits.expiredItems;
    const expired: Tables[T][] = [];
    let items = 0;
    for (const row of rows) {
      items += row.items.length;
      if (!isExpired(rule, { atMs: row.atMs, count, nowMs })) break;
      if (expired.length > 0 && items > mostItems) break;
      expired.push(row);
      count -= row.items.length;
    }
    return expired;
  }
}
