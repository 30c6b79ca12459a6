/** How the clients of a run call nodes: every call is written down, with what came of it. */
import { messageOf } from '../../src/lib/errors.ts';
import type { Random } from '../../src/lib/random.ts';
import { UnexpectedAnswer, type Api, type TaskJson } from '../support/api.ts';
import type { TestCluster } from '../support/cluster.ts';
import type { Calls, Operation, Stopwatch } from './calls.ts';

/** Short: who waits for a node that is cut off does not see what the others do meanwhile. */
export const CALL_TIMEOUT_MS = 1500;
export const RETRY_MS = 150;
/** Every task of the run has it. */
export const SUITE_LABEL = { suite: 'chaos' };
/** More than a run can fail attempts of one task: none fails for good. */
export const RETRY_POLICY = { max_attempts: 20, backoff_strategy: 'fixed', backoff_base: 1 };
const SUITE_QUERY = '&label=suite%3Dchaos';

export class Caller {
  readonly #cluster: TestCluster;
  readonly #calls: Calls;
  readonly #watch: Stopwatch;

  constructor(options: { cluster: TestCluster; calls: Calls; watch: Stopwatch }) {
    this.#cluster = options.cluster;
    this.#calls = options.calls;
    this.#watch = options.watch;
  }

  anyApi(random: Random): Api {
    const { nodes } = this.#cluster;
    const node = nodes[Math.floor(random() * nodes.length)] ?? nodes[0];
    if (node === undefined) throw new Error('a cluster has nodes');
    return node.api;
  }

  /** @returns the error, where it failed */
  async record<T>(
    operation: Pick<Operation, 'process' | 'f' | 'key' | 'in'>,
    act: () => Promise<{ result: T; out: unknown }>,
  ): Promise<T | Error> {
    const call = this.#watch.nowMs();
    try {
      const { result, out } = await act();
      this.#calls.add({ ...operation, out, call, return: this.#watch.nowMs(), ok: true });
      return result;
    } catch (error) {
      const status = error instanceof UnexpectedAnswer ? error.status : null;
      const ok = isRefused(error) ? false : null;
      const out = { error: messageOf(error), status };
      this.#calls.add({ ...operation, out, call, return: this.#watch.nowMs(), ok });
      return error instanceof Error ? error : new Error(messageOf(error));
    }
  }

  /** In the last answer to the process. */
  saw(process: string, tasks: readonly TaskJson[]): void {
    const last = this.#calls.operations.findLast((operation) => operation.process === process);
    if (last === undefined) throw new Error(`${process} has asked for nothing`);
    for (const task of tasks) this.#calls.saw(last, task);
  }

  /** All tasks of the run as the node shows them. @throws what went wrong */
  async look(api: Api, process: string, timeoutMs = CALL_TIMEOUT_MS): Promise<readonly TaskJson[]> {
    const tasks = await this.record({ process, f: 'list', key: '', in: { node: api.name } }, async () => {
      const found = await api.tasks(SUITE_QUERY, { timeoutMs });
      return { result: found, out: { count: found.length } };
    });
    if (tasks instanceof Error) throw tasks;
    this.saw(process, tasks);
    return tasks;
  }
}

/** What was refused has changed nothing; of what broke off, or found no leader in time, nobody knows. */
export function isRefused(error: unknown): error is UnexpectedAnswer {
  return error instanceof UnexpectedAnswer && error.status < 500;
}
