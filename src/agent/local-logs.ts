/** The output of the attempts that ran on this node, as the operations and other nodes ask for it. */
import type { LogChunk, ReadLogRequest } from '../generated/worker.ts';
import { JarvisError } from '../lib/errors.ts';
import type { LocalLogs } from '../operations/port.ts';
import { readLog, type ReadLogOptions } from './watchdog/attempt-log.ts';
import { attemptDirectory, isAttemptKey } from './watchdog/paths.ts';

export class AttemptLogs implements LocalLogs {
  readonly #dataDirectory: string;

  constructor(dataDirectory: string) {
    this.#dataDirectory = dataDirectory;
  }

  /** @throws JarvisError invalid where the request names no attempt */
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
    for await (const chunk of readLog(attemptDirectory(this.#dataDirectory, key), options)) {
      yield { stream: chunk.stream, at_ms: chunk.atMs, data: Buffer.from(chunk.data) };
    }
  }
}
