/** What is not sent on while there may be members of an earlier build, which would take it for something else. */
import type { TaskSpec } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { ClusterRow } from '../model/cluster.ts';
import { clusterHas, clusterVersionOf, FEATURE_VERSIONS } from '../model/command-versions.ts';

/**
 * An earlier leader would lose the values of sensitive variables, and an earlier member that leads later would show them.
 * @throws JarvisError unavailable
 */
export function expectKnownVariables(
  cluster: Pick<ClusterRow, 'version'> | null,
  tasks: readonly (TaskSpec | undefined)[],
): void {
  if (clusterHas(cluster, 'sensitiveEnv')) return;
  const isSensitive = tasks.some((task) => Object.keys(task?.sensitive_env ?? {}).length > 0);
  if (!isSensitive) return;
  const at = `the cluster is at version ${clusterVersionOf(cluster)} until all nodes are upgraded`;
  throw new JarvisError(
    'unavailable',
    `${at}: sensitive variables need version ${FEATURE_VERSIONS.sensitiveEnv}`,
    { retryAfterMs: limits.upgradeRetryMs },
  );
}
