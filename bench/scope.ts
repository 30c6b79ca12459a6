/**
 * Owns what a benchmark starts, and ends it in the opposite order: after success, failure and interruption alike. What is
 * still starting when the scope ends is waited for and then ended.
 */
export interface Owned<T> {
  start(): Promise<T>;
  end(value: T): Promise<void>;
  /** What helps to understand a failure, such as the end of a log; asked before anything is ended. */
  describe?(value: T): string;
}

interface Entry {
  readonly end: () => Promise<void>;
  readonly describe: () => string;
}

export class Scope {
  /** Aborted by an interruption. */
  readonly signal: AbortSignal;
  readonly #entries: Entry[] = [];
  #hasEnded = false;

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  /** @throws the reason of the interruption; what `start` throws, and then there is nothing to end */
  async own<T>(owned: Owned<T>): Promise<T> {
    this.signal.throwIfAborted();
    if (this.#hasEnded) throw new Error('the scope has ended');
    let started: { readonly value: T } | null = null;
    const starting = owned.start().then((value) => {
      started = { value };
      return value;
    });
    this.#entries.push({
      end: async () => {
        await starting.catch(() => undefined);
        if (started !== null) await owned.end(started.value);
      },
      describe: () => (started === null ? '' : (owned.describe?.(started.value) ?? '')),
    });
    return starting;
  }

  /** A part of the benchmark, whose things are gone when it is through. */
  async nested<T>(body: (scope: Scope) => Promise<T>): Promise<T> {
    const scope = await this.own({
      start: () => Promise.resolve(new Scope(this.signal)),
      end: (inner) => inner.end(),
      describe: (inner) => inner.describe(),
    });
    // After a failure this scope ends it: until then it can be described.
    const result = await body(scope);
    await scope.end();
    return result;
  }

  describe(): string {
    return this.#entries.map(({ describe }) => describe()).join('');
  }

  /**
   * Goes on where one of them cannot be ended.
   * @throws AggregateError of all that went wrong
   */
  async end(): Promise<void> {
    this.#hasEnded = true;
    const errors: unknown[] = [];
    for (let entry = this.#entries.pop(); entry !== undefined; entry = this.#entries.pop()) {
      try {
        await entry.end();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join('; '));
  }
}

/** @throws the signal's reason as soon as it is aborted, whatever becomes of the promise */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // What comes of it after an interruption is of no interest, and must not end the process.
  promise.catch(() => undefined);
  signal.throwIfAborted();
  const scope = new AbortController();
  const aborted = new Promise<never>((_resolve, reject) => {
    const fail = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', fail, { signal: scope.signal });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    // Else a signal that lives long would gather a listener per call.
    scope.abort();
  }
}
