/**
 * When a node runs short of disk or memory, so that it should be given no new work before what it has is hurt. Pure: what
 * is measured comes from the usage meter, and what is done about it is the leader's and the scheduler's.
 */
import type { Pressure } from '../../model/node.ts';
import { PRESSURES } from '../../model/node.ts';

/** Bytes. Where a total is 0 nothing is known, and nothing is short. */
export interface Room {
  readonly total: number;
  readonly available: number;
}

/** It begins where less than this share of the whole is left, or on large ones less than so many bytes. */
const LEAST_SHARE = 0.05;
const LEAST_BYTES: Readonly<Record<Pressure, number>> = { disk: 2 ** 30, memory: 256 * 2 ** 20 };
/** It is over once so many times as much is left: what hovers at the edge does not come and go. */
const OVER = 1.5;

/** Less than that is too little. @param total bytes that there are in all */
export function leastRoomBytes(name: Pressure, total: number): number {
  return Math.min(total * LEAST_SHARE, LEAST_BYTES[name]);
}

/** @param before what was short of, when it was measured last. @returns sorted */
export function pressureOfRooms(
  rooms: Readonly<Record<Pressure, Room>>,
  before: readonly Pressure[],
): readonly Pressure[] {
  return PRESSURES.filter((name) => {
    const { total, available } = rooms[name];
    const least = leastRoomBytes(name, total);
    return available < (before.includes(name) ? least * OVER : least);
  });
}
