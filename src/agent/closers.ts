/** What is to be closed when a node stops: in the opposite order to that in which it was made. */
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

interface Closer {
  readonly name: string;
  readonly close: () => void | Promise<void>;
}

export class Closers {
  readonly #closers: Closer[] = [];
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  add(name: string, close: Closer['close']): void {
    this.#closers.push({ name, close });
  }

  /** Once each, the newest first; what fails to is logged. */
  async close(): Promise<void> {
    for (const { name, close } of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        this.#log.error({ part: name, error: messageOf(error) }, 'closing failed');
      }
    }
  }
}
