/** From which level on a node logs: changed through another node, seen in its log, and recorded. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { TestCluster } from '../support/cluster.ts';
import { adminTokenOf, ask, makeCredentials, type Credentials } from '../support/credentials.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { waitFor } from '../support/wait.ts';

const CHANGED = 'the level of this log is another one now';

let cluster: TestCluster;
let leader: NodeProcess;
let follower: NodeProcess;
let credentials: Credentials;

beforeAll(async () => {
  cluster = await TestCluster.create({ envOf: () => Promise.resolve(() => ({ JARVISD_AUTH: 'true' })) });
  try {
    await cluster.start();
    credentials = await makeCredentials(cluster, await adminTokenOf(cluster));
    leader = await cluster.leader();
    [follower] = (await cluster.followers()) as [NodeProcess, ...NodeProcess[]];
  } catch (error) {
    process.stderr.write(cluster.logTails());
    throw error;
  }
});

afterAll(async () => {
  await cluster.dispose();
});
