/** What a node without a copy of the state routes with: nothing is answered here that others would have to know of. */
import type { Clock } from '../../lib/clock.ts';
import type { LeaderRouteOptions } from '../leader-route.ts';
import type { Members, Remotes } from '../node-port.ts';
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
  Pick<RouterOptions, 'ownState' | 'events' | 'freshness'> {
  const anyMember = new AnyMember(leaders, clock);
  return {
    leaders,
    local: null,
    onDoubt: () => leaders.hurry(),
    staleReads: new MemberReads(leaders.nodeName, anyMember, remotes),
    ownState: { cluster: () => undefined, addressOf: () => null },
    events: new MemberEvents({ leaders, anyMember, remotes, clock }),
    // Of its own it has none, and what members answer from is theirs to know: nothing is promised.
    freshness: () => ({ index: 0, ageMs: null }),
  };
}
