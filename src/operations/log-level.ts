/** From which level on a node logs: its own affair, so that node answers, whoever leads. */
import type { LogLevel, LogLevelRequest, SetLogLevelRequest } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { LOG_LEVELS, type LogLevelName } from '../lib/log.ts';
import type { LogLevels, LogLevelState } from '../lib/log-levels.ts';
import { parseDurationMs } from '../lib/quantities.ts';
import { formatTime } from '../lib/times.ts';
import type { Leaders } from '../scheduler/ports.ts';
import { invalidInput, show } from '../spec/faults.ts';
import type { LocalLogLevel, Knowledge, Remotes } from './node-port.ts';
import type { CallContext, ClusterOperations } from './port.ts';

const HOUR_MS = 3_600_000;
const LONGEST_MS = 24 * HOUR_MS;

export interface LogLevelParts {
  readonly leaders: Pick<Leaders, 'nodeName'>;
  readonly knowledge: Pick<Knowledge, 'addressOf'>;
  /** Asked for what is not known without the leader. */
  readonly operations: Pick<ClusterOperations, 'getNode'>;
  readonly remotes: Pick<Remotes, 'logLevel'>;
  readonly localLogLevel: LocalLogLevel;
}

/** @throws JarvisError not_found; unavailable where that node does not answer */
export async function getLogLevel(
  parts: LogLevelParts,
  request: LogLevelRequest,
  context: CallContext,
): Promise<LogLevel> {
  const address = await addressOf(parts, request.name, context);
  return address === null
    ? parts.localLogLevel.read()
    : await parts.remotes.logLevel(address).get(request, context);
}

/** @throws JarvisError invalid, not_found; unavailable where that node does not answer */
export async function setLogLevel(
  parts: LogLevelParts,
  request: SetLogLevelRequest,
  context: CallContext,
): Promise<LogLevel> {
  const { level, forMs } = parseChange(request);
  const address = await addressOf(parts, request.name, context);
  return address === null
    ? parts.localLogLevel.set(level, forMs)
    : await parts.remotes.logLevel(address).set(request, context);
}

/** Null: it is this node. */
async function addressOf(
  { leaders, knowledge, operations }: LogLevelParts,
  name: string,
  context: CallContext,
): Promise<string | null> {
  if (name === leaders.nodeName) return null;
  if (context.forwarded)
    throw new JarvisError('unavailable', `this is node ${leaders.nodeName}, and not ${show(name)}`);
  return (await knowledge.addressOf(name, context)) ?? (await operations.getNode({ name }, context)).address;
}

function parseChange(request: SetLogLevelRequest): {
  readonly level: LogLevelName;
  readonly forMs: number | null;
} {
  const level = LOG_LEVELS.find((name) => name === request.level);
  if (level === undefined)
    throw invalidInput([
      { path: 'level', message: `${show(request.level)} is no level; allowed: ${LOG_LEVELS.join(', ')}` },
    ]);
  return { level, forMs: request.for === undefined ? HOUR_MS : parseFor(request.for) };
}

/** Null: until the node is started again. */
function parseFor(text: string): number | null {
  const message = `${show(text)} is not allowed: a duration such as 10m, 24h at most; 0: until the node is started again`;
  let forMs: number;
  try {
    forMs = parseDurationMs(text);
  } catch (error) {
    if (error instanceof JarvisError) throw invalidInput([{ path: 'for', message }]);
    throw error;
  }
  if (forMs > LONGEST_MS) throw invalidInput([{ path: 'for', message }]);
  return forMs === 0 ? null : forMs;
}

/** Each change is said, also the one back, as an error: that shows, whatever the levels before and after it. */
export function localLogLevel(node: string, levels: LogLevels, log: Log): LocalLogLevel {
  const view = ({ level, configured, untilMs }: LogLevelState): LogLevel => ({
    node,
    level,
    configured,
    until: untilMs === null ? undefined : formatTime(untilMs),
  });
  return {
    read: () => view(levels.read()),
    set: (level, forMs) =>
      view(
        // `level` is the line's own.
        levels.set(level, forMs, (change) =>
          log.error(
            { before: change.before, after: change.level, forMs: change.forMs },
            'the level of this log is another one now',
          ),
        ),
      ),
  };
}
