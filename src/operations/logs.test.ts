import { beforeEach, describe, expect, it } from 'vitest';

import type { LogsRequest } from '../generated/cluster.ts';
import type { LogChunk, ReadLogRequest } from '../generated/worker.ts';
import { JarvisError } from '../lib/errors.ts';
import { wireFromPlain } from '../spec/wire.ts';
import type { Remotes } from './node-port.ts';
import type { CallContext } from './port.ts';
import type { RoutingOperations } from './router.ts';
import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';

/** What nodes have written, and how reading it fails. */
class FakeLogs {
  readonly chunks = new Map<number, LogChunk[]>();
  /** Assignments whose log has its end. */
  readonly ended = new Set<number>();
  readonly requests: ReadLogRequest[] = [];
  /** Breaks the next stream after so many chunks. */
  breakAfter: number | null = null;
  /** Only the node that is asked can read its own. */
  remotesDown = false;
  /** What a node says that has them no more. */
  gone: string | null = null;
  /** Called, once, where a follower would wait for more; its stream then breaks. */
  onWait: (() => void) | null = null;
  wake: () => void = () => undefined;

  write(assignment: number, text: string, atMs = 1, stream = 'stdout'): void {
    const chunks = this.chunks.get(assignment) ?? [];
    chunks.push({ stream, at_ms: atMs, data: Buffer.from(text) });
    this.chunks.set(assignment, chunks);
    this.wake();
  }

  end(assignment: number): void {
    this.ended.add(assignment);
    this.wake();
  }

  async *read(request: ReadLogRequest, signal: AbortSignal, remote = false): AsyncGenerator<LogChunk, void> {
    this.requests.push(request);
    const { assignment, follow, stream, since_ms: sinceMs, tail } = request;
    // A line is a chunk here.
    const there = this.chunks.get(assignment)?.length ?? 0;
    for (let at = tail === undefined ? 0 : Math.max(0, there - tail), sent = 0; ;) {
      if (remote && this.remotesDown) throw new JarvisError('unavailable', 'down');
      const chunk = this.chunks.get(assignment)?.[at];
      if (chunk !== undefined) {
        at += 1;
        if (sinceMs !== undefined && chunk.at_ms < sinceMs) continue;
        if (stream !== '' && chunk.stream !== stream) continue;
        if (this.breakAfter !== null && sent >= this.breakAfter) {
          this.breakAfter = null;
          throw new JarvisError('unavailable', 'broken');
        }
        sent += 1;
        yield chunk;
        continue;
      }
      if (!follow && this.gone !== null) throw new JarvisError('logs_unavailable', this.gone);
      if (!follow || this.ended.has(assignment) || signal.aborted) return;
      if (this.onWait !== null) {
        const onWait = this.onWait;
        this.onWait = null;
        onWait();
        throw new JarvisError('unavailable', 'broken while waiting');
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.wake = resolve;
      signal.addEventListener('abort', () => resolve());
      await promise;
    }
  }
}

let cluster: TestCluster;
let logs: FakeLogs;
let nodes: Map<string, RoutingOperations>;
const context = testContext();

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  logs = new FakeLogs();
  nodes = new Map();
  const remotes: Remotes = {
    ...inProcessRemotes(nodes),
    readLog: (_address, request, { signal }) => logs.read(request, signal, true),
  };
  for (const name of ['n1', 'n2']) {
    cluster.register(name, `${name}:7101`);
    nodes.set(`${name}:7101`, testOperations(cluster, name, { remotes, localLogs: logs }));
  }
});

async function submit(plain: object = {}): Promise<string> {
  const tasks = [wireFromPlain({ command: ['true'], ...plain })];
  const answer = await node().submitTasks({ tasks, idempotency_key: '' }, context);
  return answer.tasks[0]?.id ?? '';
}

function node(name = 'n1'): RoutingOperations {
  return nodes.get(`${name}:7101`) as RoutingOperations;
}

function request(id: string, changes: Partial<LogsRequest> = {}): LogsRequest {
  return { id, follow: false, tail: undefined, stream: '', since: undefined, attempt: 0, ...changes };
}

/** Everything that is read; `onText` is told of each chunk as it comes. */
async function readAll(
  wanted: LogsRequest,
  options: { through?: string; onText?: (text: string) => void; context?: CallContext } = {},
): Promise<string> {
  let all = '';
  for await (const chunk of node(options.through).readLogs(wanted, options.context ?? context)) {
    const text = Buffer.from(chunk.data).toString();
    all += text;
    options.onText?.(text);
  }
  return all;
}

/** A task that runs on n2. */
async function running(plain: object = {}): Promise<{ id: string; assignment: number }> {
  const id = await submit(plain);
  const assignment = cluster.assign(id, 'n2');
  cluster.report(id, 'RUNNING');
  return { id, assignment };
}

describe('reading the output of a task', () => {
  it.each(['n1', 'n2'])('finds the node that has it, through %s', async (through) => {
    const { id, assignment } = await running();
    logs.write(assignment, 'a', 1);
    logs.write(assignment, 'b', 2, 'stderr');
    expect(await readAll(request(id), { through })).toBe('ab');
    expect(await readAll(request(id.slice(0, 9), { stream: 'stderr' }), { through })).toBe('b');
    await readAll(request(id, { tail: 5, since: '2026-11-24T00:00:00Z', attempt: 1 }), { through });
    expect(logs.requests.at(-1)).toMatchObject({
      task_id: id,
      assignment,
      tail: 5,
      since_ms: Date.UTC(2026, 10, 24),
    });
  });

  it('is empty before anything ran', async () => {
    const id = await submit();
    expect(await readAll(request(id))).toBe('');
    cluster.assign(id, 'n2');
    expect(await readAll(request(id))).toBe('');
  });

  it('refuses what cannot be', async () => {
    const { id } = await running();
    await expect(readAll(request(id, { stream: 'stdin', since: 'yesterday' }))).rejects.toMatchObject({
      code: 'invalid',
      faults: [{ path: 'stream' }, { path: 'since' }],
    });
    await expect(readAll(request(id, { attempt: 2 }))).rejects.toMatchObject({ code: 'not_found' });
    await expect(readAll(request('task-zzzzzz'))).rejects.toMatchObject({ code: 'not_found' });
  });

  it('says where it is when that node has gone, and shows what the cluster keeps', async () => {
    const { id } = await running({ retry_policy: { max_attempts: 1 } });
    cluster.report(id, 'FAILED', { exitCode: 1, logTail: 'the end' });
    cluster.execute({ type: 'nodeOffline', node: 'n2', session: cluster.session('n2'), term: cluster.term });
    logs.remotesDown = true;
    let shown = '';
    await expect(readAll(request(id), { onText: (text) => (shown += text) })).rejects.toMatchObject({
      code: 'logs_unavailable',
      message: expect.stringMatching(/node n2 .*OFFLINE.*last heard of at 2026.*last 7 bytes/),
    });
    expect(shown).toBe('the end');
  });
});

describe('a log that its node has no more', () => {
  beforeEach(() => {
    logs.gone = 'which removed it at 2026-11-27T00:00:00.000Z: logs are kept for 7d';
  });

  it.each(['n1', 'n2'])('is said to be gone, with what the cluster keeps, through %s', async (through) => {
    const { id } = await running({ retry_policy: { max_attempts: 1 } });
    cluster.report(id, 'FAILED', { exitCode: 1, logTail: 'the end' });
    let shown = '';
    await expect(readAll(request(id), { through, onText: (text) => (shown += text) })).rejects.toMatchObject({
      code: 'logs_unavailable',
      message: expect.stringMatching(
        /attempt 1 of task-.* was on node n2, which removed it at .* 7d; .*last 7 bytes/,
      ),
    });
    expect(shown).toBe('the end');
    expect(logs.requests.at(-1)?.ended_ms).toBeGreaterThan(0);
  });

  it('ends its follower with the same, and with the end as the cluster knows it by then', async () => {
    const { id, assignment } = await running({ retry_policy: { max_attempts: 1 } });
    let shown = '';
    const following = readAll(request(id, { follow: true }), { onText: (text) => (shown += text) });
    logs.end(assignment);
    cluster.report(id, 'FAILED', { exitCode: 1, logTail: 'the end' });
    await expect(following).rejects.toMatchObject({ code: 'logs_unavailable' });
    expect(shown).toBe('the end');
  });
});

describe('a log that was handed over', () => {
  it('is read from its holder, and where that has it not, from where it was', async () => {
    const { id, assignment } = await running({ retry_policy: { max_attempts: 1 } });
    logs.write(assignment, 'all of it');
    cluster.report(id, 'FAILED', { exitCode: 1, logTail: 'the end' });
    cluster.execute({ type: 'logsHandedOver', node: 'n2', incarnation: 'n2', holder: 'n1' });
    expect(await node('n2').getTask({ id }, context)).toMatchObject({
      attempts: [{ node: 'n2', log_node: 'n1' }],
    });
    // n2 cannot be reached: it comes from n1, which is asked.
    logs.remotesDown = true;
    expect(await readAll(request(id))).toBe('all of it');
    logs.remotesDown = false;
    logs.gone = 'which has no files of it';
    logs.chunks.clear();
    await expect(readAll(request(id))).rejects.toMatchObject({
      code: 'logs_unavailable',
      message: expect.stringMatching(
        /was on node n1, which has no files of it; node n2 has handed it over; shown/,
      ),
    });
    expect(logs.requests.slice(-2).map(({ task_id: taskId }) => taskId)).toEqual([id, id]);
  });
});

describe('following', () => {
  it('waits for the attempt to begin, and ends with the task', async () => {
    const id = await submit();
    const text = readAll(request(id, { follow: true }));
    setImmediate(() => {
      const assignment = cluster.assign(id, 'n2');
      logs.write(assignment, 'a');
      cluster.report(id, 'RUNNING');
      setImmediate(() => {
        logs.write(assignment, 'b', 2);
        logs.end(assignment);
        cluster.report(id, 'COMPLETED');
      });
    });
    expect(await text).toBe('ab');
  });

  it('goes on with the next attempt, also through another node and another leader', async () => {
    const { id, assignment } = await running();
    logs.write(assignment, '1');
    const onText = (text: string): void => {
      if (text === '1') {
        logs.end(assignment);
        cluster.report(id, 'FAILED', { exitCode: 1 });
        cluster.lead('n2');
        cluster.nowMs += 60_000;
        cluster.execute({ type: 'retryDue', taskIds: [id], term: cluster.term });
        const next = cluster.assign(id, 'n1');
        cluster.report(id, 'RUNNING');
        logs.write(next, '2', 9);
      } else {
        logs.end(cluster.state.tasks.get(id)?.attempts.at(-1)?.assignment ?? 0);
        cluster.report(id, 'COMPLETED');
      }
    };
    expect(await readAll(request(id, { follow: true }), { onText })).toBe('12');
  });

  it('of one attempt ends with it', async () => {
    const { id, assignment } = await running();
    logs.write(assignment, '1');
    const onText = (): void => {
      logs.end(assignment);
      cluster.report(id, 'FAILED', { exitCode: 1 });
    };
    expect(await readAll(request(id, { follow: true, attempt: 1 }), { onText })).toBe('1');
  });

  it('resumes a broken stream without losing or repeating anything', async () => {
    const { id, assignment } = await running();
    for (const [text, atMs] of [
      ['a', 5],
      ['b', 5],
      ['c', 5],
      ['d', 6],
    ] as const)
      logs.write(assignment, text, atMs);
    logs.breakAfter = 2;
    const onText = (text: string): void => {
      if (text !== 'd') return;
      logs.end(assignment);
      cluster.report(id, 'COMPLETED');
    };
    expect(await readAll(request(id, { follow: true, tail: 100 }), { onText })).toBe('abcd');
    expect(logs.requests.at(-2)).toMatchObject({ tail: undefined, since_ms: 5, follow: true });
  });

  it.each([0, 1])('shows all of an attempt that begins later, with a tail of %i', async (tail) => {
    const id = await submit();
    const text = readAll(request(id, { follow: true, tail }));
    setImmediate(() => {
      const assignment = cluster.assign(id, 'n2');
      logs.write(assignment, 'x');
      logs.write(assignment, 'y');
      cluster.report(id, 'RUNNING');
      logs.end(assignment);
      setImmediate(() => cluster.report(id, 'COMPLETED'));
    });
    expect(await text).toBe('xy');
  });

  it.each([
    [0, ['old', 'last'], 'newer'],
    [0, [], 'newer'],
    [1, [], 'newer'],
    [1, ['old', 'last'], 'lastnewer'],
  ])('loses nothing where a stream with a tail of %i after %j breaks', async (tail, before, expected) => {
    const { id, assignment } = await running();
    for (const text of before) logs.write(assignment, text, 5);
    logs.onWait = () => {
      logs.write(assignment, 'new', 5);
      logs.write(assignment, 'er', 6);
      logs.end(assignment);
      cluster.report(id, 'COMPLETED');
    };
    const text = await readAll(request(id, { follow: true, tail }));
    expect(text.endsWith(expected)).toBe(true);
    expect(text).not.toContain('old');
  });

  it('leaves an attempt that died with its node, and goes on with the next', async () => {
    const { id, assignment } = await running();
    logs.write(assignment, '1');
    const onText = (text: string): void => {
      if (text === '1') {
        logs.remotesDown = true;
        logs.wake();
        cluster.execute({
          type: 'nodeOffline',
          node: 'n2',
          session: cluster.session('n2'),
          term: cluster.term,
        });
        const next = cluster.assign(id, 'n1');
        cluster.report(id, 'RUNNING');
        logs.write(next, '2', 9);
        logs.end(next);
      } else {
        cluster.report(id, 'COMPLETED');
      }
    };
    expect(await readAll(request(id, { follow: true }), { onText })).toBe('12');
  });

  it('ends with its caller', async () => {
    const { id, assignment } = await running();
    logs.write(assignment, '1');
    const controller = new AbortController();
    const own = testContext({ signal: controller.signal });
    const onText = (): void => {
      setImmediate(() => controller.abort());
    };
    await expect(readAll(request(id, { follow: true }), { onText, context: own })).rejects.toMatchObject({
      code: 'timeout',
    });
  });
});
