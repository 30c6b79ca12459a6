/** Both sides of a session in one process, over real gRPC on the loopback, with the real state machine and scheduler. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Metadata } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Register, WorkerMessage } from '../../generated/worker.ts';
import { WorkerClient } from '../../generated/worker.ts';
import { systemClock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import type { ClusterConfig } from '../../model/cluster.ts';
import { NO_LIMITS } from '../../model/earlier-rows.ts';
import type { TaskRow, TaskSpec } from '../../model/task.ts';
import { channelOptions } from '../../rpc/channel.ts';
import { insecureChannels } from '../../rpc/channel-security.ts';
import { fromServiceError } from '../../rpc/errors.ts';
import { FORWARDED_KEY } from '../../rpc/forwarded.ts';
import { createServer, type RpcServer } from '../../rpc/server.ts';
import { SchedulingLoop } from '../../scheduler/loop.ts';
import type { CommandInput } from '../../scheduler/ports.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import type { AttemptSpec, Driver } from '../drivers/driver.ts';
import { NoopDriver } from '../drivers/noop/noop-driver.ts';
import { createWatchdogHarness } from '../watchdog/watchdog.test-kit.ts';
import type { SessionConnector, SessionStream, SessionStreamEvents } from '../worker/session-connector.ts';
import { GrpcSessionConnector } from '../worker/session-connector.ts';
import { registration } from '../worker/testing/values.ts';
import { WorkerAgent } from '../worker/worker-agent.ts';
import { LeaderDuties, newEpoch } from './leader-duties.ts';
import { SessionService } from './session-service.ts';

/** No test but the one of silence is to depend on how fast this machine is. */
const PATIENT = { intervalMs: 40, warningMs: 20_000, timeoutMs: 60_000 };
const IMPATIENT = { intervalMs: 40, warningMs: 300, timeoutMs: 900 };

function specOf(command: readonly string[], changes: Partial<TaskSpec> = {}): TaskSpec {
  return {
    name: 't',
    container: null,
    user: null,
    command,
    env: [],
    workingDir: null,
    resources: { cpuMillis: 100, memoryBytes: 1024 },
    limits: NO_LIMITS,
    priority: 'normal',
    timeoutMs: null,
    stopGraceMs: 100,
    retryPolicy: {
      maxAttempts: 1,
      backoffStrategy: 'fixed',
      backoffBase: 1,
      maxBackoff: 1,
      retryableErrors: [],
      nonRetryableErrors: [],
    },
    onNodeLoss: 'reschedule',
    labels: [],
    ...changes,
  };
}

/** The noop driver, which also remembers what it was asked to start. */
class CountingDriver extends NoopDriver {
  readonly started: string[] = [];

  override start(spec: AttemptSpec, signal: AbortSignal) {
    this.started.push(`${spec.taskId}.${spec.assignment}`);
    return super.start(spec, signal);
  }
}

/** A network that can be cut and made silent. */
class FlakyConnector implements SessionConnector {
  readonly #inner: SessionConnector;
  #live: { readonly stream: SessionStream; readonly events: SessionStreamEvents } | null = null;
  isSilent = false;
  connections = 0;

  constructor(inner: SessionConnector) {
    this.#inner = inner;
  }

  connect(events: SessionStreamEvents): SessionStream {
    this.connections += 1;
    const stream = this.#inner.connect({
      message: (message) => void (this.isSilent || events.message(message)),
      ended: (reason) => void (this.isSilent || events.ended(reason)),
    });
    this.#live = { stream, events };
    return { ...stream, send: (message) => void (this.isSilent || stream.send(message)) };
  }

  cut(): void {
    this.#live?.stream.close();
    this.#live?.events.ended('cut');
  }
}

class TestNode {
  readonly name: string;
  readonly duties: LeaderDuties;
  readonly service: SessionService;
  server: RpcServer | null = null;

  constructor(name: string, cluster: MemoryCluster, heartbeat: ClusterConfig['heartbeat']) {
    this.name = name;
    const replica = cluster.replica(name);
    const parts = { replica, clock: systemClock, log: silentLog };
    this.duties = new LeaderDuties({
      ...parts,
      // An epoch of 0 keeps sessions below the one with which the watchdog's harness ends.
      formation: {
        clusterId: 'c-1',
        epoch: 0,
        config: { heartbeat },
      },
      duties: [new SchedulingLoop(parts)],
    });
    this.service = new SessionService({
      replica,
      accept: (call) => this.duties.accept(call),
      credentials: () => insecureChannels.credentials(),
      log: silentLog,
    });
  }

  get leader(): { readonly name: string; readonly address: string } {
    return { name: this.name, address: this.server?.address ?? '' };
  }

  async listen(): Promise<void> {
    const { definition, handlers } = this.service;
    this.server = await createServer({ services: [{ definition, handlers }], listen: '127.0.0.1:0' });
  }

  async close(): Promise<void> {
    this.duties.close();
    this.service.close();
    await this.server?.close(0);
  }
}

function until(check: () => void): Promise<void> {
  return vi.waitFor(check, { timeout: 10_000, interval: 5 });
}

function synced(agent: WorkerAgent): Promise<void> {
  return until(() => expect(agent.status().isSynced).toBe(true));
}

it('numbers epochs by the minutes since 2020, from 1', () => {
  expect(newEpoch(Date.UTC(2020, 0, 1, 1, 0, 30))).toBe(60);
  expect(newEpoch(0)).toBe(1);
});

describe('worker sessions', () => {
  let directory = '';
  let cluster = new MemoryCluster(() => Date.now());
  let nodes: TestNode[] = [];
  let agents: WorkerAgent[] = [];

  beforeEach(() => open(PATIENT));
  afterEach(() => close());

  async function open(heartbeat: ClusterConfig['heartbeat']): Promise<void> {
    directory = await mkdtemp(join(tmpdir(), 'jarvis-sessions-'));
    cluster = new MemoryCluster(() => Date.now());
    nodes = ['n1', 'n2'].map((name) => new TestNode(name, cluster, heartbeat));
    for (const node of nodes) await node.listen();
    cluster.lead(at(0).leader);
  }

  async function close(): Promise<void> {
    for (const agent of agents) await agent.close();
    for (const node of nodes) await node.close();
    agents = [];
    await rm(directory, { recursive: true, force: true });
  }

  function at(index: number): TestNode {
    const node = nodes[index];
    if (node === undefined) throw new Error(`no node ${index}`);
    return node;
  }

  /** A daemon's worker that knows the nodes of these numbers, the likeliest leader first. */
  async function startWorker(options: { startId: string; driver: Driver; through: readonly number[] }) {
    const connector = new FlakyConnector(
      new GrpcSessionConnector({
        addresses: () => options.through.map((index) => at(index).leader.address),
        credentials: () => insecureChannels.credentials(),
        channelOptions,
      }),
    );
    const offered: Pick<Register, 'drivers'> = { drivers: [options.driver.name] };
    const agent = await WorkerAgent.start({
      registration: () => ({ ...registration('w', options.startId), ...offered }),
      environment: { node: 'w', path: '/bin:/usr/bin', home: '/' },
      drivers: [options.driver],
      connector,
      reportsDirectory: join(directory, 'reports'),
      usage: {
        latest: () => ({
          cpu_percent: 7,
          memory_bytes: 1,
          disk_bytes: 1,
          network_bytes_per_second: 0,
          network_receive_bytes_per_second: 0,
          network_transmit_bytes_per_second: 0,
          disk_size_bytes: 0,
          memory_size_bytes: 0,
          wall_ms: 0,
          pressure: [],
          cpu_scope: '',
        }),
      },
      lease: {
        extendLease: async () => {},
        recordedDeadlineMs: async () => null,
        replaceHung: async () => {},
      },
      bootMs: () => performance.now(),
      clock: systemClock,
      random: () => 0.5,
      log: silentLog,
    });
    agents.push(agent);
    return { agent, connector, offered };
  }

  function submit(...specs: readonly TaskSpec[]): string[] {
    const before = new Set(rowsOfTasks().map(({ id }) => id));
    cluster.execute({ type: 'submitTasks', tasks: specs, idempotency: null });
    return rowsOfTasks()
      .map(({ id }) => id)
      .filter((id) => !before.has(id));
  }

  function rowsOfTasks(): TaskRow[] {
    return [...cluster.rows].filter(([name]) => name.startsWith('task/')).map(([, row]) => row as TaskRow);
  }

  function task(id: string | undefined): TaskRow {
    return cluster.rows.get(`task/${id}`) as TaskRow;
  }

  const status = (id: string | undefined, expected: string) =>
    until(() => expect(task(id).status).toBe(expected));

  it('runs tasks to their end, and forgets them once that is committed', async () => {
    const driver = new CountingDriver(systemClock);
    const { agent } = await startWorker({ startId: 's1', driver, through: [0] });
    await synced(agent);
    const [first, second] = submit(specOf(['noop', '20ms']), specOf(['noop', '10ms', '3']));
    await status(first, 'COMPLETED');
    await status(second, 'PERMANENTLY_FAILED');
    expect(task(second).attempts).toMatchObject([
      { status: 'FAILED', exitCode: 3, error: { type: 'ExitCode' } },
    ]);
    await until(() => expect(agent.status().knownAttempts).toBe(0));
    expect(await driver.list(new AbortController().signal)).toEqual([]);
    await until(() => expect(at(0).duties.usage('w')?.cpu_percent).toBe(7));
    expect(at(0).duties.lastHeartbeatMs('w')).toBeGreaterThan(0);
  });

  it('reconnects in the same session and restarts nothing', async () => {
    const driver = new CountingDriver(systemClock);
    const { agent, connector } = await startWorker({ startId: 's1', driver, through: [0] });
    await synced(agent);
    const { session } = agent.status();
    const [id] = submit(specOf(['noop', '100s']));
    await status(id, 'RUNNING');
    connector.cut();
    expect(agent.status().isSynced).toBe(false);
    await synced(agent);
    expect(agent.status().session).toBe(session);
    expect(connector.connections).toBeGreaterThanOrEqual(2);
    const [next] = submit(specOf(['noop']));
    await status(next, 'COMPLETED');
    expect(driver.started.filter((name) => name.startsWith(`${id}.`))).toHaveLength(1);
    expect(task(id).status).toBe('RUNNING');
  });

  it('registers again what the node offers, in the same session, and restarts nothing', async () => {
    const driver = new CountingDriver(systemClock);
    const { agent, connector, offered } = await startWorker({ startId: 's1', driver, through: [0] });
    await synced(agent);
    const { session } = agent.status();
    const [id] = submit(specOf(['noop', '100s']));
    await status(id, 'RUNNING');
    offered.drivers = ['noop', 'docker'];
    agent.registerAgain('an engine answers');
    agent.registerAgain('and again');
    await until(() => expect(cluster.state.nodes.get('w')?.drivers).toEqual(['noop', 'docker']));
    await synced(agent);
    expect(agent.status().session).toBe(session);
    connector.cut();
    agent.registerAgain('while nothing is connected');
    await synced(agent);
    expect(driver.started).toHaveLength(1);
    expect(task(id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
    await agent.close();
    agent.registerAgain('after the end');
  });

  it('adopts what runs after a restart of the daemon', async () => {
    const driver = new CountingDriver(systemClock);
    const first = await startWorker({ startId: 's1', driver, through: [0] });
    await synced(first.agent);
    const { session } = first.agent.status();
    const [long, short] = submit(specOf(['noop', '100s']), specOf(['noop', '60ms']));
    await status(long, 'RUNNING');
    await first.agent.close();
    const second = await startWorker({ startId: 's2', driver, through: [0] });
    await synced(second.agent);
    expect(second.agent.status().session).toBeGreaterThan(session);
    await status(short, 'COMPLETED');
    expect(task(long)).toMatchObject({ status: 'RUNNING', attempt: 1 });
    expect(task(long).attempts.at(-1)?.session).toBe(second.agent.status().session);
    expect(driver.started).toHaveLength(2);
  });

  it('gives up what a restarted daemon no longer knows', async () => {
    const first = await startWorker({ startId: 's1', driver: new CountingDriver(systemClock), through: [0] });
    await synced(first.agent);
    const [id] = submit(specOf(['noop', '100s']));
    await status(id, 'RUNNING');
    await first.agent.close();
    const driver = new CountingDriver(systemClock);
    await startWorker({ startId: 's2', driver, through: [0] });
    await until(() => expect(task(id)).toMatchObject({ status: 'RUNNING', attempt: 2 }));
    expect(task(id).attempts.map((attempt) => attempt.status)).toEqual(['LOST', 'RUNNING']);
    expect(driver.started).toHaveLength(1);
  });

  it('reports until it is acknowledged', async () => {
    const driver = new CountingDriver(systemClock);
    const { agent, connector } = await startWorker({ startId: 's1', driver, through: [0] });
    await synced(agent);
    let dropped = 0;
    cluster.beforeApply = ({ type }: CommandInput) => {
      if (type !== 'reportAttempts' || dropped === 3) return;
      dropped += 1;
      throw new JarvisError('outcome_unknown', 'the leader went away');
    };
    const [id] = submit(specOf(['noop']));
    await status(id, 'COMPLETED');
    expect(dropped).toBe(3);
    expect(connector.connections).toBeGreaterThanOrEqual(4);
    expect(driver.started).toHaveLength(1);
    await until(() => expect(agent.status().knownAttempts).toBe(0));
  });

  it('stops what is cancelled', async () => {
    const driver = new CountingDriver(systemClock);
    const { agent } = await startWorker({ startId: 's1', driver, through: [0] });
    await synced(agent);
    const [id] = submit(specOf(['noop', '100s']));
    await status(id, 'RUNNING');
    cluster.execute({ type: 'cancelTask', taskId: String(id), idempotency: null });
    await status(id, 'CANCELLED');
    expect(task(id).attempts).toMatchObject([{ status: 'CANCELLED', signal: 'SIGTERM' }]);
  });

  it('works through a follower, and over a change of leader', async () => {
    const driver = new CountingDriver(systemClock);
    const { agent, connector } = await startWorker({ startId: 's1', driver, through: [1] });
    await synced(agent);
    const { session } = agent.status();
    const [long] = submit(specOf(['noop', '100s']));
    await status(long, 'RUNNING');
    cluster.lead(at(1).leader);
    await until(() => expect(connector.connections).toBeGreaterThan(1));
    await synced(agent);
    const [id] = submit(specOf(['noop']));
    await status(id, 'COMPLETED');
    cluster.lead(null);
    await until(() => expect(agent.status().isSynced).toBe(false));
    cluster.lead(at(0).leader);
    await synced(agent);
    expect(agent.status().session).toBe(session);
    expect(driver.started).toHaveLength(2);
    expect(task(long)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  });

  it('finds another address where one does not answer', async () => {
    const driver = new CountingDriver(systemClock);
    await at(1).close();
    const { agent } = await startWorker({ startId: 's1', driver, through: [1, 0] });
    await synced(agent);
    expect(cluster.state.nodes.get('w')?.session).toBe(agent.status().session);
  });

  it('gives the tasks of a silent node back, and stops them when it returns', async () => {
    await close();
    await open(IMPATIENT);
    const driver = new CountingDriver(systemClock);
    const { agent, connector } = await startWorker({ startId: 's1', driver, through: [0] });
    await synced(agent);
    const { session } = agent.status();
    const [id] = submit(specOf(['noop', '100s']));
    await status(id, 'RUNNING');
    const firstAttempt = driver.started[0];
    connector.isSilent = true;
    await until(() => expect(cluster.state.nodes.get('w')?.status).toBe('UNHEALTHY'));
    await until(() => expect(cluster.state.nodes.get('w')?.status).toBe('OFFLINE'));
    expect(task(id)).toMatchObject({ status: 'PENDING', statusReason: 'rescheduling' });
    connector.isSilent = false;
    await until(() => expect(task(id)).toMatchObject({ status: 'RUNNING', attempt: 2 }));
    expect(agent.status().session).toBeGreaterThan(session);
    await until(() => expect(agent.status().knownAttempts).toBe(1));
    const views = await driver.list(new AbortController().signal);
    expect(views.map((view) => `${view.taskId}.${view.assignment}`)).not.toContain(firstAttempt);
    expect(driver.started).toHaveLength(2);
  });

  it('leaves a task that waits with a silent node, where it goes on when that returns', async () => {
    await close();
    await open(IMPATIENT);
    const driver = new CountingDriver(systemClock);
    const { agent, connector } = await startWorker({ startId: 's1', driver, through: [0] });
    await synced(agent);
    const { session } = agent.status();
    const [id] = submit(specOf(['noop', '100s'], { onNodeLoss: 'wait' }));
    await status(id, 'RUNNING');
    connector.isSilent = true;
    await until(() => expect(cluster.state.nodes.get('w')?.status).toBe('OFFLINE'));
    const statusReason = 'waiting for node w, which is offline';
    expect(task(id)).toMatchObject({ status: 'RUNNING', statusReason, attempt: 1 });
    connector.isSilent = false;
    await until(() => expect(task(id)).toMatchObject({ status: 'RUNNING', statusReason: null }));
    await synced(agent);
    expect(agent.status().session).toBeGreaterThan(session);
    expect(task(id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
    expect(driver.started).toHaveLength(1);
    cluster.execute({ type: 'cancelTask', taskId: String(id), idempotency: null });
    await status(id, 'CANCELLED');
  });

  it('has a node that was removed and lives all the same stop what it runs, as one that nobody knows', async () => {
    const driver = new CountingDriver(systemClock);
    const { agent } = await startWorker({ startId: 's1', driver, through: [0] });
    await synced(agent);
    const { session } = agent.status();
    const [id] = submit(specOf(['noop', '100s'], { onNodeLoss: 'wait' }));
    await status(id, 'RUNNING');
    const { term } = cluster;
    const word = { dead: true, principal: 'somebody', idempotency: null };
    cluster.execute({ type: 'removeNode', term, node: 'w', session, ...word });
    await until(() => expect(task(id)).toMatchObject({ status: 'RUNNING', attempt: 2 }));
    expect(agent.status().session).toBeGreaterThan(session);
    await until(() => expect(agent.status().knownAttempts).toBe(1));
    const views = await driver.list(new AbortController().signal);
    expect(views.map(({ assignment }) => assignment)).toEqual([2]);
  });

  it('sends a large desired set in parts', async () => {
    const first = await startWorker({ startId: 's1', driver: new CountingDriver(systemClock), through: [0] });
    await synced(first.agent);
    const env = [['LARGE', 'x'.repeat(400_000)]] as const;
    const ids = submit(...Array.from({ length: 30 }, () => specOf(['noop', '100s'], { env })));
    await until(() => expect(ids.map((id) => task(id).status)).toEqual(ids.map(() => 'RUNNING')));
    first.connector.cut();
    await synced(first.agent);
    const [id] = submit(specOf(['noop']));
    await status(id, 'COMPLETED');
    expect(ids.map((one) => task(one).status)).toEqual(ids.map(() => 'RUNNING'));
  });

  it('runs processes, which outlive the daemon', async () => {
    const harness = await createWatchdogHarness();
    try {
      const first = await startWorker({ startId: 's1', driver: harness.driver(), through: [1, 0] });
      await synced(first.agent);
      const script =
        'printf \'"%s %s %s %s"\' "$JARVIS_NODE" "$JARVIS_ATTEMPT" "$A" "$PATH" > "$JARVIS_RESULT_FILE"';
      const go = join(directory, 'go');
      const [short, failing, long] = submit(
        specOf(['sh', '-c', script], { env: [['A', 'b']] }),
        specOf(['sh', '-c', 'echo oh no >&2; exit 75']),
        specOf(['sh', '-c', `while [ ! -e "${go}" ]; do sleep 0.02; done; exit 0`]),
      );
      await status(short, 'COMPLETED');
      expect(task(short).result).toBe('w 1 b /bin:/usr/bin');
      await status(failing, 'PERMANENTLY_FAILED');
      expect(task(failing).attempts).toMatchObject([
        { error: { type: 'TemporaryFailure' }, logTail: 'oh no\n' },
      ]);
      await status(long, 'RUNNING');
      await first.agent.close();
      await writeFile(go, '');
      const second = await startWorker({ startId: 's2', driver: harness.driver(), through: [0] });
      await status(long, 'COMPLETED');
      expect(task(long).attempt).toBe(1);
      await until(() => expect(second.agent.status().knownAttempts).toBe(0));
      await second.agent.close();
    } finally {
      await harness.dispose();
    }
  });

  const malformed: readonly [string, readonly WorkerMessage['kind'][], string][] = [
    [
      'a heartbeat before the registration',
      [{ $case: 'heartbeat', value: { session: 0, number: 1, usage: undefined, restart_lease_ms: 0 } }],
      'conflict',
    ],
    [
      'an inventory before the registration',
      [{ $case: 'inventory', value: { session: 0, items: [] } }],
      'malformed',
    ],
    [
      'reports before the registration',
      [{ $case: 'reports', value: { session: 0, number: 1, reports: [] } }],
      'malformed',
    ],
    ['a bad name', [{ $case: 'register', value: registration('no/name', 's') }], 'malformed'],
    [
      'two registrations',
      [
        { $case: 'register', value: registration('w', 's') },
        { $case: 'register', value: registration('w', 's') },
      ],
      'malformed',
    ],
  ];
  it.each(malformed)('ends a stream with %s', async (_name, kinds, code) => {
    const client = new WorkerClient(at(0).leader.address, insecureChannels.credentials(), channelOptions);
    const call = client.session();
    const ended = new Promise<unknown>((resolve) => {
      call.on('error', resolve);
    });
    call.on('data', () => {});
    for (const kind of kinds) call.write({ kind });
    const error = fromServiceError(await ended, { address: '', write: false });
    client.close();
    expect(error.code).toBe(code);
  });

  it('forwards nothing that was forwarded already', async () => {
    const client = new WorkerClient(at(1).leader.address, insecureChannels.credentials(), channelOptions);
    const metadata = new Metadata();
    metadata.set(FORWARDED_KEY, '1');
    const call = client.session(metadata);
    const error = await new Promise<unknown>((resolve) => {
      call.on('error', resolve);
    });
    client.close();
    expect(fromServiceError(error, { address: '', write: false }).code).toBe('no_leader');
  });
});
