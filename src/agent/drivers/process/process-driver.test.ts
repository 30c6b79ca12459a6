import { describe, expect, it } from 'vitest';

import { attemptSpec, containerSpec, describeDriver } from '../driver-contract.test-kit.ts';
import { DEFAULT_POLICY } from '../../../model/policy.ts';
import { ProcessDriver } from './process-driver.ts';
import { createWatchdogHarness } from '../../watchdog/watchdog.test-kit.ts';

const never = new AbortController().signal;

describeDriver('process', async () => {
  const harness = await createWatchdogHarness();
  return {
    driver: harness.driver(),
    commands: {
      succeed: ['true'],
      exit3: ['sh', '-c', 'exit 3'],
      endless: ['sleep', '1000'],
      impossible: ['/nowhere/no-such-command'],
    },
    dispose: () => harness.dispose(),
  };
});

describe('process', () => {
  it('refuses a user that its node forbids', async () => {
    const harness = await createWatchdogHarness();
    const driver = new ProcessDriver(harness.client(), { ...DEFAULT_POLICY, users: ['app'] });
    try {
      await driver.open(5, never);
      const spec = attemptSpec({ command: ['true'], user: 'root' });
      await expect(driver.start(spec, never)).rejects.toMatchObject({
        code: 'invalid',
        message: 'user "root" is forbidden by policy.users, which allows app',
      });
      expect(await driver.list(never)).toEqual([]);
    } finally {
      await driver.close();
      await harness.dispose();
    }
  });

  it('refuses what names no attempt, before the watchdog sees it', async () => {
    const harness = await createWatchdogHarness();
    try {
      const driver = harness.driver();
      const invalid = { code: 'invalid' };
      const spec = attemptSpec({ command: ['true'] });
      for (const taskId of ['', '../x', 'a/b', 'x'.repeat(129)]) {
        await expect(driver.start({ ...spec, taskId }, never)).rejects.toMatchObject(invalid);
        await expect(driver.stop({ taskId, assignment: 1 }, { graceMs: 1 }, never)).rejects.toMatchObject(
          invalid,
        );
      }
      await expect(driver.start({ ...spec, container: containerSpec() }, never)).rejects.toMatchObject(
        invalid,
      );
      await expect(driver.start({ ...spec, assignment: 1.5 }, never)).rejects.toMatchObject(invalid);
      await expect(driver.stop(spec, { graceMs: -1 }, never)).rejects.toMatchObject(invalid);
    } finally {
      await harness.dispose();
    }
  });
});
