/** The HTTP API of one node, as a client sees it. */

interface AttemptJson {
  readonly attempt: number;
  readonly node: string;
  readonly status: string;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly error: { readonly type: string; readonly message: string } | null;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly log_tail: string;
  /** That has its output. */
  readonly log_node: string;
  readonly stopping: { readonly reason: string; readonly since: string; readonly kill_at: string } | null;
}

export interface TaskJson {
  readonly batch_id?: string | null;
  readonly batch_index?: number | null;
  readonly dag_id?: string | null;
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly status: string;
  readonly status_reason: string | null;
  readonly attempt: number;
  readonly retry_count: number;
  readonly node: string | null;
  readonly exit_code: number | null;
  readonly result: unknown;
  readonly finished_at: string | null;
  readonly attempts: readonly AttemptJson[];
}

export interface NodeJson {
  readonly name: string;
  readonly status: string;
  readonly role: string;
  readonly active_tasks: number;
  readonly capacity: { readonly cpu_millis: number; readonly memory_bytes: number };
  readonly usage: { readonly cpu_percent: number; readonly cpu_scope: string } | null;
  readonly last_heartbeat_at: string | null;
  readonly schedulable: boolean;
  readonly pressure: readonly string[];
  readonly drain: {
    readonly deadline: string;
    readonly overdue: boolean;
    readonly tasks_left: number;
    readonly on_exit: boolean;
  } | null;
}

interface ReportJson {
  readonly name: string;
  readonly role: string;
  readonly leader: string | null;
  readonly version: string;
  readonly first_index: number;
  readonly log: { readonly bytes: number } | null;
  readonly disk_errors: readonly { readonly kind: string; readonly message: string }[];
  readonly refusals: Readonly<Record<string, number>>;
}

export interface MemberJson {
  readonly raft_id: number;
  readonly name: string;
  readonly address: string;
  readonly state: string;
  readonly active: boolean;
  readonly match_index: number | null;
  readonly lag: number | null;
  readonly last_contact_seconds: number | null;
  readonly version: string | null;
  readonly node_status: string | null;
  readonly snapshot: { readonly failures: number; readonly last_failure: string | null } | null;
  readonly report: ReportJson | null;
  readonly last_words: readonly { readonly kind: string; readonly message: string }[];
}

export interface ClusterJson {
  readonly cluster_id: string;
  readonly leader: string | null;
  readonly term: number;
  readonly commit_index: number;
  /** Absent where a node of an earlier build answers. */
  readonly cluster_version?: number;
  readonly voters: readonly string[];
  readonly learners: readonly string[];
  /** null where another node than the leader answers. */
  readonly failure_tolerance: number | null;
  readonly members: readonly MemberJson[];
}

export interface ProblemJson {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly faults?: readonly { readonly path: string; readonly message: string }[];
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** An answer that is not the one that was wanted. */
export class UnexpectedAnswer extends Error {
  override readonly name = 'UnexpectedAnswer';
  readonly status: number;

  constructor(call: string, answer: Answer) {
    super(`${call}: ${answer.status} ${answer.text.slice(0, 500)}`);
    this.status = answer.status;
  }
}

export const FINAL_STATUSES: ReadonlySet<string> = new Set([
  'COMPLETED',
  'PERMANENTLY_FAILED',
  'CANCELLED',
  'SKIPPED',
]);

/** Above what a node gives itself for an answer (30 s), so that its answer is what a test sees. */
const TIMEOUT_MS = 35_000;
const PAGE = 1000;

export interface CallOptions {
  readonly timeoutMs?: number;
  readonly key?: string;
}

export class Api {
  readonly name: string;
  readonly #base: string;
  /** Shown with every call; null: none. */
  token: string | null = null;

  constructor(name: string, address: string, scheme: 'http' | 'https' = 'http') {
    this.name = name;
    this.#base = `${scheme}://${address}`;
  }

  /** @throws where there is no answer at all */
  async call(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body: string | null,
    options: CallOptions = {},
  ): Promise<Answer> {
    const headers: Record<string, string> = {};
    if (body !== null) headers['content-type'] = 'application/json';
    if (options.key !== undefined) headers['idempotency-key'] = options.key;
    if (this.token !== null) headers['authorization'] = `Bearer ${this.token}`;
    const response = await fetch(`${this.#base}${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS),
      ...(body === null ? {} : { body }),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  /** @throws UnexpectedAnswer, and where there is no answer */
  async get<T>(path: string, options: CallOptions = {}): Promise<T> {
    return this.#expect<T>(200, 'GET', path, null, options);
  }

  /** @throws UnexpectedAnswer, and where there is no answer */
  submit(spec: object, options: CallOptions = {}): Promise<TaskJson> {
    return this.#expect<TaskJson>(201, 'POST', '/tasks', JSON.stringify(spec), options);
  }

  /** @throws UnexpectedAnswer, and where there is no answer */
  cancel(id: string, options: CallOptions = {}): Promise<TaskJson> {
    return this.#expect<TaskJson>(200, 'DELETE', `/tasks/${id}`, null, options);
  }

  task(id: string, options: CallOptions = {}): Promise<TaskJson> {
    return this.get<TaskJson>(`/tasks/${id}`, options);
  }

  cluster(options: CallOptions = {}): Promise<ClusterJson> {
    return this.get<ClusterJson>('/cluster', options);
  }

  async nodes(options: CallOptions = {}): Promise<readonly NodeJson[]> {
    return (await this.get<{ items: readonly NodeJson[] }>('/nodes', options)).items;
  }

  /** All pages. */
  async tasks(query = '', options: CallOptions = {}): Promise<readonly TaskJson[]> {
    const items: TaskJson[] = [];
    let cursor = '';
    do {
      const path = `/tasks?limit=${PAGE}${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}${query}`;
      const page = await this.get<{ items: readonly TaskJson[]; next_cursor: string | null }>(path, options);
      items.push(...page.items);
      cursor = page.next_cursor ?? '';
    } while (cursor !== '');
    return items;
  }

  async isReady(): Promise<boolean> {
    try {
      return (await this.call('GET', '/readyz', null, { timeoutMs: 5000 })).status === 200;
    } catch {
      // Nobody listens yet, or too slowly: both mean that it is not ready.
      return false;
    }
  }

  async #expect<T>(
    status: number,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body: string | null,
    options: CallOptions,
  ): Promise<T> {
    const answer = await this.call(method, path, body, options);
    if (answer.status !== status) throw new UnexpectedAnswer(`${method} ${path} on ${this.name}`, answer);
    return JSON.parse(answer.text) as T;
  }
}
