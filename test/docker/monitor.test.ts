/** What is measured of containers: from their control groups, and as the engine says it. */
import { afterAll, beforeAll, expect, it } from 'vitest';

import type { AttemptSpec } from '../../src/agent/drivers/driver.ts';
import { AttemptReader } from '../../src/agent/monitor/attempt-reader.ts';
import { GroupHierarchies } from '../../src/agent/monitor/group-counters.ts';
import { ProcessCounters } from '../../src/agent/monitor/process-counters.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES } from '../support/docker-bed/docker-bed.ts';
import { DriverBench, never } from '../support/docker-driver.ts';
import { waitFor } from '../support/wait.ts';

const MIB = 1024 * 1024;

describeWithBed('what containers use', (bed) => {
  let bench: DriverBench;
  const reader = new AttemptReader(new GroupHierarchies(), new ProcessCounters());

  beforeAll(async () => {
    await bed().engine.api.pull(bed().openRegistry.reference(IMAGES.hello));
    bench = await DriverBench.open(bed());
  });

  afterAll(async () => {
    await bench.dispose();
  });

  async function started(command: readonly string[]): Promise<AttemptSpec> {
    const limits = { cpuMillis: null, memoryBytes: 64 * MIB, pids: null };
    const spec = bench.spec(command, { limits });
    await bench.driver.start(spec, never);
    return spec;
  }

  function countersOf({ taskId }: AttemptSpec) {
    const running = bench.driver.running().find((attempt) => attempt.taskId === taskId);
    if (running === undefined) throw new Error(`${taskId} does not run`);
    return reader.read(running, { group: null, network: null }, []);
  }

  it('is read from their groups, and the engine says the same', async () => {
    const idle = await started(['sleep', '600']);
    const burning = await started(['sh', '-c', 'while :; do :; done']);
    await waitFor('one of them has burnt', () => {
      const [burnt, rested] = [countersOf(burning), countersOf(idle)];
      return (burnt?.cpuUs ?? 0) > 10 * (rested?.cpuUs ?? Infinity);
    });
    const own = countersOf(burning);
    expect(own).toMatchObject({ memoryLimitBytes: 64 * MIB, pids: 1 });
    expect(own?.memoryBytes).toBeGreaterThan(0);
    // Later, of the same counters.
    const said = await bench.driver.askCounters(burning, never);
    expect(said?.cpuUs).toBeGreaterThanOrEqual(own?.cpuUs ?? Infinity);
    expect(said).toMatchObject({ memoryLimitBytes: 64 * MIB, pids: 1 });
    for (const spec of [idle, burning]) await bench.driver.stop(spec, { graceMs: 0 }, never);
    expect(bench.driver.running()).toEqual([]);
  });
});
