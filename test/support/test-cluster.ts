/** Clusters that belong to a test: shown when it fails, gone when it ends. */
import { onTestFailed, onTestFinished } from 'vitest';

import { TestCluster, type ClusterOptions } from './cluster.ts';

/** Nothing runs yet. */
export async function prepareCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const cluster = await TestCluster.create(options);
  // Read before the files go, whichever of the two comes first.
  let tails: string | null = null;
  onTestFailed(() => {
    process.stderr.write(tails ?? cluster.logTails());
  });
  onTestFinished(async () => {
    tails = cluster.logTails();
    await cluster.dispose();
  });
  return cluster;
}

export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const cluster = await prepareCluster(options);
  await cluster.start();
  return cluster;
}
