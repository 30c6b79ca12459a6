import { describe, expect, it } from 'vitest';

import type { Exit } from './driver.ts';
import type { Outcome } from './outcome.ts';
import { outcomeOf } from './outcome.ts';

const exited: Exit = {
  exitCode: 0,
  signal: null,
  reason: 'exited',
  message: '',
  startedAtMs: 1,
  finishedAtMs: 2,
  errorFile: null,
  resultFile: null,
  logTail: '',
};

const cases: readonly [string, Partial<Exit>, Partial<Outcome>][] = [
  ['exit 0', {}, { status: 'COMPLETED', exitCode: 0, error: null, result: null }],
  ['exit 0 with a result', { resultFile: '{"rows": [1]}' }, { status: 'COMPLETED', result: { rows: [1] } }],
  ['a result that is no JSON', { resultFile: '{"rows"' }, { status: 'COMPLETED', result: null }],
  [
    'a result that is nested as deep as it may be',
    { resultFile: `${'['.repeat(32)}${']'.repeat(32)}` },
    { status: 'COMPLETED', result: expect.any(Array) as unknown },
  ],
  [
    'a result that is nested too deep',
    { resultFile: `${'['.repeat(33)}${']'.repeat(33)}` },
    { status: 'COMPLETED', result: null },
  ],
  ['exit 0 with an error file', { errorFile: '{"type":"X"}' }, { status: 'COMPLETED', error: null }],
  [
    'exit 3',
    { exitCode: 3 },
    { status: 'FAILED', exitCode: 3, error: { type: 'ExitCode', message: 'exit code 3' } },
  ],
  ...(
    [
      [65, 'InvalidInput'],
      [68, 'ConnectionTimeout'],
      [69, 'ServiceUnavailable'],
      [75, 'TemporaryFailure'],
      [77, 'AuthenticationError'],
    ] as const
  ).map(([exitCode, type]): [string, Partial<Exit>, Partial<Outcome>] => [
    `sysexits ${exitCode}`,
    { exitCode },
    { status: 'FAILED', error: { type, message: `exit code ${exitCode}` } },
  ]),
  [
    '66, which has no meaning here',
    { exitCode: 66 },
    { error: { type: 'ExitCode', message: 'exit code 66' } },
  ],
  [
    'the error file before sysexits',
    { exitCode: 75, errorFile: '{"type":"QuotaExceeded","message":"disk"}' },
    { status: 'FAILED', error: { type: 'QuotaExceeded', message: 'disk' } },
  ],
  [
    'an error file without a message',
    { exitCode: 1, errorFile: '{"type":"X"}' },
    { error: { type: 'X', message: '' } },
  ],
  [
    'a message that is no text',
    { exitCode: 1, errorFile: '{"type":"X","message":1}' },
    { error: { type: 'X', message: '' } },
  ],
  [
    'an error file without a type',
    { exitCode: 69, errorFile: '{"message":"m"}' },
    { error: { type: 'ServiceUnavailable', message: 'exit code 69' } },
  ],
  [
    'an empty type',
    { exitCode: 1, errorFile: '{"type":""}' },
    { error: { type: 'ExitCode', message: 'exit code 1' } },
  ],
  [
    'a type that is too long',
    { exitCode: 1, errorFile: JSON.stringify({ type: 'x'.repeat(129) }) },
    { error: { type: 'ExitCode', message: 'exit code 1' } },
  ],
  [
    'an error file that is null',
    { exitCode: 1, errorFile: 'null' },
    { error: { type: 'ExitCode', message: 'exit code 1' } },
  ],
  [
    'a torn error file',
    { exitCode: 1, errorFile: '{"type":' },
    { error: { type: 'ExitCode', message: 'exit code 1' } },
  ],
  [
    'a signal',
    { exitCode: null, signal: 'SIGSEGV' },
    {
      status: 'FAILED',
      signal: 'SIGSEGV',
      exitCode: null,
      error: { type: 'Signal', message: 'ended by SIGSEGV' },
    },
  ],
  [
    'the error file before a signal',
    { exitCode: null, signal: 'SIGABRT', errorFile: '{"type":"Panic","message":"p"}' },
    { error: { type: 'Panic', message: 'p' } },
  ],
  [
    'a timeout by KILL',
    { exitCode: null, signal: 'SIGKILL', reason: 'timeout', message: 'ran longer than 5 s' },
    { status: 'FAILED', error: { type: 'Timeout', message: 'ran longer than 5 s' } },
  ],
  [
    'a timeout that the task answered with exit 0',
    { reason: 'timeout', message: 'm' },
    { status: 'FAILED', exitCode: 0, error: { type: 'Timeout', message: 'm' } },
  ],
  [
    'a timeout answered with sysexits',
    { reason: 'timeout', exitCode: 75 },
    { error: { type: 'TemporaryFailure', message: 'exit code 75' } },
  ],
  [
    'a failed start',
    { reason: 'startFailed', exitCode: null, message: 'command not found: nope' },
    { status: 'FAILED', error: { type: 'StartFailed', message: 'command not found: nope' } },
  ],
  [
    'stopped',
    { reason: 'stopped', exitCode: null, signal: 'SIGTERM' },
    { status: 'CANCELLED', signal: 'SIGTERM', error: null },
  ],
  ['stopped, exit 0', { reason: 'stopped' }, { status: 'CANCELLED', exitCode: 0, error: null }],
  [
    'unknown',
    { reason: 'unknown', exitCode: null, message: 'the watchdog died' },
    { status: 'LOST', error: { type: 'NodeLost', message: 'the watchdog died' } },
  ],
];

describe('outcomeOf', () => {
  it.each(cases)('%s', (_name, exit, expected) => {
    expect(outcomeOf({ ...exited, ...exit })).toMatchObject(expected);
  });
});
