/** What clients can ask of tasks, answered by the leader from its own state. */
import type {
  CancelTaskRequest,
  Explanation,
  ListTasksRequest,
  ListTasksResponse,
  PlanRequest,
  RetryTaskRequest,
  SubmitTasksRequest,
  SubmitTasksResponse,
  Task,
  TaskPlan,
  TaskRequest,
  UpdateTaskRequest,
} from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { IdempotencyKey } from '../model/commands.ts';
import type { GraphRow, GroupRef } from '../model/group.ts';
import { groupOf } from '../model/group.ts';
import { isTerminal } from '../model/phases.ts';
import type { TaskRow, TaskSpec } from '../model/task.ts';
import { specOfTask } from '../model/template.ts';
import type { CommandInput } from '../scheduler/ports.ts';
import { invalidInput, show } from '../spec/faults.ts';
import type { ClusterInsight } from './insight.ts';
import type { AcceptedTasks, CallContext } from './port.ts';
import { absent, notLeading } from './absent.ts';
import { explanationOf, taskAsItWaits, taskPlanOf } from './explanations.ts';
import type { StoredTask } from './group-members.ts';
import { parsePlan } from './group-requests.ts';
import type { LeaderCalls, LocalGroups } from './groups.ts';
import { policyFaults } from './policy-check.ts';
import { idempotencyOf, parseListTasks, parseSubmit, parseUpdate } from './requests.ts';
import { Submissions } from './submissions.ts';
import { TaskWatches } from './task-watches.ts';
import { throwIfAborted } from './waiting.ts';

const TASK_ID_CHARACTERS = 'task-'.length + 18;
/** Named where a prefix is ambiguous. */
const AMBIGUOUS_SHOWN = 5;

/** What a command about a task names, for it may not be in memory. */
interface NamedRows {
  readonly taskId: string;
  readonly specId: string;
  readonly group: GroupRef | null;
}

export class LocalTasks {
  readonly #calls: LeaderCalls;
  readonly #groups: LocalGroups;
  readonly #insight: Pick<ClusterInsight, 'usage'>;
  readonly #watches: TaskWatches;
  readonly #submissions: Submissions;

  constructor(
    calls: LeaderCalls,
    parts: { readonly groups: LocalGroups; readonly insight: Pick<ClusterInsight, 'usage'> },
  ) {
    this.#calls = calls;
    this.#groups = parts.groups;
    this.#insight = parts.insight;
    this.#watches = new TaskWatches(calls.replica);
    this.#submissions = new Submissions(calls.replica);
  }

  async submitTasks(request: SubmitTasksRequest, context: CallContext): Promise<SubmitTasksResponse> {
    const { taskIds } = await this.acceptTasks(request, context);
    return { tasks: await Promise.all(taskIds.map((id) => this.#task(id))) };
  }

  async acceptTasks(request: SubmitTasksRequest, context: CallContext): Promise<AcceptedTasks> {
    const defaults = this.#calls.replica.state.cluster?.config.retryPolicy;
    const tasks = parseSubmit(request, defaults);
    const { idempotency, bytes } = idempotencyOf({
      principal: context.principal,
      route: 'POST /tasks',
      key: request.idempotency_key,
      // As it was sent: sent again it is the same request, whatever the cluster's defaults are by then.
      content:
        defaults === undefined || request.idempotency_key === '' ? tasks : parseSubmit(request, undefined),
    });
    await this.#checkPolicies(tasks, idempotency, context.signal);
    throwIfAborted(context.signal);
    const outcome = this.#submissions.accept({ tasks, idempotency }, bytes);
    return await this.#calls.outcome<AcceptedTasks>(outcome, context.signal);
  }

  async getTask(request: TaskRequest, context: CallContext): Promise<Task> {
    await this.#calls.barrier(context);
    return this.#task(await this.#resolve(request.id));
  }

  async explainTask(request: TaskRequest, context: CallContext): Promise<Explanation> {
    await this.#calls.barrier(context);
    const id = await this.#resolve(request.id);
    const task = await this.#calls.replica.read('task', id);
    if (task === null) throw absent('task', id);
    return explanationOf(this.#calls.replica.state, task);
  }

  async planTasks(request: PlanRequest, context: CallContext): Promise<TaskPlan> {
    const planned = await parsePlan(request, this.#calls.replica.state.cluster?.config.retryPolicy);
    await this.#calls.barrier(context);
    return taskPlanOf(this.#calls.replica, planned, this.#insight);
  }

  async listTasks(request: ListTasksRequest, context: CallContext): Promise<ListTasksResponse> {
    const { limit, cursor, matches } = parseListTasks(request);
    await this.#calls.barrier(context);
    if (request.batch_id !== '' || request.dag_id !== '') return await this.#listMembers(request);
    const items: Task[] = [];
    const graphs = new Map<string, GraphRow | null>();
    let next = cursor;
    // A page of the replica looks at so many rows; few of them may match.
    for (let round = 0; round < limits.listRounds; round += 1) {
      const page = await this.#calls.replica.tasksNewestFirst({
        cursor: next,
        limit: limit - items.length,
        matches: (task, spec) => matches(task, specOfTask(task, spec.spec)),
      });
      for (const found of page.tasks) items.push(await this.#view(found, graphs));
      next = page.nextCursor;
      if (next === '' || items.length >= limit || context.signal.aborted) break;
    }
    return { items, next_cursor: next };
  }

  /** Of a batch or a DAG; of a batch and a DAG at once there are none. */
  async #listMembers(request: ListTasksRequest): Promise<ListTasksResponse> {
    const { limit, cursor, matches } = parseListTasks(request);
    if (request.batch_id !== '' && request.dag_id !== '') return { items: [], next_cursor: '' };
    const [table, id] =
      request.dag_id === '' ? ['batch' as const, request.batch_id] : ['dag' as const, request.dag_id];
    const { tasks, nextCursor } = await this.#groups.listTasks(table, id, {
      limit,
      cursor,
      matches: ({ task, spec }) => matches(task, specOfTask(task, spec.spec)),
    });
    const graphs = new Map<string, GraphRow | null>();
    return {
      items: await Promise.all(tasks.map((found) => this.#view(found, graphs))),
      next_cursor: nextCursor,
    };
  }

  async cancelTask(request: CancelTaskRequest, context: CallContext): Promise<Task> {
    return await this.#change('DELETE /tasks', request, context, {
      content: {},
      commandOf: ({ taskId }, idempotency) => ({ type: 'cancelTask', taskId, idempotency }),
    });
  }

  async retryTask(request: RetryTaskRequest, context: CallContext): Promise<Task> {
    return await this.#change('POST /tasks/retry', request, context, {
      content: {},
      commandOf: (named, idempotency) => ({ type: 'retryTask', ...named, idempotency }),
    });
  }

  async updateTask(request: UpdateTaskRequest, context: CallContext): Promise<Task> {
    const changes = parseUpdate(request);
    return await this.#change('PATCH /tasks', request, context, {
      content: changes,
      commandOf: ({ taskId, specId }, idempotency) => ({
        type: 'updateTask',
        taskId,
        specId,
        changes,
        idempotency,
      }),
    });
  }

  /** Of one task, which is answered as it is afterwards. */
  async #change(
    route: string,
    request: { readonly id: string; readonly idempotency_key: string },
    context: CallContext,
    change: {
      /** What is asked for, beside the task. */
      readonly content: object;
      readonly commandOf: (named: NamedRows, idempotency: IdempotencyKey | null) => CommandInput;
    },
  ): Promise<Task> {
    const { principal, signal } = context;
    await this.#calls.barrier(context);
    const taskId = await this.#resolve(request.id);
    await this.#made(taskId, signal);
    const content = { taskId, ...change.content };
    const { idempotency } = idempotencyOf({ principal, route, key: request.idempotency_key, content });
    const row = await this.#calls.replica.read('task', taskId);
    const group = row === null ? null : groupOf(row);
    throwIfAborted(signal);
    const command = change.commandOf({ taskId, specId: row?.specId ?? taskId, group }, idempotency);
    await this.#calls.outcome(this.#calls.replica.propose(command), signal);
    return this.#task(taskId);
  }

  async *watchTask(request: TaskRequest, context: CallContext): AsyncGenerator<Task, void> {
    await this.#calls.barrier(context);
    const id = await this.#resolve(request.id);
    // Watched before it is read: a change in between wakes us once more than needed, never once less.
    using watch = this.#watches.watch(id);
    for (;;) {
      if (!this.#calls.replica.leadership().isLeader) throw notLeading(this.#calls.replica);
      const row = await this.#calls.replica.read('task', id);
      yield await this.#task(id, row);
      if (row !== null && isTerminal(row.status)) return;
      await watch.changed(context.signal);
    }
  }

  /**
   * A refusal rests on what the policies are now, not on what an earlier leader knew; and a request that was accepted
   * once, and is repeated, gets its answer whatever has changed since.
   * @throws JarvisError invalid where every node that could run a task forbids it
   */
  async #checkPolicies(
    tasks: readonly TaskSpec[],
    idempotency: IdempotencyKey | null,
    signal: AbortSignal,
  ): Promise<void> {
    if (policyFaults(tasks, this.#calls.replica.state.nodes.values()).length === 0) return;
    await this.#calls.barrier({ signal });
    const faults = policyFaults(tasks, this.#calls.replica.state.nodes.values());
    if (faults.length === 0) return;
    if (!(await this.#calls.isRemembered(idempotency))) throw invalidInput(faults);
  }

  /** The id that the text is, or begins. @throws JarvisError not_found, ambiguous */
  async #resolve(text: string): Promise<string> {
    if (/^t(a(s(k(-[0-9a-z]*)?)?)?)?$/.test(text) && text.length <= TASK_ID_CHARACTERS) {
      if (text.length === TASK_ID_CHARACTERS) return text;
      const ids = await this.#calls.replica.taskIdsWithPrefix(text, AMBIGUOUS_SHOWN + 1);
      const [first] = ids;
      if (first !== undefined && ids.length === 1) return first;
      if (ids.length > 1) {
        const more = ids.length > AMBIGUOUS_SHOWN ? ', …' : '';
        const shown = ids.slice(0, AMBIGUOUS_SHOWN).join(', ');
        throw new JarvisError('ambiguous', `${show(text)} begins several ids: ${shown}${more}`);
      }
    }
    throw absent('task', text);
  }

  async #task(id: string, known: TaskRow | null = null): Promise<Task> {
    const task = known ?? (await this.#calls.replica.read('task', id));
    if (task === null) {
      const unmade = await this.#groups.members.unmade(id);
      if (unmade !== null) return await this.#view(unmade, null);
      throw absent('task', id);
    }
    const spec = await this.#calls.replica.read('spec', task.specId);
    if (spec === null) throw new JarvisError('not_found', `the spec of ${show(id)} is gone`);
    return await this.#view({ task, spec }, null);
  }

  /** @param graphs of DAGs that were read for the same answer; null: it is of this task alone */
  async #view(found: StoredTask, graphs: Map<string, GraphRow | null> | null): Promise<Task> {
    const dependencies = await this.#groups.dependenciesOf(found, graphs ?? new Map());
    return taskAsItWaits(this.#calls.replica.state, found, { dependencies, judged: graphs === null });
  }

  /** Resolves once the task has a row: those of large batches and DAGs are made soon after their submission. */
  async #made(taskId: string, signal: AbortSignal): Promise<void> {
    if (this.#groups.members.unmadeGroupOf(taskId) === null) return;
    using watch = this.#watches.watch(taskId);
    while (this.#groups.members.unmadeGroupOf(taskId) !== null) await watch.changed(signal);
  }
}
