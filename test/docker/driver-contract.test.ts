/** The docker driver keeps the promises of every driver, on a real engine. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { beforeAll } from 'vitest';

import { describeDriver } from '../../src/agent/drivers/driver-contract.test-kit.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES } from '../support/docker-bed/docker-bed.ts';
import { createTestDriver, tracesOfOwner } from '../support/docker-driver.ts';

describeWithBed('the docker driver', (bed) => {
  beforeAll(async () => {
    await bed().engine.api.pull(bed().openRegistry.reference(IMAGES.hello));
  });

  describeDriver('docker', async () => {
    const dataDirectory = mkdtempSync(path.join(tmpdir(), 'jarvis-docker-'));
    const { driver, owner } = await createTestDriver(bed(), dataDirectory);
    return {
      driver,
      container: {
        image: bed().openRegistry.reference(IMAGES.hello),
        user: null,
        mounts: [],
        network: 'none',
        pullPolicy: 'if_not_present',
        labels: {},
      },
      commands: {
        succeed: ['true'],
        exit3: ['sh', '-c', 'exit 3'],
        endless: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'],
        impossible: ['/no/such/program'],
      },
      dispose: async () => {
        await driver.killAll(AbortSignal.timeout(30_000));
        await driver.close();
        const traces = await tracesOfOwner(bed(), owner);
        if (traces.length > 0) throw new Error(`left behind: ${traces.join(', ')}`);
        rmSync(dataDirectory, { recursive: true });
      },
    };
  });
});
