/**
 * The control groups that nodes make above their containers. A node that is killed leaves them behind, and they can be
 * removed only when the engine has ended what is in them.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { cgroupPrefixOf } from '../../src/agent/drivers/docker/naming.ts';
import type { TestCluster } from './cluster.ts';
import { findCgroupsBeginning, removeCgroup } from './docker-bed/cgroups.ts';
import { waitFor } from './wait.ts';

/** How the names of its nodes' groups begin; to be asked for while their directories are there. */
export function attemptGroupPrefixes({ nodes }: Pick<TestCluster, 'nodes'>): readonly string[] {
  return nodes.map(({ name, settings }) => {
    const identity = readFileSync(path.join(settings.dataDir, 'identity.json'), 'utf8');
    const { incarnation } = JSON.parse(identity) as { readonly incarnation: string };
    return cgroupPrefixOf({ node: name, incarnation, dataDirectory: settings.dataDir });
  });
}

/** @throws Error where something holds one of them */
export async function removeAttemptGroups(prefixes: readonly string[]): Promise<void> {
  const areGone = (): boolean => prefixes.flatMap(findCgroupsBeginning).map(removeCgroup).every(Boolean);
  await waitFor('the control groups of attempts to be removed', areGone);
}
