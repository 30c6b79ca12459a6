/** The policy, checked once more where the paths are: what was a directory at submission may be a link here. */
import { realpath } from 'node:fs/promises';

import { isErrno } from '../../../lib/errno.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { NodePolicy } from '../../../model/policy.ts';
import { violationsOf } from '../../../model/policy.ts';
import type { ContainerSpec, Mount } from '../../../model/task.ts';
import { StartFailure } from './start-failure.ts';

/**
 * @returns the mounts with their sources as they are without links
 * @throws StartFailure naming the rule that forbids something
 */
export async function permittedMounts(
  container: ContainerSpec,
  policy: NodePolicy,
): Promise<readonly Mount[]> {
  refuse(container, policy);
  if (container.mounts.length === 0) return [];
  const mounts = await Promise.all(
    container.mounts.map(async (mount) => ({ ...mount, source: await withoutLinks(mount.source) })),
  );
  const allowed = await Promise.all(
    policy.mounts.map(async (rule) => ({ ...rule, source: await ifPresent(rule.source) })),
  );
  refuse({ ...container, mounts }, { ...policy, mounts: allowed });
  return mounts;
}

function refuse(container: ContainerSpec, policy: NodePolicy): void {
  const violations = violationsOf(container, policy);
  if (violations.length > 0)
    throw new StartFailure(violations.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
}

/** @throws StartFailure where it is not there */
async function withoutLinks(source: string): Promise<string> {
  try {
    return await realpath(source);
  } catch (error) {
    const why = isErrno(error, 'ENOENT') ? 'does not exist on this node' : messageOf(error);
    throw new StartFailure(`mounts: ${JSON.stringify(source)} ${why}`, { cause: error });
  }
}

/** A folder of the policy that is not there allows nothing, by whatever name. */
async function ifPresent(source: string): Promise<string> {
  try {
    return await realpath(source);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return source;
    throw error;
  }
}
