import { describe, expect, it } from 'vitest';

import { NO_LIMITS } from '../../model/earlier-rows.ts';
import { DEFAULT_POLICY } from '../../model/policy.ts';
import { isAttemptOver } from '../../model/phases.ts';
import type { TaskSpec } from '../../model/task.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import type { Applied } from '../../scheduler/ports.ts';
import { registration } from '../worker/testing/values.ts';
import { DesiredState } from './desired-state.ts';
import { registrationFromWire } from './wire.ts';

/** A cluster with the nodes `w` and `v`, and what the worker of `w` is told. */
class Bench {
  readonly cluster = new MemoryCluster(() => 1_700_000_000_000);
  readonly session: number;
  readonly desired: DesiredState;

  constructor() {
    this.cluster.lead({ name: 'n1', address: '' });
    const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
    this.cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 2, config, term: this.cluster.term });
    for (const name of ['w', 'v']) {
      this.cluster.execute(registrationFromWire(registration(name, 's')));
      this.cluster.execute({ type: 'reconcileNode', node: name, session: this.sessionOf(name), known: [] });
    }
    this.session = this.sessionOf('w');
    this.desired = new DesiredState({ node: 'w', session: this.session, term: 7 });
    this.cluster.replica('n1').onApplied((applied) => this.follow(applied));
  }

  sessionOf(node: string): number {
    return this.cluster.state.nodes.get(node)?.session ?? 0;
  }

  follow({ command, changes }: Applied): void {
    if (command.type === 'reportAttempts') {
      for (const { taskId, assignment, status } of command.reports)
        if (isAttemptOver(status)) this.desired.ended(taskId, assignment);
    }
    for (const change of changes) if (change.table === 'task') this.desired.mark(change);
  }

  submit(envBytes = 1, changes: Partial<TaskSpec> = {}): string {
    const known = new Set(this.cluster.state.tasks.keys());
    const retryPolicy = {
      maxAttempts: 1,
      backoffStrategy: 'fixed' as const,
      backoffBase: 1,
      maxBackoff: 1,
      retryableErrors: [],
      nonRetryableErrors: [],
    };
    const spec = {
      name: 't',
      container: null,
      user: null,
      command: ['noop'],
      env: [['A', 'x'.repeat(envBytes)]] as const,
      workingDir: null,
      resources: { cpuMillis: 100, memoryBytes: 1024 },
      limits: NO_LIMITS,
      priority: 'normal' as const,
      timeoutMs: null,
      stopGraceMs: 1234,
      retryPolicy,
      onNodeLoss: 'reschedule' as const,
      labels: [],
      ...changes,
    };
    this.cluster.execute({ type: 'submitTasks', tasks: [spec], idempotency: null });
    return [...this.cluster.state.tasks.keys()].find((id) => !known.has(id)) ?? '';
  }

  assign(taskId: string, node = 'w'): void {
    const session = this.sessionOf(node);
    const assignments = [{ taskId, node, session }];
    this.cluster.execute({
      type: 'assign',
      term: this.cluster.term,
      planIndex: this.cluster.index,
      assignments,
    });
  }

  report(taskId: string, status: 'STARTING' | 'RUNNING' | 'COMPLETED' | 'LOST'): void {
    const assignment = this.cluster.state.tasks.get(taskId)?.attempts.at(-1)?.assignment ?? 0;
    const report = {
      taskId,
      assignment,
      status,
      atMs: 1,
      startedAtMs: null,
      exitCode: null,
      signal: null,
      error: null,
      result: null,
      logTail: '',
      note: '',
      imageDigest: null,
    };
    this.cluster.execute({ type: 'reportAttempts', node: 'w', session: this.session, reports: [report] });
  }

  told(): { run: string[]; stop: string[] } {
    const { run, stop } = this.desired.takePart(this.cluster.state);
    return { run: run.map((one) => one.task_id), stop: stop.map((one) => one.task_id) };
  }
}

const nothing = { run: [], stop: [] };

function drain(bench: Bench, graceMs: number | null = null): void {
  const command = { node: 'w', withinMs: 0, graceMs, startId: null, idempotency: null };
  bench.cluster.execute({ type: 'drainNode', ...command });
  bench.desired.markAll(bench.cluster.state);
}

function overdue(bench: Bench): void {
  const index = bench.cluster.state.nodes.get('w')?.drain?.index ?? 0;
  bench.cluster.execute({ type: 'drainOverdue', term: bench.cluster.term, node: 'w', drain: index });
}

describe('DesiredState', () => {
  it('tells a start once, with the term of the leader and the number of the assignment', () => {
    const bench = new Bench();
    const id = bench.submit();
    expect(bench.told()).toEqual(nothing);
    bench.assign(id);
    expect(bench.desired.takePart(bench.cluster.state).run).toMatchObject([
      {
        task_id: id,
        assignment: 1,
        term: 7,
        session: bench.session,
        attempt: 1,
        fencing_token: String(2n ** 41n + 1n),
        driver: 'noop',
      },
    ]);
    bench.desired.markAll(bench.cluster.state);
    expect(bench.told()).toEqual(nothing);
  });

  it('tells the image and its limits, and that they are for the engine', () => {
    const bench = new Bench();
    const container = {
      image: 'python',
      user: null,
      mounts: [{ source: '/a', target: '/b', readOnly: true }],
      network: 'host' as const,
      pullPolicy: 'never' as const,
    };
    const policy = { ...DEFAULT_POLICY, mounts: [{ source: '/', readOnly: false }], hostNetwork: true };
    bench.cluster.execute({
      ...registrationFromWire(registration('w', 's')),
      drivers: ['noop', 'docker'],
      policy,
    });
    const limits = { cpuMillis: 5, memoryBytes: null, pids: 7 };
    bench.assign(bench.submit(1, { container, limits, labels: [['team', 'data']] }));
    expect(bench.desired.takePart(bench.cluster.state).run).toEqual([
      expect.objectContaining({
        driver: 'docker',
        container: {
          image: 'python',
          user: undefined,
          mounts: [{ source: '/a', target: '/b', read_only: true }],
          network: 'host',
          pull_policy: 'never',
          labels: { team: 'data' },
        },
        limits: { cpu_millis: 5, memory_bytes: undefined, pids: 7 },
      }),
    ]);
  });

  it('tells of a task that waits for its node that it holds no lease', () => {
    const bench = new Bench();
    const [leased, waits] = [bench.submit(), bench.submit(1, { onNodeLoss: 'wait' })];
    bench.assign(leased);
    bench.assign(waits);
    const { run } = bench.desired.takePart(bench.cluster.state);
    expect(run.map(({ task_id: id, unleased }) => [id, unleased])).toEqual([
      [leased, false],
      [waits, true],
    ]);
  });

  it('says nothing of what other nodes run', () => {
    const bench = new Bench();
    bench.assign(bench.submit(), 'v');
    expect(bench.desired.isDirty).toBe(false);
    expect(bench.told()).toEqual(nothing);
  });

  it('tells a cancellation as a stop with the grace of the spec', () => {
    const bench = new Bench();
    const id = bench.submit();
    bench.assign(id);
    bench.told();
    bench.cluster.execute({ type: 'cancelTask', taskId: id, idempotency: null });
    expect(bench.desired.takePart(bench.cluster.state)).toEqual({
      run: [],
      stop: [{ task_id: id, assignment: 1, grace_ms: 1234, unless_begun: false }],
    });
  });

  it('never tells the start of what is cancelled by then', () => {
    const bench = new Bench();
    const id = bench.submit();
    bench.assign(id);
    bench.cluster.execute({ type: 'cancelTask', taskId: id, idempotency: null });
    expect(bench.told()).toEqual({ run: [], stop: [id] });
  });

  it('does not stop what the worker itself reported as ended', () => {
    const bench = new Bench();
    const id = bench.submit();
    bench.assign(id);
    bench.told();
    bench.report(id, 'COMPLETED');
    expect(bench.told()).toEqual(nothing);
  });

  it('tells a new attempt on the same node as a start of its own', () => {
    const bench = new Bench();
    const id = bench.submit();
    bench.assign(id);
    bench.told();
    bench.report(id, 'LOST');
    bench.assign(id);
    const { run, stop } = bench.desired.takePart(bench.cluster.state);
    expect(run.map(({ assignment }) => assignment)).toEqual([2]);
    expect(stop).toEqual([]);
  });

  it('stops what is no longer the node’s', () => {
    const bench = new Bench();
    const id = bench.submit();
    bench.assign(id);
    bench.told();
    bench.cluster.execute({
      type: 'nodeOffline',
      node: 'w',
      session: bench.session,
      term: bench.cluster.term,
    });
    bench.assign(id, 'v');
    expect(bench.told()).toEqual({ run: [], stop: [id] });
  });

  describe('of a node that is drained', () => {
    it('takes back what was assigned and is not known to be begun, and lets go on what is', () => {
      const bench = new Bench();
      const [waits, begun] = [bench.submit(), bench.submit()];
      bench.assign(waits);
      bench.assign(begun);
      bench.told();
      bench.report(begun, 'RUNNING');
      drain(bench);
      const { run, stop } = bench.desired.takePart(bench.cluster.state);
      expect(run).toEqual([]);
      expect(stop).toMatchObject([{ task_id: waits, unless_begun: true }]);
      // It was begun all the same, and says so.
      bench.report(waits, 'STARTING');
      expect(bench.told()).toEqual({ run: [waits], stop: [] });
      overdue(bench);
      expect(bench.told().stop).toEqual([waits, begun]);
    });

    it.each([
      [null, 1234],
      [50, 50],
    ])('stops what is there at the deadline, with a grace of %s ms in place of its own', (graceMs, given) => {
      const bench = new Bench();
      const id = bench.submit();
      bench.assign(id);
      bench.report(id, 'RUNNING');
      bench.told();
      drain(bench, graceMs);
      expect(bench.told()).toEqual(nothing);
      overdue(bench);
      expect(bench.desired.takePart(bench.cluster.state)).toEqual({
        run: [],
        stop: [{ task_id: id, assignment: 1, grace_ms: given, unless_begun: false }],
      });
    });
  });

  it('goes out in parts of bounded size, in the order of assignment', () => {
    const bench = new Bench();
    const ids = Array.from({ length: 5 }, () => bench.submit(250_000));
    for (const id of ids.toReversed()) bench.assign(id);
    const parts: string[][] = [];
    while (bench.desired.isDirty) parts.push(bench.told().run);
    expect(parts.map((part) => part.length)).toEqual([2, 2, 1]);
    expect(parts.flat()).toEqual(ids.toReversed());
  });
});
