/**
 * From which level on a process logs, changed while it runs. Loggers ask it for every line, so that those that were made
 * before follow as well.
 */
import type { Clock } from './clock.ts';
import { LOG_LEVELS, type LogLevelName } from './log.ts';

export interface LogLevelState {
  readonly level: LogLevelName;
  readonly configured: LogLevelName;
  /** Wall time at which the configured one comes back; null: not by itself. */
  readonly untilMs: number | null;
}

export class LogLevels {
  readonly #clock: Clock;
  readonly #configured: LogLevelName;
  #level: LogLevelName;
  #untilMs: number | null = null;
  #cancel: () => void = () => {};

  constructor(configured: LogLevelName, clock: Clock) {
    this.#configured = configured;
    this.#level = configured;
    this.#clock = clock;
  }

  /** Whether a line of that level is to be written; what is no level of ours, such as fatal, is. */
  permits(level: string): boolean {
    const at = LOG_LEVELS.findIndex((name) => name === level);
    return at < 0 || at >= LOG_LEVELS.indexOf(this.#level);
  }

  read(): LogLevelState {
    return { level: this.#level, configured: this.#configured, untilMs: this.#untilMs };
  }

  /** @param forMs after which the configured one comes back by itself; null: it does not */
  set(level: LogLevelName, forMs: number | null): LogLevelState {
    this.#cancel();
    this.#level = level;
    this.#untilMs = null;
    // Nothing is to come back then.
    if (level === this.#configured || forMs === null) return this.read();
    this.#untilMs = this.#clock.wallMs() + forMs;
    this.#cancel = this.#clock.after(forMs, () => {
      this.#level = this.#configured;
      this.#untilMs = null;
    });
    return this.read();
  }

  close(): void {
    this.#cancel();
  }
}
