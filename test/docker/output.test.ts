/** The output of containers is kept whole: also of those that end at once, write much, or write what is no text. */
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';

import { afterAll, beforeAll, expect, it } from 'vitest';

import type { AttemptKey } from '../../src/agent/drivers/driver.ts';
import { readLog } from '../../src/agent/watchdog/attempt-log.ts';
import { attemptDirectory } from '../../src/agent/watchdog/paths.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES } from '../support/docker-bed/docker-bed.ts';
import { DriverBench, never } from '../support/docker-driver.ts';
import { waitFor } from '../support/wait.ts';

describeWithBed('the output of containers', (bed) => {
  let bench: DriverBench;

  beforeAll(async () => {
    await bed().engine.api.pull(bed().openRegistry.reference(IMAGES.hello));
    bench = await DriverBench.open(bed());
  });

  afterAll(async () => {
    await bench.dispose();
  });

  async function streams(key: AttemptKey): Promise<Record<'stdout' | 'stderr', string>> {
    const texts = { stdout: '', stderr: '' };
    for await (const { stream, data } of readLog(attemptDirectory(bench.directory, key)))
      texts[stream] += data.toString('latin1');
    return texts;
  }

  it('is whole however soon they end', async () => {
    const specs = Array.from({ length: 20 }, (_, index) =>
      bench.spec(['sh', '-c', `echo out ${index}; echo err ${index} >&2`]),
    );
    await Promise.all(specs.map((spec) => bench.run(spec)));
    for (const [index, spec] of specs.entries()) {
      expect(await streams(spec)).toEqual({ stdout: `out ${index}\n`, stderr: `err ${index}\n` });
    }
  });

  it('is whole where there is much of it, in order', async () => {
    const spec = bench.spec(['seq', '1', '150000']);
    await bench.run(spec);
    const expected = Array.from({ length: 150_000 }, (_, index) => `${index + 1}\n`).join('');
    expect((await streams(spec)).stdout === expected).toBe(true);
  });

  it('is kept byte for byte, lines or not', async () => {
    const script = 'head -c 300000 /dev/urandom > /tmp/x; sha256sum < /tmp/x >&2; cat /tmp/x';
    const spec = bench.spec(['sh', '-c', script]);
    await bench.run(spec);
    const { stdout, stderr } = await streams(spec);
    const bytes = Buffer.from(stdout, 'latin1');
    expect(bytes).toHaveLength(300_000);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(stderr.slice(0, 64));
  });

  it('comes while they run', async () => {
    const spec = bench.spec(['sh', '-c', 'echo first; sleep 1000']);
    await bench.driver.start(spec, never);
    await waitFor('the first line', async () => (await streams(spec)).stdout === 'first\n');
    expect(await bench.view(spec)).toMatchObject({ type: 'running' });
    await bench.driver.stop(spec, { graceMs: 0 }, never);
  });

  it('that its engine cannot read any more costs no exit', async () => {
    const spec = bench.spec(['sh', '-c', 'echo before; sleep 1; echo after; exit 5']);
    await bench.driver.start(spec, never);
    await waitFor('the first line', async () => (await streams(spec)).stdout === 'before\n');
    const { Id } = await bed().engine.api.inspect(bench.container(spec));
    appendFileSync(bed().engine.containerLog(Id), Buffer.alloc(28, 0xee));
    expect(await bench.driver.wait(spec, never)).toMatchObject({ reason: 'exited', exitCode: 5 });
    expect((await streams(spec)).stdout).toContain('before\n');
  });

  it('is bounded as the policy of the node says', async () => {
    const small = await DriverBench.open(bed(), {
      policy: { logLimits: { maxFileBytes: 64 * 1024, maxFiles: 2 } },
    });
    const spec = small.spec(['seq', '1', '200000']);
    const exit = await small.run(spec);
    const kept = await small.output(spec);
    expect(kept.length).toBeLessThan(150 * 1024);
    expect(kept.endsWith('199999\n200000\n')).toBe(true);
    expect(exit.logTail.endsWith('199999\n200000\n')).toBe(true);
    await small.dispose();
  });
});
