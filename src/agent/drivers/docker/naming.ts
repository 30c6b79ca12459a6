/** How containers and control groups of attempts are named, and how they are found again. */
import { z } from 'zod';

import { isAttemptKey, placeOf } from '../../watchdog/paths.ts';
import type { AttemptKey, AttemptSpec } from '../driver.ts';
import type { ContainerOwner } from './options.ts';

const LABEL = 'io.jarvis';
/** Every container of any node has it. */
export const OWNED_LABEL = `${LABEL}.incarnation`;

const labelsSchema = z.object({
  [OWNED_LABEL]: z.string(),
  [`${LABEL}.data-directory`]: z.string(),
  [`${LABEL}.task`]: z.string(),
  [`${LABEL}.assignment`]: z.string().regex(/^[0-9]{1,16}$/),
});

/** Those of the task, and, whatever it says, those by which the container is found again. */
export function labelsOf(owner: ContainerOwner, spec: AttemptSpec): Record<string, string> {
  return {
    ...spec.container?.labels,
    [OWNED_LABEL]: owner.incarnation,
    [`${LABEL}.data-directory`]: placeOf(owner.dataDirectory),
    [`${LABEL}.node`]: owner.node,
    [`${LABEL}.task`]: spec.taskId,
    [`${LABEL}.assignment`]: String(spec.assignment),
    [`${LABEL}.attempt`]: String(spec.attempt),
    [`${LABEL}.session`]: String(spec.session),
    [`${LABEL}.term`]: String(spec.term),
    [`${LABEL}.fencing-token`]: spec.fencingToken,
  };
}

/**
 * The attempt that a container belongs to, if it is this node's. Also one of another incarnation on the same data
 * directory: that one is gone for good, since its directory is ours.
 */
export function attemptOfLabels(
  labels: Readonly<Record<string, string>>,
  owner: ContainerOwner,
): { readonly key: AttemptKey; readonly isOfIncarnation: boolean } | null {
  const parsed = labelsSchema.safeParse(labels);
  if (!parsed.success) return null;
  const incarnation = parsed.data[OWNED_LABEL];
  const isOfIncarnation = incarnation === owner.incarnation;
  const isOfDirectory = parsed.data[`${LABEL}.data-directory`] === placeOf(owner.dataDirectory);
  const key = {
    taskId: parsed.data[`${LABEL}.task`] ?? '',
    assignment: Number(parsed.data[`${LABEL}.assignment`]),
  };
  return (isOfIncarnation || isOfDirectory) && isAttemptKey(key) ? { key, isOfIncarnation } : null;
}

function prefixOf({ incarnation }: ContainerOwner): string {
  return `jarvis-${incarnation.slice(0, 8)}-`;
}

export function containerNameOf(owner: ContainerOwner, { taskId, assignment }: AttemptKey): string {
  return `${prefixOf(owner)}${taskId}-${assignment}`;
}

/**
 * The control group above the attempt's container: its own, and never used again. An engine that asks systemd wants the
 * name of a slice, in which a hyphen means a level.
 */
export function cgroupParentOf(cgroupDriver: string, owner: ContainerOwner, key: AttemptKey): string {
  const name = containerNameOf(owner, key);
  return cgroupDriver === 'systemd'
    ? `jarvis-${name.slice('jarvis-'.length).replaceAll('-', '_')}.slice`
    : `/${name}`;
}

/** Where that group is, below the root of a hierarchy. */
export function cgroupPathOf(cgroupParent: string): string {
  return cgroupParent.endsWith('.slice') ? `/jarvis.slice/${cgroupParent}` : cgroupParent;
}

/** What all groups of the node's attempts begin with, where the engine names them by their path. */
export function cgroupPrefixOf(owner: ContainerOwner): string {
  return prefixOf(owner);
}

/** The same, where it may also be systemd that names them. */
export function cgroupPrefixesOf(owner: ContainerOwner): readonly string[] {
  return [prefixOf(owner), `${prefixOf(owner).slice(0, -1)}_`];
}
