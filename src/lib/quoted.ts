/**
 * A text as messages quote it: as JSON does, without anything that could move a terminal's cursor or turn the direction in
 * which it writes.
 */
export function quoted(text: string): string {
  return JSON.stringify(text).replaceAll(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, '?');
}
