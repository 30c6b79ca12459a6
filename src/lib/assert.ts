/** Thrown when something happened that can only be a bug in Jarvis itself. */
class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** States what must hold here. @throws InvariantError where it does not. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

/** Ends an exhaustive switch: compiles only while every case is handled. @throws InvariantError if reached. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`);
}
