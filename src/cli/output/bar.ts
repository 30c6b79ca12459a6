/** A bar that fills from the left. */

const DONE = '█';
const LEFT = '░';

/** @param share from 0 to 1 */
export function barOf(share: number, width: number): string {
  const done = Math.floor(Math.min(1, Math.max(0, share)) * width);
  return DONE.repeat(done) + LEFT.repeat(width - done);
}

/** `pulling busybox: 43 %` with a bar after the number; whatever else is told stays as it is. */
export function withBar(note: string, width: number): string {
  const percent = /: (\d{1,3}) %$/.exec(note)?.[1];
  return percent === undefined ? note : `${note} ${barOf(Number(percent) / 100, width)}`;
}
