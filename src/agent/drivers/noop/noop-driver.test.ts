import { describe, expect, it } from 'vitest';

import { systemClock } from '../../../lib/clock.ts';
import type { Clock } from '../../../lib/clock.ts';
import { attemptSpec, containerSpec, describeDriver } from '../driver-contract.test-kit.ts';
import { NoopDriver } from './noop-driver.ts';

const never = new AbortController().signal;

describeDriver('noop', async () => {
  const driver = new NoopDriver(systemClock);
  return {
    driver,
    commands: {
      succeed: ['noop'],
      exit3: ['noop', '0ms', '3'],
      endless: ['noop', '100000s'],
      impossible: ['noop', 'soon'],
    },
    dispose: async () => driver.close(),
  };
});

describe('noop', () => {
  it('refuses an image', async () => {
    const driver = new NoopDriver(systemClock);
    const spec = attemptSpec({ command: ['noop'], container: containerSpec() });
    await expect(driver.start(spec, never)).rejects.toMatchObject({
      code: 'invalid',
      message: 'the noop driver runs no images, but was given "python:3.9"',
    });
  });

  it('ends after its time, or its timeout, by the clock that it is given', async () => {
    let nowMs = 1000;
    const alarms: { atMs: number; callback: () => void }[] = [];
    const clock: Clock = {
      wallMs: () => nowMs,
      monotonicMs: () => nowMs,
      after(delayMs, callback) {
        alarms.push({ atMs: nowMs + delayMs, callback });
        return () => {};
      },
    };
    const driver = new NoopDriver(clock);
    await driver.start(attemptSpec({ taskId: 'a', command: ['noop', '50ms', '4'] }), never);
    await driver.start(attemptSpec({ taskId: 'b', command: ['noop', '2s'], timeoutMs: 70 }), never);
    for (const { atMs, callback } of alarms) {
      nowMs = atMs;
      callback();
    }
    expect(await driver.wait({ taskId: 'a', assignment: 1 }, never)).toMatchObject({
      exitCode: 4,
      finishedAtMs: 1050,
    });
    expect(await driver.wait({ taskId: 'b', assignment: 1 }, never)).toMatchObject({
      reason: 'timeout',
      finishedAtMs: 1070,
    });
  });
});
