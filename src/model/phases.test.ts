import { describe, expect, it } from 'vitest';

import { isAttemptOver, isTerminal, mayAttemptBecome, mayTaskBecome } from './phases.ts';
import type { AttemptStatus, TaskStatus } from './task.ts';

const TASK: readonly TaskStatus[] = [
  ...(['WAITING', 'PENDING', 'ASSIGNED', 'RUNNING', 'COMPLETED', 'FAILED'] as const),
  ...(['PERMANENTLY_FAILED', 'CANCELLED', 'SKIPPED'] as const),
];
const ATTEMPT: readonly AttemptStatus[] = [
  ...(['ASSIGNED', 'STARTING', 'RUNNING', 'COMPLETED', 'FAILED', 'LOST', 'CANCELLED'] as const),
];

describe('phases', () => {
  it('end in the four terminal statuses of the contract', () => {
    expect(TASK.filter(isTerminal)).toEqual(['COMPLETED', 'PERMANENTLY_FAILED', 'CANCELLED', 'SKIPPED']);
    for (const from of TASK.filter(isTerminal)) {
      expect(TASK.filter((to) => mayTaskBecome(from, to))).toEqual([]);
    }
  });

  it('run only what was assigned', () => {
    expect(TASK.filter((from) => mayTaskBecome(from, 'RUNNING'))).toEqual(['ASSIGNED']);
    expect(TASK.filter((from) => mayTaskBecome(from, 'ASSIGNED'))).toEqual(['PENDING']);
  });

  it('of attempts only move forward', () => {
    const moves = ATTEMPT.flatMap((from) =>
      ATTEMPT.filter((to) => mayAttemptBecome(from, to)).map((to) => `${from} → ${to}`),
    );
    const ends = ['COMPLETED', 'FAILED', 'LOST', 'CANCELLED'];
    expect(moves).toEqual([
      ...['STARTING', 'RUNNING', ...ends].map((to) => `ASSIGNED → ${to}`),
      ...['STARTING', 'RUNNING', ...ends].map((to) => `STARTING → ${to}`),
      ...ends.map((to) => `RUNNING → ${to}`),
      'LOST → COMPLETED',
    ]);
    expect(ATTEMPT.filter(isAttemptOver)).toEqual(ends);
  });
});
