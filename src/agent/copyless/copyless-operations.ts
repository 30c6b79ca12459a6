/** What can be asked of a node without a copy of the state: all of it, sent on to whoever has one. */
import { randomUUID } from 'node:crypto';

import type { LogLevels } from '../../lib/log-levels.ts';
import { copylessParts } from '../../operations/copyless/copyless-parts.ts';
import { localLogLevel } from '../../operations/log-level.ts';
import type { LocalLogs, LocalUsage, Members } from '../../operations/node-port.ts';
import { RoutingOperations } from '../../operations/router.ts';
import type { ChannelPool } from '../../rpc/channel.ts';
import { createRemotes } from '../../rpc/remotes.ts';
import { ownAuthorityHash } from '../enrolment/enrolment-parts.ts';
import type { NodeParts } from '../node-parts.ts';

interface CopylessParts {
  /** Never names this node itself, neither as the leader nor as a member. */
  readonly leaders: Members;
  readonly pool: ChannelPool;
  readonly localLogs: LocalLogs;
  readonly localUsage: LocalUsage;
  readonly logLevels: LogLevels;
}

export function copylessOperations(
  {
    config,
    security,
    version,
    clock,
    log,
    closing,
  }: Pick<NodeParts, 'version' | 'clock' | 'log' | 'closing'> & {
    readonly config: Pick<NodeParts['config'], 'name'>;
    readonly security: Pick<NodeParts['security'], 'tls'>;
  },
  { leaders, pool, localLogs, localUsage, logLevels }: CopylessParts,
): RoutingOperations {
  const { tls } = security;
  const remotes = createRemotes(pool);
  closing('remotes', () => remotes.close());
  return new RoutingOperations({
    ...copylessParts({ leaders, remotes, clock }),
    remotes,
    localLogs,
    localUsage,
    localLogLevel: localLogLevel(config.name, logLevels, log),
    clock,
    uniqueId: randomUUID,
    authorityHash: () => (tls === null ? null : ownAuthorityHash(tls, clock.wallMs())),
    version: { version, name: config.name, node_version: process.version },
  });
}
