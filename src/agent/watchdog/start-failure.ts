import { GroupFailure } from '../cgroups/group-failure.ts';

/** The attempt cannot be started; the message names the command, the directory, or what else is in the way. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
  /** It took more memory than it may use before that could be limited. */
  readonly outOfMemory: boolean;

  constructor(message: string, { cause }: { readonly cause?: unknown } = {}) {
    super(message, { cause });
    this.outOfMemory = cause instanceof GroupFailure && cause.outOfMemory;
  }
}
