/** Containers on a simulated engine, as `agent/drivers/docker/docker-driver.ts` has them: with the production table. */
import type {
  AttemptKey,
  AttemptSpec,
  AttemptView,
  Driver,
  Exit,
} from '../../../src/agent/drivers/driver.ts';
import { AttemptTable } from '../../../src/agent/watchdog/attempt-table.ts';
import { JarvisError } from '../../../src/lib/errors.ts';
import { SimulatedContainerAttempt, type ContainerTools } from './container-attempt.ts';

export class SimulatedDockerDriver implements Driver {
  readonly name = 'docker';
  readonly startsAtOnce = 8;
  readonly #tools: ContainerTools;
  readonly #table: AttemptTable<SimulatedContainerAttempt>;
  #session: number;

  constructor(
    tools: ContainerTools,
    session: number,
    records: Iterable<Parameters<typeof SimulatedContainerAttempt.recover>[0]>,
  ) {
    this.#tools = tools;
    this.#session = session;
    this.#table = new AttemptTable({
      store: tools.files,
      start: (spec) => SimulatedContainerAttempt.start(spec, tools),
      onEnded: () => {},
    });
    for (const record of records) this.#table.adopt(SimulatedContainerAttempt.recover(record, tools));
  }

  async open(session: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#checkSession(session);
    this.#session = session;
    await this.#tools.files.writeSession(session);
  }

  async start(spec: AttemptSpec, signal: AbortSignal): Promise<AttemptView> {
    signal.throwIfAborted();
    this.#checkSession(spec.session);
    return orAborted(this.#table.start(spec), signal);
  }

  async list(): Promise<readonly AttemptView[]> {
    return this.#table.list(null).attempts;
  }

  async wait(key: AttemptKey, signal: AbortSignal): Promise<Exit> {
    const attempt = this.#table.find(key);
    if (attempt === undefined) throw new JarvisError('not_found', 'it is not known');
    return this.#exitOf(attempt, signal);
  }

  async stop(key: AttemptKey, { graceMs }: { graceMs: number }, signal: AbortSignal): Promise<Exit | null> {
    await this.#table.stop(key, graceMs);
    const attempt = this.#table.find(key);
    return attempt === undefined ? null : this.#exitOf(attempt, signal);
  }

  async remove(key: AttemptKey, signal: AbortSignal): Promise<void> {
    await orAborted(this.#table.find(key)?.cleaned ?? Promise.resolve(), signal);
    await this.#table.remove(key);
  }

  async close(): Promise<void> {}

  async #exitOf(attempt: SimulatedContainerAttempt, signal: AbortSignal): Promise<Exit> {
    await orAborted(attempt.ended, signal);
    if (attempt.view.type !== 'ended') throw new JarvisError('unavailable', 'it is not followed any more');
    return attempt.view.exit;
  }

  #checkSession(session: number): void {
    if (session < this.#session) throw new JarvisError('conflict', `session ${session} has ended`);
  }
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => {});
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(new JarvisError('unavailable', 'given up'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
