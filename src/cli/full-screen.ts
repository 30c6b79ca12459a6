/** A view that takes the whole terminal until the user has seen enough, and leaves it as it was. */
import type { OutputStream, Terminal } from './terminal.ts';
import { write } from './terminal.ts';

// The screen that editors use, lines that are cut rather than wrapped, and no cursor (ECMA-48, xterm).
const ENTER = '\u001b[?1049h\u001b[?7l\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?7h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_TO_END_OF_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
const DEFAULT_ROWS = 24;

/** How many lines a view may have. */
export function rowsOf({ rows }: OutputStream): number {
  return rows ?? DEFAULT_ROWS;
}

/**
 * Draws what comes over what was drawn before. Whatever ends it, the terminal is as before then.
 * @param views the lines of each; what does not fit is cut at the bottom
 */
export async function showFullScreen(
  terminal: Terminal,
  views: AsyncIterable<readonly string[]>,
): Promise<void> {
  const { stdout } = terminal;
  await write(stdout, ENTER);
  try {
    for await (const lines of views) {
      const shown = lines.slice(0, rowsOf(stdout)).map((line) => `${line}${CLEAR_TO_END_OF_LINE}`);
      // All of it at once, or it flickers.
      await write(stdout, `${HOME}${shown.join('\r\n')}${CLEAR_BELOW}`);
    }
  } finally {
    await write(stdout, LEAVE);
  }
}
