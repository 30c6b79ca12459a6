/** Several lines of progress on stderr that are drawn over; only where it is a terminal. */
import { rowsOf } from './full-screen.ts';
import type { Style, Terminal } from './terminal.ts';
import { columnsOf, printable, styled, write } from './terminal.ts';

const CLEAR_TO_END_OF_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

export interface LiveText {
  readonly text: string;
  readonly style?: Style;
}

export class LiveBlock implements AsyncDisposable {
  readonly #terminal: Terminal;
  #lines = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Whether anybody sees it. */
  get isSeen(): boolean {
    return this.#terminal.stderr.isTTY === true;
  }

  /** How many lines there is room for: one is left for what is typed next. */
  get room(): number {
    return Math.max(1, rowsOf(this.#terminal.stderr) - 1);
  }

  /** In the place of what was drawn before; what has no room is cut, at the right and below. */
  async draw(lines: readonly LiveText[]): Promise<void> {
    const { stderr } = this.#terminal;
    const columns = columnsOf(stderr);
    if (columns === undefined) return;
    const shown = lines.slice(0, this.room).map(({ text, style }) => {
      // One column less than there are: a full line would wrap on some terminals.
      const cut = printable(text).slice(0, columns - 1);
      return `${style === undefined ? cut : styled(stderr, style, cut)}${CLEAR_TO_END_OF_LINE}\n`;
    });
    const text = `${this.#home()}${shown.join('')}${CLEAR_BELOW}`;
    // Before it is written: whoever draws meanwhile draws over this.
    this.#lines = shown.length;
    await write(stderr, text);
  }

  /** In its place for good: what is drawn next stands below it. */
  async leave(lines: readonly LiveText[]): Promise<void> {
    await this.draw(lines);
    this.#lines = 0;
  }

  /** Nothing of this stands in the way of what is written next. */
  async clear(): Promise<void> {
    if (this.#lines === 0) return;
    const text = `${this.#home()}${CLEAR_BELOW}`;
    this.#lines = 0;
    await write(this.#terminal.stderr, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
  }

  #home(): string {
    return this.#lines === 0 ? '' : `\u001b[${this.#lines}A\r`;
  }
}
