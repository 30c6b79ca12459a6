/** Containers end with the lease of their node, by a real watchdog, whatever the engine and the daemon do meanwhile. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { AttemptGuard } from '../../src/agent/drivers/docker/attempt-guard.ts';
import type { AttemptSpec } from '../../src/agent/drivers/driver.ts';
import type { WatchdogClient } from '../../src/agent/watchdog/client.ts';
import type { WatchdogHarness } from '../../src/agent/watchdog/watchdog.test-kit.ts';
import { createWatchdogHarness, isGone } from '../../src/agent/watchdog/watchdog.test-kit.ts';
import { bootTimeMs } from '../../src/lib/boot-time.ts';
import { DEFAULT_POLICY } from '../../src/model/policy.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES } from '../support/docker-bed/docker-bed.ts';
import { DriverBench, never } from '../support/docker-driver.ts';
import { waitFor } from '../support/wait.ts';

const SESSION = 5;
/** So long that a container runs by then on a busy machine. */
const LEASE_MS = 6000;

describeWithBed('containers under a lease', (bed) => {
  let harness: WatchdogHarness;
  let watchdog: WatchdogClient;
  let bench: DriverBench;
  let marks: string;
  /** Between the word of the watchdog and the start. */
  let onGuarded: () => Promise<void>;

  beforeAll(async () => {
    await bed().engine.api.pull(bed().openRegistry.reference(IMAGES.hello));
  });

  beforeEach(async () => {
    marks = mkdtempSync(path.join(tmpdir(), 'jarvis-marks-'));
    harness = await createWatchdogHarness({ leaseMs: 0 });
    watchdog = harness.client();
    await watchdog.open(SESSION, never);
    await watchdog.extendLease(SESSION, bootTimeMs() + LEASE_MS, never);
    onGuarded = async () => {};
    const guard: AttemptGuard = {
      async guard(...call) {
        await watchdog.guard(...call);
        await onGuarded();
      },
      isGuardOver: (...call) => watchdog.isGuardOver(...call),
      release: (...call) => watchdog.release(...call),
    };
    bench = await DriverBench.open(bed(), {
      guard,
      policy: { shared: { ...DEFAULT_POLICY, mounts: [{ source: marks, readOnly: false }] } },
    });
  });

  afterEach(async () => {
    await bench.dispose();
    await harness.dispose();
    rmSync(marks, { recursive: true });
  });

  /** Leaves a line outside when it begins. */
  function marking(rest: string, changes: Partial<Pick<AttemptSpec, 'isLeased'>> = {}): AttemptSpec {
    return bench.spec(['sh', '-c', `echo run >> /marks/$JARVIS_TASK_ID; ${rest}`], {
      ...changes,
      container: { mounts: [{ source: marks, target: '/marks', readOnly: false }] },
    });
  }

  function executions({ taskId }: AttemptSpec): number {
    const file = path.join(marks, taskId);
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
  }

  async function pidOf(spec: AttemptSpec): Promise<number> {
    return (await bed().engine.api.inspect(bench.container(spec))).State.Pid;
  }

  describe('that has run out', () => {
    it('are killed, also while the engine is stopped, and say why; others live on', async () => {
      const endless = 'trap "" TERM; while :; do sleep 0.1; done';
      const leased = marking(endless);
      const unleased = marking(endless, { isLeased: false });
      await bench.driver.start(leased, never);
      await bench.driver.start(unleased, never);
      const [gone, left] = [await pidOf(leased), await pidOf(unleased)];
      await bed().engine.pause();
      await waitFor('the container is dead', () => isGone(gone));
      expect(isGone(left)).toBe(false);
      await bed().engine.heal();
      expect(await bench.driver.wait(leased, never)).toMatchObject({ reason: 'leaseLost' });
      expect(isGone(left)).toBe(false);
    });

    it('never execute where a stopped engine starts them late, also under a new lease', async () => {
      const spec = marking('exit 0');
      onGuarded = () => bed().engine.pause();
      const started = bench.driver.start(spec, never);
      started.catch(() => undefined);
      await waitFor('the lease to be over', async () => await watchdog.isGuardOver(spec, never));
      await watchdog.extendLease(SESSION, bootTimeMs() + 60_000, never);
      await bed().engine.heal();
      const exit = await bench.driver.wait(spec, never);
      expect(['leaseLost', 'unknown', 'startFailed']).toContain(exit.reason);
      expect(executions(spec)).toBe(0);
    });

    it('let go of their group once the engine has removed them', async () => {
      const spec = marking('exit 0');
      await bench.run(spec);
      await waitFor('the group is released', async () => !(await watchdog.isGuardOver(spec, never)));
      expect(executions(spec)).toBe(1);
    });
  });
});
