/** What a member, which has a copy of the state, routes with: it answers from that whatever may be stale. */
import type { Clock } from '../lib/clock.ts';
import type { Replica } from '../scheduler/ports.ts';
import { EventStreams } from './events.ts';
import type { LeaderRouteOptions } from './leader-route.ts';
import type { CallContext, ClusterOperations, RemoteOperations } from './port.ts';
import type { RouterOptions } from './router.ts';

interface MemberParts {
  readonly replica: Replica;
  readonly local: RemoteOperations;
  readonly clock: Clock;
  /** Asked for what the leader knows; only once somebody reads events. */
  readonly routing: () => Pick<ClusterOperations, 'getCluster'>;
}

export function memberParts({
  replica,
  local,
  clock,
  routing,
}: MemberParts): Pick<LeaderRouteOptions, 'leaders' | 'local' | 'staleReads'> &
  Pick<RouterOptions, 'knowledge' | 'events'> {
  const newestIndex = async (context: CallContext): Promise<number> => {
    // What this node asks for its caller is not the forwarded request itself.
    const own = { ...context, forwarded: false };
    return (await routing().getCluster({ consistency: '' }, own)).applied_index;
  };
  return {
    leaders: replica,
    local,
    staleReads: { read: (context, call) => call(local, context) },
    knowledge: {
      cluster: () => replica.state.cluster,
      addressOf: async (node) => replica.state.nodes.get(node)?.address ?? null,
    },
    events: new EventStreams({ replica, clock, newestIndex }),
  };
}
