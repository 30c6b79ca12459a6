/** The state machine as a replica's shell runs it: a log position, a clock, and a store that holds every row. */
import { invariant } from '../../../lib/assert.ts';
import { DEFAULT_RETENTION, type Retention } from '../../../model/cluster.ts';
import type { AttemptReport, Command, Outcome } from '../../../model/commands.ts';
import type { RowChange, TableName, Tables } from '../../../model/rows.ts';
import type { Attempt, TaskRow, TaskSpec } from '../../../model/task.ts';
import type { CommandInput } from '../../ports.ts';
import type { ApplyResult } from '../apply/apply.ts';
import { apply, rowsNamedBy } from '../apply/apply.ts';
import type { ReconcileNodeResult } from '../apply/reconcile-node.ts';
import type { CommandResults } from '../apply/results.ts';
import { ClusterState } from '../state.ts';
import { registrationOf, reportOf } from './values.ts';

interface StoredRow {
  readonly table: TableName;
  readonly key: string;
  readonly row: Tables[TableName];
}

/** What is tested: this build's, where nothing else is said. */
export interface TestedCore {
  readonly apply: typeof apply;
  readonly rowsNamedBy: typeof rowsNamedBy;
  readonly ClusterState: new () => ClusterState;
}

const THIS_BUILD: TestedCore = { apply, rowsNamedBy, ClusterState };

export class TestCluster {
  state: ClusterState;
  readonly stored = new Map<string, StoredRow>();
  term = 1;
  index = 0;
  atMs = 1_000_000;

  readonly #core: TestedCore;

  constructor(core: TestedCore = THIS_BUILD) {
    this.#core = core;
    this.state = new core.ClusterState();
  }

  static formed(retention: Retention = DEFAULT_RETENTION, core: TestedCore = THIS_BUILD): TestCluster {
    const cluster = new TestCluster(core);
    cluster.done({
      type: 'initCluster',
      term: 1,
      clusterId: 'test-cluster',
      epoch: 3,
      config: { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 }, retention },
    });
    return cluster;
  }

  run(input: CommandInput): ApplyResult {
    const command: Command = { ...input, atMs: this.atMs };
    this.index += 1;
    const loaded = new Map(
      this.#core
        .rowsNamedBy(command)
        .map(({ table, key }) => `${table}/${key}`)
        .filter((name) => !this.#inMemory(name))
        .flatMap((name) => {
          const found = this.stored.get(name);
          return found === undefined ? [] : [[name, found.row] as const];
        }),
    );
    const result = this.#core.apply(this.state, command, { term: this.term, index: this.index }, loaded);
    for (const change of result.changes) this.#store(change);
    return result;
  }

  /** @throws InvariantError where it is refused */
  done<C extends CommandInput>(input: C): CommandResults[C['type']] {
    const { outcome } = this.run(input);
    invariant(outcome.type === 'done', `done, not ${JSON.stringify(outcome)}`);
    return outcome.result as CommandResults[C['type']];
  }

  /** @throws InvariantError where it is done */
  refusal(input: CommandInput): Extract<Outcome, { type: 'refused' }> {
    const { outcome, changes } = this.run(input);
    invariant(outcome.type === 'refused' && changes.length === 0, `refused, not ${JSON.stringify(outcome)}`);
    return outcome;
  }

  /** A state made of the stored rows alone, as after a restart. */
  restored(order: (rows: StoredRow[]) => StoredRow[] = (rows) => rows): ClusterState {
    const state = new this.#core.ClusterState();
    for (const { table, key, row } of order([...this.stored.values()])) state.restore(table, key, row);
    return state;
  }

  // Shortcuts

  submit(...specs: readonly TaskSpec[]): readonly string[] {
    return this.done({ type: 'submitTasks', tasks: specs, idempotency: null }).taskIds;
  }

  submitOne(spec: TaskSpec): string {
    const [taskId] = this.submit(spec);
    invariant(taskId !== undefined, 'one task, one id');
    return taskId;
  }

  /** @returns the session */
  register(name: string, changes: Parameters<typeof registrationOf>[1] = {}): number {
    return this.done(registrationOf(name, changes)).session;
  }

  /** Registered and reconciled, knowing of nothing. */
  join(name: string, changes: Parameters<typeof registrationOf>[1] = {}): number {
    const session = this.register(name, changes);
    this.reconcile(name, session, []);
    return session;
  }

  reconcile(node: string, session: number, taskIds: readonly string[]): ReconcileNodeResult {
    const known = taskIds.map((taskId) => ({ taskId, assignment: this.attempt(taskId).assignment }));
    return this.done({ type: 'reconcileNode', node, session, known });
  }

  /** @throws InvariantError where it is refused */
  assign(taskId: string, node: string): void {
    const session = this.state.nodes.get(node)?.session ?? 0;
    const result = this.done({
      type: 'assign',
      term: this.term,
      planIndex: this.index,
      assignments: [{ taskId, node, session }],
    });
    invariant(result.refused.length === 0, `assigned, not ${JSON.stringify(result)}`);
  }

  /** Of the newest attempt, by its node in its present session. @returns whether it was news */
  report(taskId: string, status: AttemptReport['status'], changes: Partial<AttemptReport> = {}): boolean {
    const { node, assignment } = this.attempt(taskId);
    const session = this.state.nodes.get(node)?.session ?? 0;
    const report = reportOf({ taskId, assignment, atMs: this.atMs }, status, changes);
    return this.done({ type: 'reportAttempts', node, session, reports: [report] }).taken === 1;
  }

  offline(node: string): void {
    const session = this.state.nodes.get(node)?.session ?? 0;
    this.done({ type: 'nodeOffline', term: this.term, node, session });
  }

  /** Open or finished. */
  task(taskId: string): TaskRow {
    const found = this.stored.get(`task/${taskId}`);
    invariant(found !== undefined, `${taskId} is stored`);
    return found.row as TaskRow;
  }

  attempt(taskId: string): Attempt {
    const attempt = this.task(taskId).attempts.at(-1);
    invariant(attempt !== undefined, `${taskId} has an attempt`);
    return attempt;
  }

  #inMemory(name: string): boolean {
    const found = this.stored.get(name);
    return found !== undefined && this.state.inMemory(found.table, found.key) !== null;
  }

  #store({ table, key, before, after }: RowChange): void {
    const name = `${table}/${key}`;
    invariant((this.stored.get(name)?.row ?? null) === before, `${name} changes from what is stored`);
    if (after === null) this.stored.delete(name);
    else this.stored.set(name, { table, key, row: after });
  }
}
