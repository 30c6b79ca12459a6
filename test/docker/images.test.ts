/** Images are pulled once for all who want them, told about, and removed again where Jarvis brought them. */
import { afterEach, beforeEach, expect, it } from 'vitest';

import type { AttemptSpec } from '../../src/agent/drivers/driver.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES } from '../support/docker-bed/docker-bed.ts';
import { DriverBench, never } from '../support/docker-driver.ts';
import { waitFor, within } from '../support/wait.ts';

describeWithBed('the images of containers', (bed) => {
  let bench: DriverBench;

  beforeEach(async () => {
    bench = await DriverBench.open(bed(), { policy: { imageLimits: { maxAgeMs: 0, maxBytes: 0 } } });
  });

  afterEach(async () => {
    await bench.dispose();
    const { api } = bed().engine;
    for (const image of [IMAGES.hello, IMAGES.large, IMAGES.entry])
      await api.removeImage(bed().openRegistry.reference(image)).catch(() => undefined);
  });

  function of(image: string, changes: Parameters<DriverBench['spec']>[1] = {}): AttemptSpec {
    const container = { image: bed().openRegistry.reference(image), ...changes.container };
    return bench.spec(['true'], { ...changes, container });
  }

  async function isPresent(image: string): Promise<boolean> {
    const where = `/images/${encodeURIComponent(bed().openRegistry.reference(image))}/json`;
    return (await bed().engine.api.send('GET', where)).status === 200;
  }

  /** How often the engine pulled it since then. */
  async function pullsSince(seconds: number, image: string): Promise<number> {
    const filters = encodeURIComponent(JSON.stringify({ type: ['image'], event: ['pull'] }));
    const until = Math.ceil(Date.now() / 1000) + 1;
    const { text } = await bed().engine.api.send(
      'GET',
      `/events?since=${seconds}&until=${until}&filters=${filters}`,
    );
    return text.split('\n').filter((line) => line.includes(bed().openRegistry.reference(image))).length;
  }

  it('are pulled once for all who wait, and each is told', async () => {
    const since = Math.floor(Date.now() / 1000);
    const { process: registry } = bed().openRegistry;
    await registry.pause();
    const notes: string[][] = [];
    const runs = Array.from({ length: 6 }, async (_, index) => {
      notes[index] = [];
      const spec = of(IMAGES.large);
      await bench.driver.start(spec, never, (note) => notes[index]?.push(note));
      return bench.driver.wait(spec, never);
    });
    await waitFor('all to wait', () => notes.length === 6 && notes.every((told) => told.length > 0));
    registry.resume();
    expect((await Promise.all(runs)).map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0, 0, 0]);
    for (const [first] of notes) expect(first).toBe(`pulling ${bed().openRegistry.reference(IMAGES.large)}`);
    expect(await pullsSince(since, IMAGES.large)).toBe(1);
  });

  it('are pulled again only where that is asked for', async () => {
    const since = Math.floor(Date.now() / 1000);
    await bench.run(of(IMAGES.entry));
    await bench.run(of(IMAGES.entry));
    expect(await pullsSince(since, IMAGES.entry)).toBe(1);
    await bench.run(of(IMAGES.entry, { container: { pullPolicy: 'always' } }));
    expect(await pullsSince(since, IMAGES.entry)).toBe(2);
  });

  it('are pulled once more where somebody removed them in between', async () => {
    await bench.run(of(IMAGES.hello));
    await bed().engine.api.removeImage(bed().openRegistry.reference(IMAGES.hello));
    expect(await bench.run(of(IMAGES.hello))).toMatchObject({ exitCode: 0 });
  });

  it('of a slow registry hold up no others', async () => {
    await bench.run(of(IMAGES.hello));
    const { process: registry } = bed().openRegistry;
    await registry.pause();
    const slow = of(IMAGES.entry);
    const starting = bench.driver.start(slow, never);
    expect(await bench.run(of(IMAGES.hello))).toMatchObject({ exitCode: 0 });
    expect(await within(starting, 10, 'late')).toBe('late');
    registry.resume();
    await starting;
    expect(await bench.driver.wait(slow, never)).toMatchObject({ exitCode: 0 });
  });

  it('are removed when nothing needs them, if Jarvis brought them', async () => {
    await bed().engine.api.pull(bed().openRegistry.reference(IMAGES.entry));
    await bench.run(of(IMAGES.entry));
    await bench.run(of(IMAGES.hello));
    const running = bench.spec(['sleep', '1000'], {
      container: { image: bed().openRegistry.reference(IMAGES.large) },
    });
    await bench.driver.start(running, never);
    await bench.driver.collectImages(never);
    expect(await isPresent(IMAGES.hello)).toBe(false);
    // Somebody else's; and one that runs.
    expect(await isPresent(IMAGES.entry)).toBe(true);
    expect(await isPresent(IMAGES.large)).toBe(true);
    await bench.driver.stop(running, { graceMs: 0 }, never);
    // What was pulled is still known after a restart.
    await bench.restart();
    await bench.driver.collectImages(never);
    expect(await isPresent(IMAGES.large)).toBe(false);
  });
});
