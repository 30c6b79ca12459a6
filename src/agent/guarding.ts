/** What stands before the operations of a node where callers need tokens; where they do not, nothing does. */
import type { HttpAdmission } from '../http/authentication.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { Guard, guarded } from '../operations/guard.ts';
import type { ClusterOperations } from '../operations/port.ts';
import type { Replica } from '../scheduler/ports.ts';
import { AuditLog } from './audit-log.ts';
import { catchUp } from './catch-up.ts';
import { authRequired, type NodeConfig } from './config.ts';
import type { MemberQuestions } from './member-questions.ts';

export class Guarding {
  /** For the HTTP server, which listens before there is anything to look tokens up in; null: whoever calls is let in. */
  readonly http: HttpAdmission | null;
  readonly #config: NodeConfig;
  readonly #clock: Clock;
  readonly #log: Log;
  #guard: Guard | null = null;
  #audit: AuditLog | null = null;

  constructor({
    config,
    clock,
    log,
  }: {
    readonly config: NodeConfig;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.http = authRequired(config)
      ? {
          authenticate: async (...call) => {
            if (this.#guard === null) throw new JarvisError('unavailable', 'this node is starting');
            await this.#guard.authenticate(...call);
          },
        }
      : null;
  }

  /** Null: whoever calls is let in. Only after {@link before}. */
  get guard(): Guard | null {
    return this.#guard;
  }

  /** The operations as callers get them. */
  before(
    operations: ClusterOperations,
    parts: { readonly replica: Replica; readonly questions: Pick<MemberQuestions, 'digests'> },
  ): ClusterOperations {
    if (!authRequired(this.#config)) return operations;
    const [clock, log] = [this.#clock, this.#log];
    const { replica, questions } = parts;
    const audit = new AuditLog({ directory: this.#config.dataDir, clock, log });
    const guard = new Guard({
      replica,
      catchUp: (signal) => catchUp({ replica, questions, clock }, signal),
      audit,
      clock,
    });
    this.#audit = audit;
    this.#guard = guard;
    return guarded(operations, guard);
  }

  async close(): Promise<void> {
    this.#guard?.close();
    await this.#audit?.close();
  }
}
