import { describe, expect, it } from 'vitest';

import type { Judgement } from './container-state.ts';
import { judge } from './container-state.ts';
import type { ContainerDetails } from './engine.ts';
import type { EndContext } from './exits.ts';
import { endOf } from './exits.ts';

const NEVER = '0001-01-01T00:00:00Z';
const BEGIN = '2026-11-26T10:00:00.5Z';
const END = '2026-11-26T10:00:09.25Z';
const endMs = Date.parse(END);

function details(state: Partial<ContainerDetails['State']>): ContainerDetails {
  const complete = {
    Status: 'exited',
    ExitCode: 0,
    OOMKilled: false,
    Error: '',
    StartedAt: BEGIN,
    FinishedAt: END,
    ...state,
  };
  return { State: complete, Image: 'sha256:1' } as ContainerDetails;
}

describe('judge', () => {
  it.each<[string, ContainerDetails | null, Partial<Judgement>]>([
    ['no container', null, { type: 'gone' }],
    [
      'created',
      details({ Status: 'created', StartedAt: NEVER, FinishedAt: NEVER, Error: 'no such file' }),
      { type: 'created', error: 'no such file' },
    ],
    ['running', details({ Status: 'running' }), { type: 'running', startId: BEGIN }],
    ['paused', details({ Status: 'paused' }), { type: 'running' }],
    ['exited', details({ ExitCode: 3 }), { type: 'ended', exitCode: 3, signal: null, finishedAtMs: endMs }],
    ['killed', details({ ExitCode: 137 }), { type: 'ended', exitCode: null, signal: 'SIGKILL' }],
    ['aborted', details({ ExitCode: 134 }), { type: 'ended', signal: 'SIGABRT' }],
    ['no signal of that number', details({ ExitCode: 128 }), { type: 'ended', exitCode: 128 }],
    ['removed while it ran', details({ Status: 'removing', ExitCode: 137 }), { type: 'gone' }],
    ['removed after it ended', details({ Status: 'removing', ExitCode: 4 }), { type: 'ended', exitCode: 4 }],
    ['removed before it ran', details({ Status: 'removing', StartedAt: NEVER }), { type: 'gone' }],
  ])('%s', (_name, given, expected) => {
    expect(judge(given)).toMatchObject(expected);
  });
});

describe('endOf', () => {
  const context: EndContext = { cause: null, timeoutMs: 2000, outages: [] };
  const exited = judge(details({ ExitCode: 3 }));

  it.each<[string, Judgement, Partial<EndContext>, object]>([
    ['an exit', exited, {}, { reason: 'exited', exitCode: 3, message: '', finishedAtMs: endMs }],
    ['a stop', exited, { cause: 'stopped' }, { reason: 'stopped', exitCode: 3 }],
    ['a timeout', exited, { cause: 'timeout' }, { reason: 'timeout', message: 'ran longer than 2 s' }],
    [
      'too little memory',
      judge(details({ ExitCode: 137, OOMKilled: true })),
      {},
      { reason: 'exited', errorType: 'OutOfMemory', signal: 'SIGKILL' },
    ],
    [
      'a child without memory',
      judge(details({ OOMKilled: true })),
      {},
      { reason: 'exited', exitCode: 0, message: '' },
    ],
    [
      'gone',
      { type: 'gone' },
      {},
      { reason: 'unknown', message: 'the container was removed by somebody else' },
    ],
    ['gone, as was wanted', { type: 'gone' }, { cause: 'stopped' }, { reason: 'stopped' }],
    ['lost', { type: 'lost', message: 'why' }, {}, { reason: 'unknown', message: 'why' }],
    [
      'an end while the engine was away',
      judge(details({})),
      { outages: [{ fromMs: endMs - 100, noticedMs: endMs - 100, untilMs: endMs + 100 }] },
      { reason: 'unknown', exitCode: null },
    ],
    [
      'an end before the engine went away',
      judge(details({})),
      { outages: [{ fromMs: endMs + 5000, noticedMs: endMs + 5000, untilMs: null }] },
      { reason: 'exited', exitCode: 0 },
    ],
    [
      'one that the engine started when it was back',
      judge(details({})),
      { outages: [{ fromMs: Date.parse(BEGIN) - 100, noticedMs: Date.parse(BEGIN) - 50, untilMs: endMs }] },
      { reason: 'exited', exitCode: 0 },
    ],
  ])('%s', (_name, judgement, changes, expected) => {
    expect(endOf(judgement, { ...context, ...changes })).toMatchObject(expected);
  });
});
