import type { Exit } from '../driver.ts';

/** The container can never run: the message says why, in words for people. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
  /** Absent: StartFailed. */
  readonly errorType: Exit['errorType'];

  constructor(message: string, options: { errorType?: Exit['errorType']; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.errorType = options.errorType;
  }
}
