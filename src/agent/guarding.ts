/** What stands before the operations of a node where callers need tokens; where they do not, nothing does. */
import type { HttpAdmission } from '../http/authentication.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { Authenticator } from '../operations/authenticator.ts';
import { AnyMember } from '../operations/copyless/any-member.ts';
import { RemoteAuthenticator } from '../operations/copyless/remote-authenticator.ts';
import { Guard, guarded, type GuardOptions } from '../operations/guard.ts';
import type { Members } from '../operations/node-port.ts';
import type { ClusterOperations } from '../operations/port.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import { identifying } from '../rpc/remotes.ts';
import type { Replica } from '../scheduler/ports.ts';
import { AuditLog } from './audit-log.ts';
import { catchUp } from './catch-up.ts';
import { authRequired, type NodeConfig } from './config.ts';
import type { MemberQuestions } from './member-questions.ts';
import { NodeAudit } from './node-audit.ts';

export class Guarding {
  /** For the HTTP server, which listens before there is anything to look tokens up in; null: whoever calls is let in. */
  readonly http: HttpAdmission | null;
  readonly #clock: Clock;
  /** Of what needs no token of a caller. */
  readonly nodes: NodeAudit;
  readonly #audit: AuditLog | null;
  #guard: Guard | null = null;

  constructor({
    config,
    clock,
    log,
  }: {
    readonly config: NodeConfig;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#clock = clock;
    const isRequired = authRequired(config);
    const audit = isRequired ? new AuditLog({ directory: config.dataDir, clock, log }) : null;
    this.#audit = audit;
    this.nodes = new NodeAudit(audit);
    this.http = isRequired
      ? {
          authenticate: async (...call) => {
            if (this.#guard === null) throw new JarvisError('unavailable', 'this node is starting');
            await this.#guard.authenticate(...call);
          },
        }
      : null;
  }

  /** Null: whoever calls is let in. Only after {@link before} or {@link beforeCopyless}. */
  get guard(): Guard | null {
    return this.#guard;
  }

  /** The operations of a member as callers get them. */
  before(
    operations: ClusterOperations,
    {
      replica,
      questions,
    }: { readonly replica: Replica; readonly questions: Pick<MemberQuestions, 'digests'> },
  ): ClusterOperations {
    const clock = this.#clock;
    return this.#guarded(operations, () => ({
      tokens: new Authenticator({
        replica,
        clock,
        catchUp: (signal) => catchUp({ replica, questions, clock }, signal),
      }),
      startIdOf: (node) => replica.state.nodes.get(node)?.startId ?? null,
    }));
  }

  /** The same of a node without a copy of the state. */
  beforeCopyless(
    operations: ClusterOperations,
    { leaders, pool, clusterId }: { leaders: Members; pool: ChannelPool; clusterId: string },
  ): ClusterOperations {
    const clock = this.#clock;
    return this.#guarded(operations, () => ({
      tokens: new RemoteAuthenticator({
        clusterId,
        anyMember: new AnyMember(leaders, clock),
        remotes: identifying(pool),
        clock,
      }),
      // What nodes do for themselves they ask of the leader.
      startIdOf: () => null,
    }));
  }

  #guarded(
    operations: ClusterOperations,
    parts: () => Pick<GuardOptions, 'tokens' | 'startIdOf'>,
  ): ClusterOperations {
    const audit = this.#audit;
    if (audit === null) return operations;
    const guard = new Guard({ ...parts(), audit });
    this.#guard = guard;
    return guarded(operations, guard);
  }

  async close(): Promise<void> {
    this.#guard?.close();
    await this.#audit?.close();
  }
}
