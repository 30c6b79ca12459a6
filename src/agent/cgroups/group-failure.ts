/** The group of an attempt cannot be made as it is wanted. */
export class GroupFailure extends Error {
  override readonly name = 'GroupFailure';
  /** It held more memory than its limit before that could be set. */
  readonly outOfMemory: boolean;

  constructor(message: string, options: { readonly outOfMemory?: boolean; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.outOfMemory = options.outOfMemory ?? false;
  }
}
