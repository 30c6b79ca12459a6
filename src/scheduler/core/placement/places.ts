/** Where nodes stand, by their labels: region, zone and rack, each within the one before. Distances, and who is near. */
import type { Near, PlaceKey } from '../../../model/placement.ts';
import { labelOf, PLACE_KEYS } from '../../../model/placement.ts';
import type { NodeTable } from './node-table.ts';
import { FARTHEST } from './scores.ts';

/** Labels that make groups of nodes, and how far apart two nodes of one group are at most: their places in the list, from 1. */
const GROUPS = [
  { key: 'rack', distance: 1 },
  { key: 'zone', distance: 2 },
  { key: 'region', distance: 3 },
] as const satisfies readonly { readonly key: PlaceKey; readonly distance: number }[];

/** A place that others are near to: that of a node, no nearer than so. */
export interface Target {
  readonly slot: number;
  readonly floor: number;
}

export class Places {
  /** By slot, of each of {@link GROUPS}: the number of the group; -1: it has no such label. */
  readonly #groups: readonly Int32Array[];
  readonly #members = new Map<number, number[]>();
  /** The first node by name with the label, by `key=value`. */
  readonly #first = new Map<string, number>();
  readonly #table: NodeTable;

  constructor(table: NodeTable) {
    this.#table = table;
    this.#groups = GROUPS.map(() => new Int32Array(table.rows.length).fill(-1));
    const numbers = new Map<string, number>();
    const byName = [...table.order].sort((a, b) => (table.rowOf(a).name < table.rowOf(b).name ? -1 : 1));
    for (const slot of byName) {
      const { labels } = table.rowOf(slot);
      const values = new Map(PLACE_KEYS.map((key) => [key, labelOf(labels, key)]));
      for (const [at, { key }] of GROUPS.entries()) {
        const value = values.get(key);
        const groups = this.#groups[at];
        if (value === undefined || groups === undefined) continue;
        // A rack of the same name in another zone is another rack.
        const path = JSON.stringify([
          key,
          value,
          ...GROUPS.slice(at + 1).map((wider) => values.get(wider.key)),
        ]);
        const number = numbers.get(path) ?? numbers.size;
        numbers.set(path, number);
        groups[slot] = number;
        const members = this.#members.get(number);
        if (members === undefined) this.#members.set(number, [slot]);
        else members.push(slot);
        const label = `${key}=${value}`;
        if (!this.#first.has(label)) this.#first.set(label, slot);
      }
    }
  }

  /** @param placeOf the node where the newest task of that name ran @returns null where nobody knows where that is */
  target(near: Near, placeOf: (taskName: string) => string | null): Target | null {
    const { place, task } = near;
    const isNode = place === null || place.key === 'node';
    if (isNode) {
      const name = place === null ? placeOf(task) : place.value;
      const slot = name === null ? undefined : this.#table.slotOf(name);
      return slot === undefined ? null : { slot, floor: 0 };
    }
    const slot = this.#first.get(`${place.key}=${place.value}`);
    const floor = GROUPS.find(({ key }) => key === place.key)?.distance ?? FARTHEST;
    return slot === undefined ? null : { slot, floor };
  }

  /** 0 same node, 1 same rack, 2 same zone, 3 same region, else 4. */
  distance(slot: number, { slot: other, floor }: Target): number {
    if (floor === 0 && slot === other) return 0;
    // Whoever stands in the same narrower group stands in the same one of the floor: a target has that label.
    for (let at = Math.max(0, floor - 1); at < GROUPS.length; at += 1) {
      const groups = this.#groups[at];
      const group = groups?.[slot] ?? -1;
      if (group >= 0 && group === groups?.[other]) return at + 1;
    }
    return FARTHEST;
  }

  /** Lists of nodes that are near to it, the nearest first. */
  around({ slot, floor }: Target): readonly (readonly number[])[] {
    const lists: (readonly number[])[] = floor === 0 ? [[slot]] : [];
    for (const [at, { distance }] of GROUPS.entries()) {
      const group = this.#groups[at]?.[slot] ?? -1;
      if (group >= 0 && distance >= floor) lists.push(this.#members.get(group) ?? []);
    }
    return lists;
  }
}
