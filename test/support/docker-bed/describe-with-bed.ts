/** How suites with real containers begin: with a bed of their own, or skipped with the reason where there can be none. */
import { afterAll, beforeAll, describe } from 'vitest';

import { startDockerBed } from './docker-bed.ts';
import type { DockerBed, DockerBedOptions } from './docker-bed.ts';
import { bedObstacle } from './programs.ts';

/** The bed is there from the first `beforeAll` of `body` on. */
export function describeWithBed(
  name: string,
  body: (bed: () => DockerBed) => void,
  options: DockerBedOptions = {},
): void {
  describeWhereBedsStart(name, () => {
    let bed: DockerBed | null = null;

    beforeAll(async () => {
      bed = await startDockerBed(options);
    });

    afterAll(async () => {
      await bed?.stop();
    });

    body(() => {
      if (bed === null) throw new Error('the bed is there only while tests and hooks run');
      return bed;
    });
  });
}

/** For a suite that starts its beds itself. With `CI=true` nothing is skipped: what is missing makes it fail. */
export function describeWhereBedsStart(name: string, body: () => void): void {
  const obstacle = process.env['CI'] === 'true' ? null : bedObstacle();
  if (obstacle !== null) process.stderr.write(`skipped: ${name}: ${obstacle}\n`);
  describe.skipIf(obstacle !== null)(`${name}, on a real engine`, () => {
    body();
  });
}
