/** Progress on stderr: on a terminal one line that is written over, elsewhere a line for each step. */
import type { Terminal } from './terminal.ts';
import { columnsOf, notify, onOneLine, write } from './terminal.ts';

const CLEAR_LINE = '\r\u001b[K';

export class LiveLine {
  readonly #terminal: Terminal;
  #said = '';
  #shown = '';

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /**
   * @param step what of it makes a line of its own where nothing can be written over
   * @param plain what is said there
   */
  async show(text: string, step: string, plain = text): Promise<void> {
    const { stderr } = this.#terminal;
    const columns = columnsOf(stderr);
    if (columns === undefined) {
      if (step === this.#said) return;
      this.#said = step;
      return notify(this.#terminal, plain);
    }
    // One column less than there are: a full line would wrap on some terminals.
    const line = `jarvisctl: ${onOneLine(text)}`.slice(0, columns - 1);
    if (line === this.#shown) return;
    this.#shown = line;
    await write(stderr, `${CLEAR_LINE}${line}`);
  }

  /** A line of its own, unless it was the last that was said. */
  async say(text: string): Promise<void> {
    await this.clear();
    if (text === this.#said) return;
    this.#said = text;
    await notify(this.#terminal, text);
  }

  /** Nothing of this stands in the way of what is written next. */
  async clear(): Promise<void> {
    if (this.#shown === '') return;
    this.#shown = '';
    await write(this.#terminal.stderr, CLEAR_LINE);
  }
}
