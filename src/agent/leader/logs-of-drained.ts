/** Has a node that is about to leave hand the output that it keeps to another, for whoever carries its drain on. */
import { LogHandOverService } from '../../generated/log_hand_over.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { ChannelPool } from '../../rpc/channel.ts';
import { unaryCall } from '../../rpc/client.ts';
import type { LogHandOver } from './drain-keeper.ts';
import { LEADER_LIMITS } from './limits.ts';

export function logsOfDrained(parts: {
  readonly clusterId: string;
  readonly pool: ChannelPool;
  readonly log: Log;
}): LogHandOver {
  const { clusterId, pool, log } = parts;
  return {
    /** @throws JarvisError `unavailable` where the end of an attempt is not settled there yet; what the call came to */
    handOver: async ({ name, address }, signal) => {
      const { holder, attempts, bytes, failed, reason, running } = await unaryCall({
        pool,
        address,
        method: LogHandOverService.begin,
        request: { cluster_id: clusterId },
        signal,
        timeoutMs: LEADER_LIMITS.handOverMs,
        // Asked again, it hands over what the other does not have yet.
        write: false,
      });
      if (running > 0)
        throw new JarvisError('unavailable', `${running} attempts on node ${name} are not settled yet`);
      // The node has tried others, too: to ask it again would not help.
      if (failed > 0)
        log.error(
          { event: 'node.logs_left', worker: name, failed, attempts, reason },
          'not all logs of a node could be handed over: the others go with it',
        );
      else if (attempts > 0)
        log.info({ worker: name, holder, attempts, bytes }, 'the logs of a node were handed over');
    },
  };
}
