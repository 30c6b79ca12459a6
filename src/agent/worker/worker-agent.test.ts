import { describe, expect, it } from 'vitest';

import type { LeaderMessage, WorkerMessage } from '../../generated/worker.ts';
import { limits } from '../../lib/limits.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { NoopDriver } from '../drivers/noop/noop-driver.ts';
import type { SessionStreamEvents } from './session-connector.ts';
import { WORKER_LIMITS } from './limits.ts';
import { assignmentOf, registration } from './testing/values.ts';
import { WorkerAgent } from './worker-agent.ts';

const INTERVAL_MS = 2000;
const LEASE_MS = 25_000;
const LEFT_RUNNING = 'running tasks are left running, for as long as their lease lasts';

/** A worker in step with a leader that the test plays, and a watchdog that confirms for as long as it is told to. */
async function inStep({ tasks }: { readonly tasks: number }) {
  const clock = new VirtualClock();
  const sent: WorkerMessage['kind'][] = [];
  const lines: { readonly level: string; readonly fields: object; readonly message: string }[] = [];
  const log = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields, message });
  const state = { confirms: true, handed: [] as number[], events: null as SessionStreamEvents | null };
  const agent = await WorkerAgent.start({
    registration: () => registration('n1', 'start-1'),
    environment: { node: 'n1', path: '/bin', home: '/root' },
    drivers: [new NoopDriver(clock)],
    connector: {
      connect: (events) => {
        state.events = events;
        return { address: 'leader', send: ({ kind }) => void sent.push(kind), close: () => {} };
      },
    },
    lease: {
      extendLease: async (_session, deadlineMs) => {
        state.handed.push(deadlineMs);
        if (!state.confirms) await new Promise(() => {});
      },
      recordedDeadlineMs: async () => null,
      replaceHung: async () => {},
    },
    bootMs: () => clock.monotonicMs(),
    reportsDirectory: '',
    openReports: async () => ({
      reports: [],
      store: { put: async () => {}, acknowledge: async () => {}, close: async () => {} },
    }),
    usage: { latest: () => null },
    clock,
    random: () => 0.5,
    log: {
      debug: log('debug'),
      info: log('info'),
      warn: log('warn'),
      error: log('error'),
      child: () => never(),
    },
  });
  const receive = (kind: LeaderMessage['kind']) => state.events?.message({ kind });
  /** Answers the newest heartbeat. */
  const grant = async (leaseMs: number): Promise<void> => {
    const beats = sent.flatMap((kind) => (kind?.$case === 'heartbeat' ? [kind.value] : []));
    const number = beats.at(-1)?.number ?? 0;
    receive({
      $case: 'heartbeat',
      value: { session: 5, number, lease_ms: leaseMs, heartbeat_interval_ms: 0 },
    });
    await clock.advance(0);
  };
  const asked = () =>
    sent.flatMap((kind) => (kind?.$case === 'heartbeat' ? [kind.value.restart_lease_ms] : []));
  receive({ $case: 'registered', value: { session: 5, heartbeat_interval_ms: INTERVAL_MS } });
  await clock.advance(0);
  const run = Array.from({ length: tasks }, (_, at) => assignmentOf(at + 1, 5));
  receive({ $case: 'desired', value: { session: 5, complete: true, more: false, run, stop: [] } });
  await grant(LEASE_MS);
  return { clock, agent, state, grant, asked, lines };
}

function never(): never {
  throw new Error('nothing asks for it');
}

describe('a worker that is about to be restarted', () => {
  it('asks for a longer lease at once, and may stop when the watchdog keeps it', async () => {
    const { clock, agent, state, grant, asked, lines } = await inStep({ tasks: 2 });
    const prepared = agent.prepareRestart(120_000);
    expect(asked().at(-1)).toBe(120_000);
    state.confirms = false;
    await grant(120_000);
    expect(lines.map(({ message }) => message)).not.toContain(LEFT_RUNNING);
    expect(state.handed.at(-1)).toBe(clock.monotonicMs() + 120_000);
    await agent.close();
    await clock.advance(limits.restartGraceWaitMs);
    await prepared;
    expect(lines.at(-1)?.level).toBe('warn');
  });

  it('says for how long its tasks may run then', async () => {
    const { agent, grant, lines } = await inStep({ tasks: 2 });
    const prepared = agent.prepareRestart(120_000);
    await grant(120_000);
    await prepared;
    expect(lines.at(-1)).toMatchObject({ message: LEFT_RUNNING, fields: { attempts: 2, leftMs: 120_000 } });
    await agent.close();
  });

  it('goes on without one after a bounded time, and says when its tasks are ended', async () => {
    const { clock, agent, grant, lines } = await inStep({ tasks: 1 });
    const prepared = agent.prepareRestart(120_000);
    // Of a leader that knows nothing of restarts.
    await grant(LEASE_MS);
    await clock.advance(limits.restartGraceWaitMs);
    await prepared;
    const leftMs = LEASE_MS - limits.restartGraceWaitMs;
    expect(lines.at(-1)).toMatchObject({ level: 'warn', fields: { attempts: 1, leftMs } });
    await agent.close();
  });

  it.each([
    ['has no tasks', { tasks: 0, leaseMs: 120_000 }],
    ['wants none', { tasks: 1, leaseMs: 0 }],
  ])('asks for nothing where it %s', async (_what, { tasks, leaseMs }) => {
    const { agent, asked } = await inStep({ tasks });
    await agent.prepareRestart(leaseMs);
    expect(asked().every((ms) => ms === 0)).toBe(true);
    await agent.close();
    await agent.prepareRestart(leaseMs);
  });
});

describe('a worker that no leader takes', () => {
  it('says why once that has lasted, and not for each try', async () => {
    const { clock, agent, state, lines } = await inStep({ tasks: 0 });
    const told = () => lines.filter(({ message }) => message === 'no leader takes this node');
    state.events?.ended('the leader has gone');
    const refuse = async (): Promise<void> => {
      await clock.advance(WORKER_LIMITS.reconnectMaxMs);
      state.events?.ended('another start of this node was heard of last');
    };
    const tries = WORKER_LIMITS.aloneMs / WORKER_LIMITS.reconnectMaxMs;
    for (let count = 1; count < tries; count += 1) await refuse();
    expect(told()).toEqual([]);
    for (let count = 0; count < 5; count += 1) await refuse();
    const reason = 'another start of this node was heard of last';
    expect(told()).toEqual([
      expect.objectContaining({ level: 'warn', fields: expect.objectContaining({ reason }) }),
    ]);
    await agent.close();
  });
});
