/** What a node without a copy of the state routes with: nothing is answered here that others would have to know of. */
import type { Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { LeaderRouteOptions, StaleReads } from '../leader-route.ts';
import type { Members, Remotes } from '../node-port.ts';
import type { CallContext } from '../port.ts';
import type { RouterOptions } from '../router.ts';
import { AnyMember } from './any-member.ts';
import { MemberEvents } from './member-events.ts';
import { MemberReads } from './member-reads.ts';

export function copylessParts({
  leaders,
  remotes,
  clock,
}: {
  /** Never names this node itself, neither as the leader nor as a member. */
  readonly leaders: Members;
  readonly remotes: Pick<Remotes, 'operations' | 'events'>;
  readonly clock: Clock;
}): Pick<LeaderRouteOptions, 'leaders' | 'local' | 'staleReads' | 'onDoubt'> &
  Pick<RouterOptions, 'knowledge' | 'events' | 'freshness'> {
  const anyMember = new AnyMember(leaders, clock);
  const staleReads = new MemberReads(leaders.nodeName, anyMember, remotes);
  return {
    leaders,
    local: null,
    onDoubt: () => leaders.hurry(),
    staleReads,
    knowledge: {
      cluster: () => undefined,
      addressOf: (node, context) => addressOf({ staleReads, node }, context),
    },
    events: new MemberEvents({ leaders, anyMember, remotes, clock }),
    // Of its own it has none: the member that answers says how old that is.
    freshness: () => null,
  };
}

/** Of any member, so that no leader is needed to know of a node. */
async function addressOf(
  { staleReads, node }: { readonly staleReads: StaleReads; readonly node: string },
  context: CallContext,
): Promise<string | null> {
  try {
    const { address } = await staleReads.read(context, (operations, inner) =>
      operations.getNode({ name: node }, inner),
    );
    return address;
  } catch (error) {
    // That member may be behind.
    if (error instanceof JarvisError && error.code === 'not_found') return null;
    throw error;
  }
}
