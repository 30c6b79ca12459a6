/** Types of errors as labels: a task may name any, so that only known ones count for themselves. */
import { limits } from '../lib/limits.ts';

/** What nodes report, and what the default policy of retries knows (docs/contract.md, section 3). */
const KNOWN = [
  'AuthenticationError',
  'ConnectionTimeout',
  'ExitCode',
  'ImageNotFound',
  'ImagePullFailed',
  'InvalidInput',
  'NodeLost',
  'OutOfMemory',
  'ResourceNotFound',
  'ServiceUnavailable',
  'Signal',
  'StartFailed',
  'TemporaryFailure',
  'Timeout',
] as const;

const OTHER_ERRORS = 'Other';

export class ErrorTypes {
  /** Those that count for themselves always, and what all others count as. */
  static readonly beforehand: readonly string[] = [...KNOWN, OTHER_ERRORS];
  readonly #known = new Set<string>(KNOWN);

  /** @param named in the cluster's own policy: they count for themselves too, as long as there is room for more */
  label(type: string, named: readonly string[]): string {
    if (this.#known.has(type)) return type;
    if (!named.includes(type) || this.#known.size >= limits.metricsErrorTypes) return OTHER_ERRORS;
    this.#known.add(type);
    return type;
  }
}
