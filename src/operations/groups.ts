/** What clients can ask of batches and DAGs, answered by the leader from its own state. */
import type {
  Batch,
  ChangeGroupRequest,
  Dag,
  DagTask,
  GroupRequest,
  ListBatchesResponse,
  ListDagsResponse,
  ListGroupsRequest,
  NamedTask,
  SubmitBatchRequest,
  SubmitBatchResponse,
  SubmitDagRequest,
} from '../generated/cluster.ts';
import { idKey } from '../lib/ids.ts';
import { JarvisError } from '../lib/errors.ts';
import type { Fault } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { BatchWork, IdempotencyKey, Outcome } from '../model/commands.ts';
import type { BatchRow, DagRow, GraphRow, GroupTable } from '../model/group.ts';
import type { PackedSpecs } from '../model/packed-specs.ts';
import type { RetryPolicy, TaskSpec } from '../model/task.ts';
import { fillIn, parametersOf } from '../model/template.ts';
import type { SubmitGroupResult } from '../scheduler/core/apply/submit-group.ts';
import { idsFrom, memberIds } from '../scheduler/core/groups/rows.ts';
import type { CommandInput, Replica } from '../scheduler/ports.ts';
import type { BatchSpec } from '../spec/batch-schema.ts';
import { namesOf } from '../spec/batch-schema.ts';
import { invalidInput, show } from '../spec/faults.ts';
import { Turns } from '../spec/turns.ts';
import { absent } from './absent.ts';
import { GroupMembers } from './group-members.ts';
import type { StoredTask } from './group-members.ts';
import { parseBatch, parseDag, parseListGroups } from './group-requests.ts';
import { batchView, dagTaskView, dagView } from './group-views.ts';
import { policyFaults } from './policy-check.ts';
import type { CallContext, GroupOperations } from './port.ts';
import { idempotencyOf } from './requests.ts';
import { throwIfAborted } from './waiting.ts';

type Group = BatchRow | DagRow;

const ID_CHARACTERS = 18;
/** Named where a prefix is ambiguous. */
const AMBIGUOUS_SHOWN = 5;
/** Tasks that are read together. */
const PIECE_TASKS = 256;
/** Tasks of a batch that one call of a list looks at; then it returns a cursor. */
const TASKS_PER_CALL = 10_000;
/** Of what a template makes: looked at for what the policies of all nodes forbid. */
const POLICY_SAMPLES = 1000;

export interface LeaderCalls {
  readonly replica: Replica;
  /** @throws JarvisError no_leader */
  barrier(context: Pick<CallContext, 'isStale' | 'signal'>): Promise<void>;
  /** @throws JarvisError the refusal, or outcome_unknown */
  outcome<Result>(proposed: Promise<Outcome>, signal: AbortSignal): Promise<Result>;
  isRemembered(idempotency: IdempotencyKey | null): Promise<boolean>;
}

export class LocalGroups implements GroupOperations {
  readonly members: GroupMembers;
  readonly #replica: Replica;
  readonly #calls: LeaderCalls;

  constructor(calls: LeaderCalls) {
    this.#calls = calls;
    this.#replica = calls.replica;
    this.members = new GroupMembers(calls.replica);
  }

  async submitBatch(request: SubmitBatchRequest, context: CallContext): Promise<SubmitBatchResponse> {
    const batch = await parseBatch(request, this.#retryPolicy);
    const { idempotency } = idempotencyOf({
      principal: context.principal,
      route: 'POST /tasks/batch',
      key: request.idempotency_key,
      content: contentOf(this.#isAsSent(request) ? batch : await parseBatch(request, undefined)),
    });
    await this.#checkPolicies(samplesOf(batch.work), idempotency, context.signal);
    const sliceTasks = limits.tasksPerSlice;
    const command = { type: 'submitBatch', ...contentOf(batch), sliceTasks, idempotency } as const;
    const { id } = await this.#propose<SubmitGroupResult>(command, context.signal);
    return { batch_id: id, tasks: await this.#named(await this.#expect('batch', id), batch.work) };
  }

  async submitDag(request: SubmitDagRequest, context: CallContext): Promise<Dag> {
    const dag = await parseDag(request, this.#retryPolicy);
    const { idempotency } = idempotencyOf({
      principal: context.principal,
      route: 'POST /tasks/dag',
      key: request.idempotency_key,
      content: this.#isAsSent(request) ? dag : await parseDag(request, undefined),
    });
    await this.#checkPolicies(samplesIn(dag.specs), idempotency, context.signal);
    const sliceTasks = limits.tasksPerSlice;
    const command = { type: 'submitDag', ...dag, sliceTasks, idempotency } as const;
    const { id } = await this.#propose<SubmitGroupResult>(command, context.signal);
    return await this.#dag(await this.#expect('dag', id));
  }

  async getBatch(request: GroupRequest, context: CallContext): Promise<Batch> {
    await this.#calls.barrier(context);
    return batchView(await this.#expect('batch', await this.resolve('batch', request.id)));
  }

  async getDag(request: GroupRequest, context: CallContext): Promise<Dag> {
    await this.#calls.barrier(context);
    return await this.#dag(await this.#expect('dag', await this.resolve('dag', request.id)));
  }

  async listBatches(request: ListGroupsRequest, context: CallContext): Promise<ListBatchesResponse> {
    const query = parseListGroups(request);
    await this.#calls.barrier(context);
    const { groups, nextCursor } = await this.#replica.groupsNewestFirst({ table: 'batch', ...query });
    return { items: groups.map(batchView), next_cursor: nextCursor };
  }

  async listDags(request: ListGroupsRequest, context: CallContext): Promise<ListDagsResponse> {
    const query = parseListGroups(request);
    await this.#calls.barrier(context);
    const { groups, nextCursor } = await this.#replica.groupsNewestFirst({ table: 'dag', ...query });
    return { items: groups.map((group) => dagView(group, [])), next_cursor: nextCursor };
  }

  async cancelBatch(request: ChangeGroupRequest, context: CallContext): Promise<Batch> {
    return batchView(await this.#cancel('batch', request, context));
  }

  async cancelDag(request: ChangeGroupRequest, context: CallContext): Promise<Dag> {
    return await this.#dag(await this.#cancel('dag', request, context));
  }

  async retryBatch(request: ChangeGroupRequest, context: CallContext): Promise<Batch> {
    return batchView(await this.#retry('batch', request, context));
  }

  async retryDag(request: ChangeGroupRequest, context: CallContext): Promise<Dag> {
    return await this.#dag(await this.#retry('dag', request, context));
  }

  /** The id that the text is, or begins, or the newest run of the DAG of that name. @throws JarvisError not_found, ambiguous */
  async resolve(table: GroupTable, text: string): Promise<string> {
    const isId = text.startsWith(`${table}-`) && /^[0-9a-z]*$/.test(text.slice(table.length + 1));
    if (isId && text.length === table.length + 1 + ID_CHARACTERS) {
      if ((await this.#replica.read(table, text)) !== null) return text;
    }
    if (table === 'dag') {
      const named = await this.#replica.read('dagName', text);
      if (named !== null) return named.dagId;
    }
    if (isId || `${table}-`.startsWith(text)) {
      const ids = await this.#replica.groupIdsWithPrefix(table, text, AMBIGUOUS_SHOWN + 1);
      const [first] = ids;
      if (first !== undefined && ids.length === 1) return first;
      if (ids.length > 1) {
        const more = ids.length > AMBIGUOUS_SHOWN ? ', …' : '';
        const shown = ids.slice(0, AMBIGUOUS_SHOWN).join(', ');
        throw new JarvisError('ambiguous', `${show(text)} begins several ids: ${shown}${more}`);
      }
    }
    throw absent(table, text);
  }

  /** A page of the tasks of a group, the last of them first. @throws JarvisError invalid where the cursor is none of ours */
  async listTasks(
    table: GroupTable,
    id: string,
    query: {
      readonly limit: number;
      readonly cursor: string;
      readonly matches: (found: StoredTask) => boolean;
    },
  ): Promise<{ readonly tasks: readonly StoredTask[]; readonly nextCursor: string }> {
    const group = await this.#expect(table, await this.resolve(table, id));
    const tasks: StoredTask[] = [];
    let next = query.cursor === '' ? group.size - 1 : Math.min(group.size - 1, positionOf(query.cursor));
    const turns = new Turns();
    const least = Math.max(-1, next - TASKS_PER_CALL);
    while (next > least) {
      const last = Math.max(least + 1, next - PIECE_TASKS + 1);
      for (const found of await this.members.newestFirst(group, next, last)) {
        if (!query.matches(found)) continue;
        if (tasks.length === query.limit) return { tasks, nextCursor: cursorOf(found.task.createdPosition) };
        tasks.push(found);
      }
      next = last - 1;
      await turns.piece();
    }
    return { tasks, nextCursor: next < 0 ? '' : cursorOf(next) };
  }

  /** Ids, within the DAG, of what a task of it depends on. */
  async dependenciesOf(found: StoredTask, graphs: Map<string, GraphRow | null>): Promise<readonly string[]> {
    const { dagId, createdPosition } = found.task;
    if (dagId === undefined || dagId === null) return [];
    let graph = graphs.get(dagId);
    if (graph === undefined) {
      graph = await this.members.graphOf(dagId);
      graphs.set(dagId, graph);
    }
    return namesIn(graph, createdPosition);
  }

  async #cancel(table: GroupTable, request: ChangeGroupRequest, context: CallContext): Promise<Group> {
    await this.#calls.barrier(context);
    const id = await this.resolve(table, request.id);
    const idempotency = this.#key(
      table === 'batch' ? 'DELETE /batches' : 'DELETE /dags',
      id,
      request,
      context,
    );
    await this.#propose({ type: 'cancelGroup', table, id, idempotency }, context.signal);
    return await this.#expect(table, id);
  }

  async #retry(table: GroupTable, request: ChangeGroupRequest, context: CallContext): Promise<Group> {
    await this.#calls.barrier(context);
    const id = await this.resolve(table, request.id);
    const route = table === 'batch' ? 'POST /batches/retry' : 'POST /dags/retry';
    const idempotency = this.#key(route, id, request, context);
    const taskIds = idsFrom(await this.#expect(table, id), 0);
    await this.#propose({ type: 'retryGroup', table, id, taskIds, idempotency }, context.signal);
    return await this.#expect(table, id);
  }

  get #retryPolicy(): RetryPolicy | undefined {
    return this.#replica.state.cluster?.config.retryPolicy;
  }

  /** Whether nothing depends on what the cluster's defaults are now: a request that is sent again is the same. */
  #isAsSent({ idempotency_key: key }: { readonly idempotency_key: string }): boolean {
    return key === '' || this.#retryPolicy === undefined;
  }

  #key(route: string, id: string, request: ChangeGroupRequest, { principal }: CallContext) {
    return idempotencyOf({ principal, route, key: request.idempotency_key, content: { id } }).idempotency;
  }

  async #propose<Result>(command: CommandInput, signal: AbortSignal): Promise<Result> {
    throwIfAborted(signal);
    return await this.#calls.outcome<Result>(this.#replica.propose(command), signal);
  }

  async #expect(table: GroupTable, id: string): Promise<Group> {
    const group = await this.#replica.read(table, id);
    if (group === null) throw absent(table, id);
    return group;
  }

  async #named(group: Group, work: BatchWork): Promise<NamedTask[]> {
    const idOf = memberIds(group, idKey(group.clusterId));
    const turns = new Turns();
    const tasks: NamedTask[] = [];
    for (const name of namesOf(work)) {
      tasks.push({ id: idOf(tasks.length), name });
      await turns.piece();
    }
    return tasks;
  }

  /** With its tasks, in the order in which they were written. */
  async #dag(group: Group): Promise<Dag> {
    const graph = await this.members.graphOf(group.id);
    const turns = new Turns();
    const tasks: DagTask[] = [];
    for (let next = group.size - 1; next >= 0; next -= PIECE_TASKS) {
      const found = await this.members.newestFirst(group, next, Math.max(0, next - PIECE_TASKS + 1));
      for (const { task } of found) tasks.push(dagTaskView(task, namesIn(graph, task.createdPosition)));
      await turns.piece();
    }
    return dagView(group, tasks.reverse());
  }

  /** As for single tasks. @throws JarvisError invalid where every node that could run a task forbids it */
  async #checkPolicies(
    samples: readonly Sample[],
    idempotency: IdempotencyKey | null,
    signal: AbortSignal,
  ): Promise<void> {
    const faultsNow = (): readonly Fault[] =>
      samples.flatMap(({ at, spec }) =>
        policyFaults([spec], this.#replica.state.nodes.values()).map(({ path, message }) => ({
          path: `${at}.${path}`,
          message,
        })),
      );
    if (faultsNow().length === 0) return;
    await this.#calls.barrier({ signal });
    const faults = faultsNow();
    if (faults.length > 0 && !(await this.#calls.isRemembered(idempotency))) throw invalidInput(faults);
  }
}

function contentOf({ name, work, maxParallel, maxFailures }: BatchSpec) {
  return { name, work, maxParallel, maxFailures };
}

function namesIn(graph: GraphRow | null, position: number): readonly string[] {
  return (graph?.dependencies[position] ?? []).map((other) => graph?.tasks[other] ?? '');
}

/** One of the specs that policies are to judge, and where it was written. */
interface Sample {
  readonly at: string;
  readonly spec: TaskSpec;
}

/** The first, and those that differ from it in what policies look at. */
function samplesIn({ base, changes }: PackedSpecs): readonly Sample[] {
  return changes.flatMap((own, index) => {
    const isAlike = own.container === undefined && own.user === undefined && own.limits === undefined;
    return isAlike && index > 0 ? [] : [{ at: `tasks[${index}]`, spec: { ...base, ...own } }];
  });
}

/** Of a template the first of its tasks, each filled in, where they may differ in what policies look at. */
function samplesOf(work: BatchWork): readonly Sample[] {
  if (work.type === 'tasks') return samplesIn(work.specs);
  const size = work.type === 'template' ? work.count : work.parameters.length;
  const { container, user } = work.template;
  const varies = JSON.stringify([container, user]).includes('{{');
  return Array.from({ length: varies ? Math.min(size, POLICY_SAMPLES) : 1 }, (_, index) => {
    const pairs = work.type === 'template' ? [] : (work.parameters[index] ?? []);
    return { at: 'template', spec: fillIn(work.template, parametersOf(index, pairs)) };
  });
}

const CURSOR_VERSION = 'g1:';

function cursorOf(position: number): string {
  return Buffer.from(CURSOR_VERSION + String(position)).toString('base64url');
}

function positionOf(cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const position = Number(text.slice(CURSOR_VERSION.length));
  if (text.startsWith(CURSOR_VERSION) && Number.isSafeInteger(position) && cursorOf(position) === cursor)
    return position;
  throw new JarvisError('invalid', 'the cursor is not one that a list has returned');
}
