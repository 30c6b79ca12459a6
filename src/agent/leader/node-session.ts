/**
 * One worker's stream, on the leader: registration, inventory, the desired state, heartbeats and reports. It ends with an
 * error whenever something is not as it should be; the worker then connects anew, and everything begins from the state.
 */
import type * as grpc from '@grpc/grpc-js';

import type {
  Heartbeat,
  Inventory,
  LeaderMessage,
  Register,
  Reports,
  WorkerMessage,
} from '../../generated/worker.ts';
import { unreachable } from '../../lib/assert.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Outcome } from '../../model/commands.ts';
import { isAttemptOver } from '../../model/phases.ts';
import { toStatus } from '../../rpc/errors.ts';
import type { Applied, CommandInput, Replica } from '../../scheduler/ports.ts';
import { DesiredState } from './desired-state.ts';
import { LEADER_LIMITS } from './limits.ts';
import type { NodeMonitor } from './node-monitor.ts';
import { registrationFromWire, reportFromWire } from './wire.ts';

export type WorkerCall = grpc.ServerDuplexStream<WorkerMessage, LeaderMessage>;

export interface NodeSessionOptions {
  readonly call: WorkerCall;
  readonly clusterId: string;
  readonly term: number;
  readonly replica: Replica;
  readonly monitor: NodeMonitor;
  readonly clock: Clock;
  readonly log: Log;
  /** Runs it in the next turn of the event loop. */
  readonly nextTurn: (action: () => void) => void;
  /** The stream now speaks for the node: an earlier one of it is to be ended. */
  readonly onRegistered: (session: NodeSession) => void;
  readonly onOver: (session: NodeSession) => void;
}

/** Only moves to the right. */
type Phase = 'new' | 'registering' | 'registered' | 'reconciling' | 'following' | 'over';

export class NodeSession {
  readonly #options: NodeSessionOptions;
  readonly #call: WorkerCall;
  readonly #replica: Replica;
  #log: Log;
  #phase: Phase = 'new';
  #node = '';
  #session = 0;
  #desired: DesiredState | null = null;
  /** The complete set has not been sent to its end. */
  #isCompleting = false;
  #isPumpScheduled = false;
  #isBlocked = false;
  #cancelStall: () => void = () => {};
  readonly #cancelRegisterTimeout: () => void;
  #reports: Promise<void> = Promise.resolve();
  #pendingReports = 0;
  /** Heartbeats that wait for a quorum's word. */
  #pendingGrants = 0;
  readonly #over = new AbortController();

  constructor(options: NodeSessionOptions) {
    this.#options = options;
    this.#call = options.call;
    this.#replica = options.replica;
    this.#log = options.log;
    this.#call.on('data', (message: WorkerMessage) => this.#receive(message));
    this.#call.on('drain', () => this.#drained());
    for (const event of ['end', 'cancelled', 'close', 'error'] as const) {
      this.#call.on(event, () => this.end(null));
    }
    this.#cancelRegisterTimeout = options.clock.after(LEADER_LIMITS.registerTimeoutMs, () => {
      if (this.#phase === 'new') this.end(new JarvisError('timeout', 'nothing was registered on the stream'));
    });
  }

  /** Empty before it is registered. */
  get node(): string {
    return this.#node;
  }

  get isOver(): boolean {
    return this.#phase === 'over';
  }

  /** Ends the stream; its worker connects anew. @param error null: the other side has gone */
  end(error: JarvisError | null): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#over.abort(error ?? new JarvisError('unavailable', 'the worker has gone'));
    this.#cancelStall();
    this.#cancelRegisterTimeout();
    this.#log.debug({ code: error?.code, reason: error?.message }, 'a worker stream ended');
    this.#options.onOver(this);
    if (error === null) this.#call.end();
    else this.#call.emit('error', toStatus(error));
  }

  /** Something that concerns this node was applied. */
  applied(applied: Applied): void {
    if (this.#desired === null || this.#phase !== 'following') return;
    if (applied.command.type === 'reportAttempts' && applied.command.node === this.#node) {
      for (const report of applied.command.reports) {
        if (isAttemptOver(report.status)) this.#desired.ended(report.taskId, report.assignment);
      }
    }
    for (const change of applied.changes) {
      if (change.table === 'task') this.#desired.mark(change);
      else if (change.table === 'node' && change.key === this.#node) {
        this.#checkSession();
        // What has not been begun is not to be, or is again.
        if (change.before?.drain !== change.after?.drain) this.#desired.markAll(this.#replica.state);
      }
    }
    this.#schedulePump();
  }

  #checkSession(): void {
    const row = this.#replica.state.nodes.get(this.#node);
    if (row === undefined || !row.sessionOpen || row.session !== this.#session) {
      this.end(new JarvisError('conflict', `session ${this.#session} of node ${this.#node} is over`));
    }
  }

  #receive(message: WorkerMessage): void {
    if (this.#phase === 'over' || message.kind === undefined) return;
    switch (message.kind.$case) {
      case 'register':
        return this.#carryOut(this.#register(message.kind.value));
      case 'inventory':
        return this.#carryOut(this.#reconcile(message.kind.value));
      case 'heartbeat':
        return this.#heartbeat(message.kind.value);
      case 'reports':
        return this.#takeReports(message.kind.value);
      default:
        return unreachable(message.kind);
    }
  }

  async #register(register: Register): Promise<void> {
    this.#advance('new', 'registering');
    this.#cancelRegisterTimeout();
    this.#expectOwn(register);
    const command = registrationFromWire(register);
    const outcome = await this.#propose(command);
    if (this.isOver) return;
    if (outcome.type === 'refused') throw new JarvisError('conflict', outcome.message);
    const row = this.#replica.state.nodes.get(command.name);
    if (row === undefined || !row.sessionOpen || row.startId !== command.startId) {
      throw new JarvisError('conflict', `another start of node ${command.name} has registered since`);
    }
    this.#node = command.name;
    this.#session = row.session;
    this.#log = this.#log.child({ worker: command.name, session: row.session });
    this.#advance('registering', 'registered');
    this.#options.onRegistered(this);
    const value = { session: row.session, heartbeat_interval_ms: this.#intervalMs };
    this.#write({ kind: { $case: 'registered', value } });
  }

  /** Where a cluster was made from an older one, the nodes of that may still run, and ask where they always did. */
  #expectOwn({ name, cluster_id: theirs }: Register): void {
    const { clusterId } = this.#options;
    if (theirs !== '' && theirs !== clusterId)
      throw new JarvisError('forbidden', `node ${name} is of cluster ${theirs}, and this is ${clusterId}`);
  }

  async #reconcile(inventory: Inventory): Promise<void> {
    this.#checkNamed(inventory.session);
    this.#advance('registered', 'reconciling');
    if (inventory.items.length > LEADER_LIMITS.inventoryItems) {
      throw new JarvisError('too_large', `an inventory of ${inventory.items.length} attempts`);
    }
    // It judges only assignments for earlier sessions: taken again in the same session it would change nothing.
    if (this.#replica.state.nodes.get(this.#node)?.reconciled !== true) {
      const outcome = await this.#propose({
        type: 'reconcileNode',
        node: this.#node,
        session: this.#session,
        known: inventory.items.map(({ task_id: taskId, assignment }) => ({ taskId, assignment })),
      });
      if (this.isOver) return;
      if (outcome.type === 'refused') throw new JarvisError('conflict', outcome.message);
    }
    this.#advance('reconciling', 'following');
    this.#log.info({ known: inventory.items.length, peer: this.#call.getPeer() }, 'a worker is in step');
    this.#desired = new DesiredState({ node: this.#node, session: this.#session, term: this.#options.term });
    this.#desired.markAll(this.#replica.state);
    this.#isCompleting = true;
    this.#pump();
  }

  #heartbeat(heartbeat: Heartbeat): void {
    const { session } = heartbeat;
    const { monitor } = this.#options;
    if (session !== this.#session || !monitor.heard(this.#node, session, heartbeat.usage ?? null)) {
      return this.end(new JarvisError('conflict', `session ${session} of node ${this.#node} is over`));
    }
    // Where a quorum answers none of them the worker gives up the stream; what came before that need not wait, too.
    if (this.#pendingGrants >= LEADER_LIMITS.pendingGrants) return;
    this.#carryOut(this.#grant(heartbeat));
  }

  /**
   * Answers only after a quorum has acknowledged a round that began after the heartbeat came [RI] [RI_AFTER]: a leader
   * that was stopped finds heartbeats in its sockets when it goes on, and may have been replaced long ago. Leadership
   * itself begins only once an entry of its own term is applied [OWN] [APPLIED].
   */
  async #grant({ session, number, restart_lease_ms: restartMs }: Heartbeat): Promise<void> {
    this.#pendingGrants += 1;
    let term: number;
    try {
      if (restartMs > 0) await this.#giveGrace(session, restartMs);
      term = await this.#replica.confirmLeadership(this.#over.signal);
    } catch (error) {
      if (!this.isOver) this.#log.debug({ number, error: messageOf(error) }, 'a heartbeat is not answered');
      return;
    } finally {
      this.#pendingGrants -= 1;
    }
    if (this.isOver) return;
    const leaseMs =
      term === this.#options.term ? this.#options.monitor.leaseMs(this.#node, session, term) : null;
    if (leaseMs === null)
      throw new JarvisError('conflict', `session ${session} of node ${this.#node} is over`);
    const value = { session, number, lease_ms: leaseMs, heartbeat_interval_ms: this.#intervalMs };
    this.#write({ kind: { $case: 'heartbeat', value } });
  }

  get #intervalMs(): number {
    return this.#replica.state.cluster?.config.heartbeat.intervalMs ?? 0;
  }

  /**
   * The longer T of a node that is to be restarted. Its longer lease is granted from the applied state alone [EXTCOMMIT]:
   * a proposal that came to nothing, or is lost with this leader, gives none.
   */
  async #giveGrace(session: number, leaseMs: number): Promise<void> {
    const { term } = this.#options;
    const outcome = await this.#propose({ type: 'grantGrace', term, node: this.#node, session, leaseMs });
    if (outcome.type === 'refused') throw new JarvisError('conflict', outcome.message);
    if (!this.isOver) this.#log.info({ leaseMs }, 'a node is about to be restarted');
  }

  /** One batch after the other, each acknowledged once its outcome is known. */
  #takeReports(batch: Reports): void {
    this.#pendingReports += 1;
    if (this.#pendingReports > LEADER_LIMITS.pendingReportBatches) {
      return this.end(new JarvisError('too_many', 'reports came before earlier ones were acknowledged'));
    }
    this.#reports = this.#reports
      .then(() => this.#report(batch))
      .catch((error: unknown) => this.#fail(error));
  }

  async #report({ session, number, reports }: Reports): Promise<void> {
    if (this.isOver) return;
    this.#checkNamed(session);
    if (this.#phase !== 'following') throw new JarvisError('malformed', 'reports before the inventory');
    if (reports.length > LEADER_LIMITS.reportsPerBatch) {
      throw new JarvisError('too_large', `a batch of ${reports.length} reports`);
    }
    const outcome = await this.#propose({
      type: 'reportAttempts',
      node: this.#node,
      session,
      reports: reports.map(reportFromWire),
    });
    this.#pendingReports -= 1;
    if (outcome.type === 'refused') throw new JarvisError('conflict', outcome.message);
    if (!this.isOver) this.#write({ kind: { $case: 'reports', value: { session, number } } });
  }

  /** Makes a proposal again that back-pressure refused; every other failure ends the stream. */
  async #propose(command: CommandInput): Promise<Outcome> {
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + LEADER_LIMITS.proposalTimeoutMs;
    for (;;) {
      try {
        return await this.#replica.propose(command);
      } catch (error) {
        const isBusy = error instanceof JarvisError && error.code === 'too_many';
        if (!isBusy || this.isOver || clock.monotonicMs() >= deadlineMs) throw error;
      }
      await new Promise<void>((resolve) => {
        clock.after(LEADER_LIMITS.proposalRetryMs, resolve);
      });
    }
  }

  #checkNamed(session: number): void {
    if (session !== this.#session || session === 0) {
      throw new JarvisError('malformed', `session ${session} on the stream of session ${this.#session}`);
    }
  }

  #advance(from: Phase, to: Phase): void {
    if (this.#phase !== from)
      throw new JarvisError('malformed', `a stream cannot become ${to}: it is ${this.#phase}`);
    this.#phase = to;
  }

  #carryOut(work: Promise<void>): void {
    work.catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    if (!(error instanceof JarvisError))
      this.#log.error({ error: messageOf(error) }, 'a bug in a worker stream');
    this.end(
      error instanceof JarvisError ? error : new JarvisError('internal', messageOf(error), { cause: error }),
    );
  }

  // Sending

  /** Once per turn of the event loop: many assignments are applied in one, and go out in one message. */
  #schedulePump(): void {
    if (this.#isPumpScheduled || this.#desired?.isDirty !== true) return;
    this.#isPumpScheduled = true;
    this.#options.nextTurn(() => {
      this.#isPumpScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    const desired = this.#desired;
    if (desired === null || this.#phase !== 'following') return;
    while (!this.#isBlocked && (desired.isDirty || this.#isCompleting)) {
      const { run, stop } = desired.takePart(this.#replica.state);
      const complete = this.#isCompleting;
      const more = complete && desired.isDirty;
      this.#isCompleting = more;
      if (!complete && run.length + stop.length === 0) continue;
      const value = { session: this.#session, complete, more, run: [...run], stop: [...stop] };
      this.#write({ kind: { $case: 'desired', value } });
    }
  }

  #write(message: LeaderMessage): void {
    if (this.isOver) return;
    const isTaken = this.#call.write(message);
    if (this.#call.writableLength > LEADER_LIMITS.unsentMessages) return this.#slow();
    if (isTaken || this.#isBlocked) return;
    this.#isBlocked = true;
    this.#cancelStall = this.#options.clock.after(LEADER_LIMITS.stalledStreamMs, () => this.#slow());
  }

  #slow(): void {
    this.end(new JarvisError('too_many', `node ${this.#node} does not take what it is sent`));
  }

  #drained(): void {
    this.#isBlocked = false;
    this.#cancelStall();
    this.#pump();
  }
}
