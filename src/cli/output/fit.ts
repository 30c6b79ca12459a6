/** Which columns of a table a terminal has room for, and how wide each of them may be. */

/** What becomes of a column where there is no room for all: it is kept whole, cut with …, or left out. */
export type Fit = 'keep' | 'cut' | 'drop';

export interface ColumnWidth {
  /** Of its widest cell, the title among them. */
  readonly natural: number;
  readonly fit: Fit;
}

export interface FittedColumns {
  /** Positions of those that are shown, with the width of each. */
  readonly columns: readonly { readonly at: number; readonly width: number }[];
  /** Between two columns. */
  readonly gap: number;
}

const WIDE_GAP = 3;
const NARROW_GAP = 2;
/** A name should have so much; where even that is too much, what is cut shorter than the least tells nobody anything. */
const FAIR_WIDTH = 16;
const LEAST_WIDTH = 8;

/**
 * Whole where that fits; else with a narrower gap; else the widest of those that may be cut are cut; and what then has
 * no room is left out, from the right. What must be kept is kept, however narrow the terminal is.
 * @param available columns of the terminal
 */
export function fitColumns(widths: readonly ColumnWidth[], available: number): FittedColumns {
  const whole = widths.map(({ natural }, at) => ({ at, width: natural }));
  for (const gap of [WIDE_GAP, NARROW_GAP])
    if (total(whole, gap) <= available) return { columns: whole, gap };
  const droppable = widths.flatMap(({ fit }, at) => (fit === 'drop' ? [at] : [])).reverse();
  let left: Fitted = whole;
  for (let dropped = 0; dropped <= droppable.length; dropped += 1) {
    left = whole.filter(({ at }) => !droppable.slice(0, dropped).includes(at));
    const cut = cutTo(left, widths, { available, least: FAIR_WIDTH });
    if (total(cut, NARROW_GAP) <= available) return { columns: cut, gap: NARROW_GAP };
  }
  return { columns: cutTo(left, widths, { available, least: LEAST_WIDTH }), gap: NARROW_GAP };
}

type Fitted = FittedColumns['columns'];

function total(columns: Fitted, gap: number): number {
  return columns.reduce((sum, { width }) => sum + width, 0) + gap * (columns.length - 1);
}

/** All that may be cut get the same largest width, so that short ones stay whole. */
function cutTo(
  columns: Fitted,
  widths: readonly ColumnWidth[],
  { available, least }: { readonly available: number; readonly least: number },
): Fitted {
  const isCut = ({ at }: Fitted[number]): boolean => widths[at]?.fit === 'cut';
  const widest = Math.max(least, ...columns.filter(isCut).map(({ width }) => width));
  for (let most = widest; ; most -= 1) {
    const cut = columns.map((column) =>
      isCut(column) ? { ...column, width: Math.min(column.width, most) } : column,
    );
    if (most === least || total(cut, NARROW_GAP) <= available) return cut;
  }
}
