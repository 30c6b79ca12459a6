/** What retention keeps no longer: one rule for the leader that looks for it and for `apply`, which judges it again. */
import { limits } from '../../lib/limits.ts';
import type { ClusterRow, Retained } from '../../model/cluster.ts';
import { DEFAULT_RETENTION, nothingRetained } from '../../model/cluster.ts';
import type { EntryPart, ExpireCommand } from '../../model/commands.ts';
import type { EntryRow } from '../../model/events.ts';
import type { OrderedTableName } from '../../model/rows.ts';

export interface ExpiryRule {
  readonly keptMs: number;
  readonly most: number;
  /** The field of {@link Retained} that says where the table begins, and the one that counts what it stands for. */
  readonly from: 'eventsFrom' | 'finishedFrom' | 'usedKeysFrom';
  readonly count: 'eventCount' | 'finishedTaskCount' | 'idempotencyKeyCount';
}

export function expiryRule({ config }: Pick<ClusterRow, 'config'>, table: OrderedTableName): ExpiryRule {
  const { tasksMs, maxTasks, eventsMs } = config.retention ?? DEFAULT_RETENTION;
  switch (table) {
    case 'event':
      return { keptMs: eventsMs, most: limits.eventsKept, from: 'eventsFrom', count: 'eventCount' };
    case 'finished':
      return { keptMs: tasksMs, most: maxTasks, from: 'finishedFrom', count: 'finishedTaskCount' };
    default:
      return {
        keptMs: limits.idempotencyKeptMs,
        most: limits.idempotencyKeysKept,
        from: 'usedKeysFrom',
        count: 'idempotencyKeyCount',
      };
  }
}

/** @param count of what is kept, with the one in question */
export function isExpired(
  rule: ExpiryRule,
  { atMs, count, nowMs }: { readonly atMs: number; readonly count: number; readonly nowMs: number },
): boolean {
  return atMs + rule.keptMs <= nowMs || count > rule.most;
}

export function retainedOf({ retained }: Pick<ClusterRow, 'retained'>, index: number): Retained {
  return retained ?? nothingRetained(index);
}

/** What a command says of rows, oldest first, so that `apply` is given them and what stands in them. */
export function expiryOf(rows: {
  readonly events: readonly EntryRow<unknown>[];
  readonly finished: readonly EntryRow<string>[];
  readonly usedKeys: readonly EntryRow<string>[];
}): Pick<ExpireCommand, 'events' | 'finished' | 'usedKeys'> {
  return {
    events: rows.events.map(partOf),
    finished: rows.finished.map(namedPartOf),
    usedKeys: rows.usedKeys.map(namedPartOf),
  };
}

function partOf({ index, part }: EntryRow<unknown>): EntryPart {
  return { index, part };
}

function namedPartOf(row: EntryRow<string>): EntryPart & { readonly ids: readonly string[] } {
  return { ...partOf(row), ids: row.items };
}
