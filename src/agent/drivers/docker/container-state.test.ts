import { describe, expect, it } from 'vitest';

import { judge } from './container-state.ts';
import type { ContainerDetails } from './engine.ts';

const NEVER = '0001-01-01T00:00:00Z';
const STARTED = '2026-01-02T03:04:05.678901234Z';
const FINISHED = '2026-01-02T03:04:06.5Z';

function details(state: Partial<ContainerDetails['State']>): ContainerDetails {
  const base = { Status: 'created', Error: '', ExitCode: 0, OOMKilled: false };
  const State = { ...base, StartedAt: NEVER, FinishedAt: NEVER, ...state };
  return { Image: 'sha256:1', State } as ContainerDetails;
}

describe('what an inspection says', () => {
  it('of one that was never started', () => {
    expect(judge(details({ Error: 'no such command' }))).toMatchObject({
      type: 'created',
      error: 'no such command',
    });
  });

  it('of one that runs, is paused or is being restarted', () => {
    for (const Status of ['running', 'paused', 'restarting'])
      expect(judge(details({ Status, StartedAt: STARTED }))).toEqual({
        type: 'running',
        startedAtMs: Date.parse(STARTED),
        startId: STARTED,
      });
  });

  it('of one that has ended, by itself or by a signal', () => {
    const over = { Status: 'exited', StartedAt: STARTED, FinishedAt: FINISHED };
    expect(judge(details({ ...over, ExitCode: 3 }))).toMatchObject({
      type: 'ended',
      exitCode: 3,
      signal: null,
      finishedAtMs: Date.parse(FINISHED),
    });
    expect(judge(details({ ...over, ExitCode: 137 }))).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
  });

  it('of one that is gone, or was removed while it ran', () => {
    expect(judge(null)).toEqual({ type: 'gone' });
    const removed = { Status: 'removing', StartedAt: STARTED, FinishedAt: FINISHED, ExitCode: 137 };
    expect(judge(details(removed))).toEqual({ type: 'gone' });
  });

  it('of one in whose start the engine died: it has no beginning', () => {
    expect(judge(details({ Status: 'running' }))).toMatchObject({ type: 'running', startedAtMs: 0 });
  });

  it('of one in whose start the engine died and which has ended since: that it never ran is not true', () => {
    expect(judge(details({ Status: 'created', FinishedAt: FINISHED }))).toMatchObject({ type: 'lost' });
  });
});
