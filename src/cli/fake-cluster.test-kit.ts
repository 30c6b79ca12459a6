/**
 * A cluster for tests of the client: the real gRPC service on loopback, with tasks and logs that the test scripts.
 * One can be stopped (its connections break) and started again at the same port.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';

import {
  AlertTest,
  AutoscalerStatus,
  ListScalingDecisionsResponse,
  ListAlertsResponse,
  Attempt,
  Batch,
  ClusterService,
  ClusterStatus,
  Dag,
  Explanation,
  JoinToken,
  ListTasksResponse,
  NodeUsage,
  SubmitBatchResponse,
  Task,
  TaskPlan,
  Token,
} from '../generated/cluster.ts';
import type {
  ClusterServer,
  CreateTokenRequest,
  ClusterSettings,
  CreateJoinTokenRequest,
  Drain,
  EventsPiece,
  EventsRequest,
  JoinTokenRequest,
  LabelNodeRequest,
  LogsRequest,
  LogLevel,
  LogLevelRequest,
  Node,
  SetLogLevelRequest,
  NodeChange,
  NodeRequest,
  NodeUsageRequest,
  RemoveNodeRequest,
  TaskRequest,
  TaskUsageRequest,
  UpdateTaskRequest,
} from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import { JarvisError } from '../lib/errors.ts';
import type { Freshness } from '../rpc/freshness.ts';
import { toStatus } from '../rpc/errors.ts';
import { metadataOf } from '../rpc/freshness.ts';
import { defaultSettings, showSettings } from '../spec/settings/settings.ts';

export interface Call {
  readonly method: string;
  readonly request: unknown;
}

interface Log {
  readonly chunks: LogChunk[];
  ended: boolean;
}

/** What is looked at of a call. */
type Asked = Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'request' | 'sendMetadata'>;
type Handler = (request: never) => object;

export class FakeCluster {
  /** Every request, in order. */
  readonly calls: Call[] = [];
  /** The header of each call that is no stream and has one. */
  readonly authorizations: string[] = [];
  readonly tasks = new Map<string, Task>();
  nodes: Node[] = [];
  /** By name of the node; one that is not in it has measured nothing. */
  readonly usage = new Map<string, NodeUsage>();
  readonly logLevels = new Map<string, LogLevel>();
  /** What a drained node shows, from the answer to the drain on; the last of them stays. */
  drains: Drain[] = [];
  /** Of whoever changes a node. */
  warnings: readonly string[] = [];
  /** Of a node that is removed. */
  removed = { lost_attempts: 0, member: undefined as string | undefined };
  tokens: Token[] = [];
  /** Of whatever token is made. */
  tokenText = `jarvis_abcdefghjkmn_${'s'.repeat(43)}`;
  /** What a saved snapshot consists of. */
  snapshot: readonly Buffer[] = [];
  /** What a stream of events from that position on consists of; it breaks off after them unless they say that they are all. */
  eventsSince: (request: EventsRequest) => readonly EventsPiece[] = () => [];
  status: ClusterStatus = ClusterStatus.create({ cluster_id: 'c1', leader: 'n1', term: 3 });
  settings: ClusterSettings = {
    heartbeat: { interval: 2, warning: 10, timeout: 30 },
    membership: { voters: 3, learners: 20, voter_grace: 300 },
    blocks: JSON.stringify(showSettings(defaultSettings(3))),
  };
  joinTokens: readonly JoinToken[] = [JoinToken.create({ id: 'join-a', uses: 1, uses_left: 1 })];
  joinToken = '';
  alerts = ListAlertsResponse.create();
  autoscaler = AutoscalerStatus.create();
  scalingDecisions = ListScalingDecisionsResponse.create();
  alertTest = AlertTest.create({ id: 'test-a', webhook: 1, target: 'https://a.example/…', delivered: true });
  /** Of whatever is asked for as it may be old. */
  freshness: Freshness = { index: 41, ageMs: 1250 };
  /** Of each task, but for its id. */
  explanation = Explanation.create({ status: 'PENDING' });
  plan = TaskPlan.create({ index: 7 });
  /** What it answers about batches and DAGs. */
  groups = {
    submitted: SubmitBatchResponse.create({ batch_id: 'batch-a', tasks: [{ id: 'task-a', name: 'a' }] }),
    batch: (): Batch => Batch.create({ id: 'batch-a', name: 'a', status: 'COMPLETED' }),
    dag: (): Dag => Dag.create({ id: 'dag-a', name: 'etl', status: 'COMPLETED' }),
  };
  /** Called with each request before it is answered; what it throws is the answer. */
  before: (call: Call) => void = () => undefined;
  /** Called with each submitted task; for instance to let it run. */
  onSubmit: (task: Task) => void = () => undefined;
  readonly #logs = new Map<string, Log>();
  readonly #byKey = new Map<string, object>();
  readonly #listeners = new Set<() => void>();
  #server: Server | null = null;
  #port = 0;

  static async start(): Promise<FakeCluster> {
    const cluster = new FakeCluster();
    await cluster.start();
    return cluster;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Listens, where it listened before if it did. */
  async start(): Promise<void> {
    const server = new Server();
    server.addService(ClusterService, this.#service());
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.#port}`, ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
    this.#server = server;
  }

  /** Breaks every connection, as a killed process does. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = null;
  }

  setTask(task: Task): void {
    this.tasks.set(task.id, task);
    this.#changed();
  }

  update(id: string, change: Partial<Task>): void {
    const task = this.tasks.get(id);
    if (task === undefined) throw new Error(`the test knows no task ${id}`);
    this.setTask({ ...task, ...change });
  }

  log(id: string, attempt: number, stream: 'stdout' | 'stderr', data: string | Uint8Array, atMs = 1): void {
    this.#log(id, attempt).chunks.push({ stream, at_ms: atMs, data: Buffer.from(data) });
    this.#changed();
  }

  endLog(id: string, attempt: number): void {
    this.#log(id, attempt).ended = true;
    this.#changed();
  }

  /** Requests of one method. */
  requests<T>(method: string): T[] {
    return this.calls.filter((call) => call.method === method).map((call) => call.request as T);
  }

  /** Resolves once `condition` holds, which is looked at after every request and change. */
  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the condition did not come to hold')), 15_000);
      const listener = (): void => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#listeners.delete(listener);
        resolve();
      };
      this.#listeners.add(listener);
    });
  }

  #log(id: string, attempt: number): Log {
    const key = `${id}/${attempt}`;
    const log = this.#logs.get(key) ?? { chunks: [], ended: false };
    this.#logs.set(key, log);
    return log;
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  #receive(method: string, request: unknown): void {
    const call = { method, request };
    this.calls.push(call);
    this.#changed();
    this.before(call);
  }

  #find(prefix: string): Task {
    const found = [...this.tasks.values()].filter((task) => task.id.startsWith(prefix));
    const [first] = found;
    if (first === undefined) throw new JarvisError('not_found', `no task ${prefix}`);
    if (found.length > 1) throw new JarvisError('ambiguous', `${prefix} is the beginning of several tasks`);
    return first;
  }

  #logLevelOf(name: string): LogLevel {
    const { name: node } = this.#node(name);
    return this.logLevels.get(node) ?? { node, level: 'info', configured: 'info', until: undefined };
  }

  #node(name: string): Node {
    const node = this.nodes.find((one) => one.name === name);
    if (node === undefined) throw new JarvisError('not_found', `there is no node "${name}"`);
    return node;
  }

  #changeNode(name: string, changes: Partial<Node>): NodeChange & { readonly node: Node } {
    const node = { ...this.#node(name), ...changes };
    this.nodes = this.nodes.map((one) => (one.name === name ? node : one));
    return { node, warnings: [...this.warnings] };
  }

  #service(): ClusterServer {
    const unary =
      <A>(method: string, answer: Handler) =>
      (call: Asked, callback: sendUnaryData<A>): void => {
        const { request, metadata } = call;
        this.authorizations.push(...metadata.get('authorization').map(String));
        if ((request as { consistency?: string }).consistency === 'stale')
          call.sendMetadata(metadataOf(this.freshness));
        try {
          this.#receive(method, request);
          callback(null, answer(request as never) as A);
        } catch (error) {
          callback(toStatus(error));
        }
      };
    return {
      submitTasks: unary('submitTasks', (request: { tasks: Task[]; idempotency_key: string }) =>
        this.#once(request.idempotency_key, () => this.#submit(request.tasks)),
      ),
      // The command line sends what it has in one request.
      streamSubmits: (call) => call.end(),
      getTask: unary('getTask', ({ id }: TaskRequest) => this.#find(id)),
      explainTask: unary('explainTask', ({ id }: TaskRequest) => ({
        ...this.explanation,
        id: this.#find(id).id,
      })),
      planTasks: unary('planTasks', () => this.plan),
      listTasks: unary('listTasks', (request: { limit: number; cursor: string }) => this.#list(request)),
      cancelTask: unary('cancelTask', ({ id }: TaskRequest) => {
        this.update(this.#find(id).id, { status: 'CANCELLED' });
        return this.#find(id);
      }),
      retryTask: unary('retryTask', ({ id }: TaskRequest) => {
        this.update(this.#find(id).id, { status: 'PENDING' });
        return this.#find(id);
      }),
      updateTask: unary('updateTask', ({ id, priority, labels }: UpdateTaskRequest) => {
        const found = this.#find(id);
        this.update(found.id, {
          priority: priority ?? found.priority,
          labels: { ...found.labels, ...labels },
        });
        return this.#find(id);
      }),
      watchTask: (call) => this.#watch(call),
      readLogs: (call) => this.#readLogs(call),
      watchEvents: (call) => this.#events(call),
      listNodes: unary('listNodes', () => ({ items: this.nodes, next_cursor: '' })),
      getNode: unary('getNode', ({ name }: NodeRequest) => {
        const asked = this.#node(name);
        const drain = asked.drain === undefined ? undefined : (this.drains.shift() ?? asked.drain);
        const status = drain?.finished_at === undefined ? asked.status : 'DRAINED';
        return this.#changeNode(name, { drain, status }).node;
      }),
      getLogLevel: unary('getLogLevel', ({ name }: LogLevelRequest) => this.#logLevelOf(name)),
      setLogLevel: unary('setLogLevel', ({ name, level, for: period }: SetLogLevelRequest) => {
        const until = period === '0s' ? undefined : '2026-11-28T01:00:00.000Z';
        this.logLevels.set(name, { ...this.#logLevelOf(name), level, until });
        return this.#logLevelOf(name);
      }),
      getNodeUsage: unary('getNodeUsage', ({ name }: NodeUsageRequest) => {
        return this.usage.get(this.#node(name).name) ?? NodeUsage.create({ node: name });
      }),
      getTaskUsage: unary('getTaskUsage', ({ id }: TaskUsageRequest) => {
        const { id: taskId, status, node = '' } = this.#find(id);
        const found = this.usage.get(node)?.attempts.find((one) => one.task_id === taskId);
        if (found === undefined) throw new JarvisError('conflict', `${taskId} is ${status}`);
        return { task_id: taskId, node, interval: 10, usage: found };
      }),
      cordonNode: unary('cordonNode', ({ name }: NodeRequest) =>
        this.#changeNode(name, { schedulable: false }),
      ),
      drainNode: unary('drainNode', ({ name }: NodeRequest) => {
        const drain = this.drains.shift();
        return this.#changeNode(name, { status: 'DRAINING', schedulable: false, drain });
      }),
      undrainNode: unary('undrainNode', ({ name }: NodeRequest) =>
        this.#changeNode(name, { status: 'AVAILABLE', schedulable: true, drain: undefined }),
      ),
      labelNode: unary('labelNode', ({ name, labels }: LabelNodeRequest) =>
        this.#changeNode(name, { labels }),
      ),
      removeNode: unary('removeNode', ({ name }: RemoveNodeRequest) => {
        const gone = this.#node(name);
        this.nodes = this.nodes.filter((node) => node !== gone);
        return { name, ...this.removed };
      }),
      getCluster: unary('getCluster', () => this.status),
      changeMember: unary('changeMember', () => this.status),
      transferLeadership: unary('transferLeadership', () => this.status),
      saveSnapshot: (call) => {
        for (const data of this.snapshot) call.write({ data });
        call.end();
      },
      getConfig: unary('getConfig', () => this.settings),
      setConfig: unary('setConfig', () => this.settings),
      createJoinToken: unary('createJoinToken', ({ name }: CreateJoinTokenRequest) => ({
        info: JoinToken.create({
          id: 'join-a',
          name,
          uses: 1,
          uses_left: 1,
          expires_at: '2026-12-01T00:00:00Z',
        }),
        token: this.joinToken,
      })),
      listJoinTokens: unary('listJoinTokens', () => ({ items: this.joinTokens })),
      getJoinToken: unary('getJoinToken', ({ id }: JoinTokenRequest) => JoinToken.create({ id })),
      listAlerts: unary('listAlerts', () => this.alerts),
      testAlert: unary('testAlert', () => this.alertTest),
      getAutoscaler: unary('getAutoscaler', () => this.autoscaler),
      listScalingDecisions: unary('listScalingDecisions', () => this.scalingDecisions),
      deleteJoinToken: unary('deleteJoinToken', ({ id }: JoinTokenRequest) => JoinToken.create({ id })),
      submitBatch: unary('submitBatch', () => this.groups.submitted),
      getBatch: unary('getBatch', () => this.groups.batch()),
      listBatches: unary('listBatches', () => ({ items: [this.groups.batch()], next_cursor: '' })),
      cancelBatch: unary('cancelBatch', () => this.groups.batch()),
      retryBatch: unary('retryBatch', () => this.groups.batch()),
      submitDag: unary('submitDag', () => this.groups.dag()),
      getDag: unary('getDag', () => this.groups.dag()),
      listDags: unary('listDags', () => ({ items: [this.groups.dag()], next_cursor: '' })),
      cancelDag: unary('cancelDag', () => this.groups.dag()),
      retryDag: unary('retryDag', () => this.groups.dag()),
      createToken: unary('createToken', ({ role, name, expires_in: expiry }: CreateTokenRequest) => {
        const expires_at = expiry === undefined ? undefined : '2026-12-31T00:00:00.000Z';
        const token = Token.create({ id: 'abcdefghjkmn', name, role, expires_at });
        return { token, text: this.tokenText };
      }),
      listTokens: unary('listTokens', () => ({ items: this.tokens, next_cursor: '' })),
      revokeToken: unary('revokeToken', ({ id }: { readonly id: string }) => {
        const token = this.tokens.find((one) => one.id.startsWith(id));
        if (token === undefined) throw new JarvisError('not_found', `there is no token "${id}"`);
        return { ...token, revoked_at: '2026-11-27T00:00:00.000Z' };
      }),
      getVersion: unary('getVersion', () => ({ version: '9.9.9', name: 'n1', node_version: 'v24.0.0' })),
    };
  }

  #once(key: string, make: () => object): object {
    const answer = this.#byKey.get(key) ?? make();
    this.#byKey.set(key, answer);
    return answer;
  }

  #submit(specs: readonly Task[]): object {
    const tasks = specs.map((spec) => {
      const task = fakeTask({
        id: `task-${String(this.tasks.size + 1).padStart(13, 'a')}`,
        name: spec.name,
        image: spec.image,
        command: spec.command,
        status: 'PENDING',
      });
      this.setTask(task);
      return task;
    });
    for (const task of tasks) this.onSubmit(task);
    return { tasks };
  }

  #list({ limit, cursor }: { limit: number; cursor: string }): object {
    const from = Number(cursor);
    const all = [...this.tasks.values()];
    const next = from + limit < all.length ? String(from + limit) : '';
    return ListTasksResponse.create({ items: all.slice(from, from + limit), next_cursor: next });
  }

  #events(call: ServerWritableStream<EventsRequest, EventsPiece>): void {
    try {
      this.#receive('watchEvents', call.request);
      const pieces = this.eventsSince(call.request);
      for (const piece of pieces) call.write(piece);
      if (pieces.at(-1)?.complete === true) call.end();
      else call.emit('error', toStatus(new JarvisError('unavailable', 'the stream breaks off')));
    } catch (error) {
      call.emit('error', toStatus(error));
    }
  }

  #watch(call: ServerWritableStream<TaskRequest, Task>): void {
    this.#stream(call, 'watchTask', () => {
      const { id } = this.#find(call.request.id);
      let last: Task | undefined;
      return () => {
        const task = this.tasks.get(id);
        if (task !== last && task !== undefined) call.write(task);
        last = task;
        return task !== undefined && ['COMPLETED', 'PERMANENTLY_FAILED', 'CANCELLED'].includes(task.status);
      };
    });
  }

  #readLogs(call: ServerWritableStream<LogsRequest, LogChunk>): void {
    this.#stream(call, 'readLogs', () => {
      const { id, attempt, follow, stream, tail, since } = call.request;
      const log = this.#log(this.#find(id).id, attempt);
      const sinceMs = since === undefined ? 0 : Date.parse(since);
      const firstChunk = tail === undefined ? 0 : Math.max(0, log.chunks.length - tail);
      let sent = firstChunk;
      return () => {
        for (; sent < log.chunks.length; sent += 1) {
          const chunk = log.chunks[sent];
          if (chunk === undefined || chunk.at_ms < sinceMs || (stream !== '' && chunk.stream !== stream))
            continue;
          call.write(chunk);
        }
        return log.ended || !follow;
      };
    });
  }

  /** Runs what `open` returns now and after each change, until it says that the stream is over. */
  #stream<Q, A>(call: ServerWritableStream<Q, A>, method: string, open: () => () => boolean): void {
    let pump: () => boolean;
    try {
      this.#receive(method, call.request);
      pump = open();
    } catch (error) {
      call.emit('error', toStatus(error));
      return;
    }
    const listener = (): void => {
      if (!pump()) return;
      this.#listeners.delete(listener);
      call.end();
    };
    this.#listeners.add(listener);
    call.on('cancelled', () => this.#listeners.delete(listener));
    listener();
  }
}

/** A task with every field, so that tests name only what they are about. */
export function fakeTask(fields: Partial<Task>): Task {
  return {
    ...Task.create({
      id: 'task-aaaaaaaaaaaaa',
      name: 'job',
      command: ['true'],
      resources: { cpu: '100m', memory: '64Mi' },
      priority: 'normal',
      stop_grace: 10,
      retry_policy: { max_attempts: 1, backoff_strategy: 'exponential' },
      created_at: '2026-11-24T00:00:00.000Z',
    }),
    ...fields,
  };
}

export function fakeAttempt(fields: Partial<Attempt>): Attempt {
  return {
    ...Attempt.create({ attempt: 1, assignment: fields.attempt ?? 1, node: 'n1' }),
    started_at: '2026-11-24T00:00:01.000Z',
    ...fields,
  };
}
