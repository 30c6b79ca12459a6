/** `jarvisctl cluster`: the cluster as a whole. */
import type { Command } from 'commander';

import type { Context } from '../context.ts';
import { registerClusterStatus } from './cluster-status.ts';
import { registerJoinToken } from './join-token.ts';
import { registerMembers } from './members.ts';

export function registerCluster(program: Command, context: Context): void {
  const cluster = program
    .command('cluster')
    .description('The cluster as a whole: its state, its members, who leads.');
  registerClusterStatus(cluster, context);
  registerMembers(cluster, context);
  registerJoinToken(cluster, context);
}
