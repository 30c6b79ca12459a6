/**
 * What people and retention do with tasks after they were submitted: single ones are begun anew and changed, those of
 * batches and DAGs too, and what is over expires, sooner than anybody would want. Draws from a chance of its own.
 */
import type { Command } from '../../src/model/commands.ts';
import type { EntryRow } from '../../src/model/events.ts';
import { entryKey } from '../../src/model/events.ts';
import { groupOf } from '../../src/model/group.ts';
import { isTerminal } from '../../src/model/phases.ts';
import type { OrderedTableName } from '../../src/model/rows.ts';
import type { TaskRow } from '../../src/model/task.ts';
import { PRIORITIES } from '../../src/model/task.ts';
import { expiryOf } from '../../src/scheduler/core/expiry.ts';
import type { CommandInput } from '../../src/scheduler/ports.ts';
import { encodeCommand } from '../../src/store/codec.ts';
import { Chance } from './chance.ts';
import type { Member } from './member.ts';
import type { Replica } from './replica.ts';
import { WALL_START_MS } from './scheduler-work.ts';
import type { World } from './world.ts';

const SEED = 0x2b7e_1516;
/** In so many runs nothing of it happens. */
const QUIET_SHARE = 0.3;
/** Rows that one command names at the most. */
const MOST_EXPIRED = 6;

export class LaterTraffic {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #pauseMs: number;
  #stopped: boolean;

  constructor(world: World, seed: number) {
    this.#world = world;
    this.#chance = new Chance((seed ^ SEED) >>> 0);
    this.#stopped = this.#chance.happens(QUIET_SHARE);
    this.#pauseMs = this.#chance.pick([200, 500, 1500]) ?? 500;
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
  }

  #next(): void {
    this.#world.time.after(this.#chance.between(0, 2 * this.#pauseMs), () => {
      if (this.#stopped) return;
      this.#next();
      const leading = this.#world.members.filter((one) => one.isLeading && !one.isPaused);
      const member = this.#chance.pick(leading);
      const input = member === undefined ? null : this.#input(member);
      if (member === undefined || input === null) return;
      const atMs = Math.floor(WALL_START_MS + this.#world.time.nowMs);
      const command = { ...input, atMs } as Command;
      member.propose(encodeCommand(command), { done: () => {}, failed: () => {} });
    });
  }

  #input(member: Member): CommandInput | null {
    const chance = this.#chance;
    const { replica } = member;
    if (replica.core.state.cluster === null) return null;
    const tasks = [...replica.rows()].flatMap(({ table, row }) => (table === 'task' ? [row as TaskRow] : []));
    const choice = chance.random();
    if (choice < 0.4) {
      const task = chance.pick(tasks.filter(({ status }) => isTerminal(status)));
      if (task === undefined) return null;
      // Sometimes as one that does not know of its group.
      const group = chance.happens(0.9) ? groupOf(task) : null;
      return { type: 'retryTask', taskId: task.id, specId: task.specId, group, idempotency: null };
    }
    if (choice < 0.7) {
      const task = chance.pick(tasks);
      if (task === undefined) return null;
      const notBeforeMs = Math.floor(WALL_START_MS + this.#world.time.nowMs) + chance.whole(3000);
      const changes = {
        ...(chance.happens(0.6) ? { priority: chance.pick(PRIORITIES) ?? 'normal' } : {}),
        ...(chance.happens(0.4) ? { labels: [['team', chance.happens(0.7) ? 'x' : null]] as const } : {}),
        ...(chance.happens(0.3) ? { notBeforeMs: chance.happens(0.8) ? notBeforeMs : null } : {}),
      };
      return { type: 'updateTask', taskId: task.id, specId: task.specId, changes, idempotency: null };
    }
    return this.#expiry(replica, member.core.status().term);
  }

  /** As a leader names it, the oldest first, but here also what is to be kept. */
  #expiry(replica: Replica, term: number): CommandInput | null {
    const oldest = (name: OrderedTableName): readonly EntryRow<never>[] => {
      const rows = [...replica.rows()].flatMap(({ table, row }) =>
        table === name ? [row as EntryRow<never>] : [],
      );
      rows.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
      return rows.slice(0, 1 + this.#chance.whole(MOST_EXPIRED));
    };
    const finished: readonly EntryRow<string>[] = oldest('finished');
    const rows = { events: oldest('event'), finished, usedKeys: oldest('usedKeys') };
    if (Object.values(rows).every(({ length }) => length === 0)) return null;
    const dagIds = finished.flatMap(({ items }) => items.filter((id) => id.startsWith('dag-')));
    const dagNames = dagIds.flatMap((id) => {
      const dag = replica.row('dag', id) as { readonly name: string } | null;
      return dag === null ? [] : [dag.name];
    });
    return { type: 'expire', term, ...expiryOf(rows), dagNames: [...new Set(dagNames)] };
  }
}

function keyOf({ index, part }: EntryRow<never>): string {
  return entryKey(index, part);
}
