/** A history as one line of bars. */

const BARS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;
/** Narrower than most terminals, and an even part of a history of 90. */
const WIDTH = 30;

/**
 * The newest on the right; several of a long history make one bar, the highest of them. What is not known is a blank.
 * @param top what a full bar is; below it, or 0: the highest value there is
 */
export function sparkline(values: readonly (number | undefined)[], top = 0): string {
  const perBar = Math.max(1, Math.ceil(values.length / WIDTH));
  const highest = Math.max(top, ...values.map((value) => value ?? 0));
  let line = '';
  // Counted from the newest, so that a bar keeps its samples until a whole bar of new ones has come.
  for (let end = values.length; end > 0; end -= perBar) {
    const known = values.slice(Math.max(0, end - perBar), end).filter((value) => value !== undefined);
    line = `${known.length === 0 ? ' ' : barOf(Math.max(...known), highest)}${line}`;
  }
  return line;
}

function barOf(value: number, highest: number): string {
  const share = highest <= 0 ? 0 : value / highest;
  return BARS[Math.min(BARS.length - 1, Math.max(0, Math.floor(share * BARS.length)))] ?? BARS[0];
}
