/** What a watchdog answers its daemons: by the session that each request is of, and by nothing of how it came. */
import { unreachable } from '../../lib/assert.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { AttemptTable, TableAttempt } from './attempt-table.ts';
import type { Diagnose } from './diagnostics.ts';
import type { Guards } from './guards.ts';
import type { Lease } from './lease.ts';
import type { OutputCounts } from './output-counters.ts';
import type { Answers, Reply, Request } from './protocol.ts';
import { PROTOCOL } from './protocol.ts';

export interface RequestsOptions {
  readonly table: AttemptTable<TableAttempt>;
  /** The highest session that was ever told. */
  readonly session: number;
  readonly lease: Pick<Lease, 'permits' | 'extend'>;
  readonly guards: Pick<Guards, 'beginSession' | 'guard' | 'isOver' | 'recorded' | 'release'>;
  /** Absent: none are kept. */
  readonly output?: OutputCounts;
  readonly saveSession: (session: number) => Promise<void>;
  readonly diagnose: Diagnose;
  readonly onShutdown: (killAll: boolean) => void;
  /** Of this process. */
  readonly pid: number;
}

export class Requests {
  readonly #options: RequestsOptions;
  #session: number;
  #saved: Promise<void> = Promise.resolve();
  /** The last write has failed: the newest session is not on disk. */
  #isUnsaved = false;

  constructor(options: RequestsOptions) {
    this.#options = options;
    this.#session = options.session;
  }

  /** The newest: only its daemon is told anything. */
  get session(): number {
    return this.#session;
  }

  /** Never throws. @param onHello the connection belongs to that session from now on */
  async answer(request: Request, onHello: (session: number) => void): Promise<Reply> {
    try {
      return { id: request.id, answer: await this.#handle(request, onHello) };
    } catch (error) {
      const code = error instanceof JarvisError ? error.code : 'internal';
      if (code === 'internal')
        this.#options.diagnose('request failed', { type: request.type, error: messageOf(error) });
      return { id: request.id, refusal: { code, message: messageOf(error) } };
    }
  }

  async #handle(request: Request, onHello: (session: number) => void): Promise<Answers[keyof Answers]> {
    const { table, lease, guards } = this.#options;
    if (request.type === 'hello') return this.#hello(request, onHello);
    this.#checkSession(request.session);
    switch (request.type) {
      case 'start':
        // Asked again later: a node that is back in contact gets a new lease [WDLEASE]. Not `unavailable`, which the
        // client itself repeats at once.
        if (!lease.permits(request.spec) && table.find(request.spec) === undefined)
          throw new JarvisError('timeout', 'the lease has run out: nothing may start');
        return { attempt: await table.start(request.spec) };
      case 'stop':
        return { attempt: await table.stop(request, request.graceMs) };
      case 'list':
        return table.list(request.after);
      case 'remove':
        await table.remove(request);
        return {};
      case 'lease':
        await guards.recorded();
        await lease.extend(request.deadlineMs);
        return {};
      case 'guard':
        await guards.guard(request);
        return {};
      case 'isGuardOver':
        return { isOver: guards.isOver(request) };
      case 'release':
        await guards.release(request);
        return {};
      case 'ping':
        return this.#options.output === undefined ? {} : { output: { ...this.#options.output } };
      case 'shutdown':
        this.#options.onShutdown(request.killAll);
        return {};
      default:
        return unreachable(request);
    }
  }

  /** In force before it is on disk, and on disk before it is answered: older requests in any socket come too late. */
  async #hello(
    { session, protocol }: Request & { type: 'hello' },
    onHello: (session: number) => void,
  ): Promise<Answers['hello']> {
    const { guards } = this.#options;
    if (session <= this.#session) this.#checkSession(session);
    if (session > this.#session || this.#isUnsaved) {
      if (session > this.#session) guards.beginSession();
      this.#session = session;
      this.#isUnsaved = false;
      this.#saved = this.#saveAfter(this.#saved, session);
    }
    await this.#saved;
    this.#checkSession(session);
    onHello(session);
    return { protocol: Math.min(protocol, PROTOCOL), pid: this.#options.pid };
  }

  async #saveAfter(earlier: Promise<void>, session: number): Promise<void> {
    // Whoever said that hello has heard of its failure.
    await earlier.catch(() => undefined);
    try {
      await this.#options.saveSession(session);
    } catch (error) {
      this.#isUnsaved = true;
      throw error;
    }
  }

  #checkSession(session: number): void {
    if (session !== this.#session)
      throw new JarvisError('conflict', `session ${session} has ended, the newest is ${this.#session}`);
  }
}
