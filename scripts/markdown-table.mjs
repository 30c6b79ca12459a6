// A table of Markdown as the formatter leaves it: columns of one width each.

/** @param {string} text */
function widthOf(text) {
  return Array.from(text).length;
}

/** @param {string[][]} rows the head first */
export function table(rows) {
  const cells = rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = cells[0].map((_, at) => Math.max(...cells.map((row) => widthOf(row[at]))));
  const line = (row) =>
    `| ${row.map((cell, at) => cell + ' '.repeat(widths[at] - widthOf(cell))).join(' | ')} |`;
  const [head, ...body] = cells;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n');
}
