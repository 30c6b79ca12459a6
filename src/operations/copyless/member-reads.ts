/** Reads that may be stale, on a node without a copy of the state: any member answers them from its own. */
import type { ErrorCode } from '../../lib/errors.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Call, StaleReads } from '../leader-route.ts';
import type { Remotes } from '../node-port.ts';
import type { CallContext } from '../port.ts';
import type { AnyMember } from './any-member.ts';

/** These say something about the member that was asked, and nothing about what it was asked for. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['unavailable', 'timeout', 'no_leader', 'too_many']);

export class MemberReads implements StaleReads {
  readonly #nodeName: string;
  readonly #members: AnyMember;
  readonly #remotes: Pick<Remotes, 'operations'>;

  constructor(nodeName: string, members: AnyMember, remotes: Pick<Remotes, 'operations'>) {
    this.#nodeName = nodeName;
    this.#members = members;
    this.#remotes = remotes;
  }

  async read<T>(context: CallContext, call: Call<T>): Promise<T> {
    // Whoever has sent it here takes this node for a member, which it was once, or for another one.
    if (context.forwarded) throw withoutCopy(this.#nodeName);
    return await this.#members.ask(
      context.signal,
      { tryMs: limits.staleReadTryMs, inAllMs: limits.staleReadMs },
      (member, signal) =>
        call(this.#remotes.operations(member.address), { ...context, signal, isStale: true }),
      (error) => !isPassing(error),
    );
  }
}

/** Another member may do better. */
export function isPassing(error: unknown): boolean {
  return error instanceof JarvisError && PASSING.has(error.code);
}

export function withoutCopy(nodeName: string): JarvisError {
  return new JarvisError('unavailable', `${nodeName} works without a copy of the state`);
}
