/** What is left of an attempt at the engine and in the control groups. */
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { insistOnGuard } from './attempt-guard.ts';
import type { ContainerRecord } from './container-record.ts';
import type { DockerTools } from './docker-tools.ts';
import { insistThroughRefusals } from './insist.ts';
import { DOCKER_LIMITS } from './limits.ts';
import { cgroupPathOf, containerNameOf } from './naming.ts';

type Tools = Pick<DockerTools, 'engine' | 'owner' | 'cgroups' | 'guard' | 'closing'>;

/**
 * The container by its name, which also finds one whose create was never answered; then its group. What cannot be removed
 * is found again by the next look at all containers.
 * @returns whether nothing is left, and nobody guards its group any more
 */
export async function removeLeftovers(record: ContainerRecord, tools: Tools, log: Log): Promise<boolean> {
  const { cgroups, closing } = tools;
  const { cgroupParent } = record;
  try {
    await removeContainer(record, tools);
    if (cgroupParent !== null && !cgroups.remove(cgroupPathOf(cgroupParent)))
      log.warn({ cgroupParent }, 'a control group of an ended attempt is still in use');
    // Only now: the engine has no such container, and nobody here asks for it any more [KEEPFROZEN].
    await insistOnGuard(closing, () => tools.guard.release(record.view, closing));
    return true;
  } catch (error) {
    if (!closing.aborted) log.warn({ error: messageOf(error) }, 'a container was not removed');
    return false;
  }
}

/** Resolves when nothing of it can run any more: the container is gone, and its group is empty. */
export async function removeUntilGone(record: ContainerRecord, tools: Tools): Promise<void> {
  await removeContainer(record, tools);
  if (record.cgroupParent === null) return;
  const group = cgroupPathOf(record.cgroupParent);
  while (tools.cgroups.kill(group) > 0)
    await delay(DOCKER_LIMITS.killPauseMinMs, undefined, { signal: tools.closing });
}

async function removeContainer(record: ContainerRecord, { engine, owner, closing }: Tools): Promise<void> {
  const name = record.containerId ?? containerNameOf(owner, record.view);
  await insistThroughRefusals(closing, () => engine.remove(name, closing));
}
