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

export interface LogLevelChange {
  readonly before: LogLevelName;
  readonly level: LogLevelName;
  /** Null: not for a while, but until another change or the end of the process. */
  readonly forMs: number | null;
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

  /** Whether a line of that level is to be written; what is no level of ours is. */
  permits(level: string): boolean {
    const at = LOG_LEVELS.findIndex((name) => name === level);
    return at < 0 || at >= LOG_LEVELS.indexOf(this.#level);
  }

  read(): LogLevelState {
    return { level: this.#level, configured: this.#configured, untilMs: this.#untilMs };
  }

  /**
   * @param forMs after which the configured one comes back by itself; null: it does not
   * @param tell called for this change and for the one back, while the more talkative of the two levels holds
   */
  set(
    level: LogLevelName,
    forMs: number | null,
    tell: (change: LogLevelChange) => void = () => {},
  ): LogLevelState {
    this.#cancel();
    // Nothing is to come back where it is the configured one.
    const backMs = level === this.#configured ? null : forMs;
    this.#untilMs = backMs === null ? null : this.#clock.wallMs() + backMs;
    this.#cancel =
      backMs === null
        ? () => {}
        : this.#clock.after(backMs, () => {
            this.#untilMs = null;
            this.#change({ before: this.#level, level: this.#configured, forMs: null }, tell);
          });
    this.#change({ before: this.#level, level, forMs: backMs }, tell);
    return this.read();
  }

  #change(change: LogLevelChange, tell: (change: LogLevelChange) => void): void {
    const quieter = LOG_LEVELS.indexOf(change.level) > LOG_LEVELS.indexOf(change.before);
    if (quieter) tell(change);
    this.#level = change.level;
    if (!quieter) tell(change);
  }

  close(): void {
    this.#cancel();
  }
}
