/**
 * Positions in the stream of events, as clients give them back: `12.3` is the fourth event of entry 12, `12` the end of
 * that entry. They rise with the log and are the same on every node.
 */
import { invalidInput, show } from '../spec/faults.ts';

export interface EventPosition {
  readonly index: number;
  /** Of the last event of the entry that was delivered; null: all of them were. */
  readonly position: number | null;
}

export const OLDEST = 'oldest';

const PATTERN = /^(\d{1,15})(?:\.(\d{1,7}))?$/;

/** @throws JarvisError invalid */
export function parseEventPosition(text: string): EventPosition {
  const match = PATTERN.exec(text);
  if (match === null) {
    const message = `${show(text)} is no position: the id of an event such as 12.3, the index of an entry, a time such as 2026-12-01T00:00:00Z, or ${OLDEST}`;
    throw invalidInput([{ path: 'since', message }]);
  }
  const [, index = '', position] = match;
  return { index: Number(index), position: position === undefined ? null : Number(position) };
}

export function formatEventPosition({ index, position }: EventPosition): string {
  return position === null ? String(index) : `${index}.${position}`;
}
