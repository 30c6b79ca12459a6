/** The output of the attempts that ran on this node, as the operations and other nodes ask for it. */
import type { LogChunk, ReadLogRequest } from '../generated/worker.ts';
import { JarvisError } from '../lib/errors.ts';
import type { LocalLogs } from '../operations/node-port.ts';
import { readLog, type ReadLogOptions } from './watchdog/attempt-log.ts';
import { attemptDirectory, isAttemptKey } from './watchdog/paths.ts';
import { exists } from './logs/attempt-directories.ts';

export interface AttemptLogsOptions {
  readonly dataDirectory: string;
  /** Why a log is not here, as the end of a sentence about this node; null: it never wrote anything. */
  readonly whyGone: (endedAtMs: number | null) => string | null;
}

export class AttemptLogs implements LocalLogs {
  readonly #options: AttemptLogsOptions;

  constructor(options: AttemptLogsOptions) {
    this.#options = options;
  }

  /** @throws JarvisError invalid where the request names no attempt; logs_unavailable where the log is gone */
  async *read(request: ReadLogRequest, signal: AbortSignal): AsyncIterable<LogChunk> {
    const key = { taskId: request.task_id, assignment: request.assignment };
    // The id becomes part of a path: nothing else may get this far.
    if (!isAttemptKey(key)) {
      throw new JarvisError('invalid', `${JSON.stringify(key)} names no attempt`);
    }
    const { stream, tail, since_ms: sinceMs } = request;
    const options: ReadLogOptions = {
      follow: request.follow,
      signal,
      ...(stream === 'stdout' || stream === 'stderr' ? { stream } : {}),
      ...(tail === undefined ? {} : { tail }),
      ...(sinceMs === undefined ? {} : { sinceMs }),
    };
    const directory = attemptDirectory(this.#options.dataDirectory, key);
    for await (const chunk of readLog(directory, options)) {
      yield { stream: chunk.stream, at_ms: chunk.atMs, data: Buffer.from(chunk.data) };
    }
    // Asked at the end: it may have been removed while it was read.
    if (signal.aborted || (await exists(directory))) return;
    const why = this.#options.whyGone(request.ended_ms ?? null);
    if (why !== null) throw new JarvisError('logs_unavailable', why);
  }
}
