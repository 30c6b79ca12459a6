/** `jarvisctl cluster`: the cluster as a whole. */
import type { Command } from 'commander';

import type { Context } from '../context.ts';
import { registerClusterStatus } from './cluster-status.ts';

export function registerCluster(program: Command, context: Context): void {
  const cluster = program.command('cluster').description('Look at the cluster as a whole.');
  registerClusterStatus(cluster, context);
}
