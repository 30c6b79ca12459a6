/**
 * What tasks may use of a node beyond their own container or process (`policy:` of its settings, docs/contract.md section 6). Checked
 * where a task is submitted, where it is placed, and again on the node that starts it.
 */
import { parseImageReference } from '../lib/image-reference.ts';
import { isWithin } from '../lib/paths.ts';
import type { ContainerNeeds, ContainerSpec, TaskNeeds } from './task.ts';

/** As the node tells the cluster: without credentials, and without what it grants by itself. */
export interface NodePolicy {
  /** What lies at and below `source` may be mounted; for reading only where it says so. */
  readonly mounts: readonly { readonly source: string; readonly readOnly: boolean }[];
  readonly hostNetwork: boolean;
  /** Whom a task may name as `user`; null: anybody. */
  readonly users: readonly string[] | null;
  /** Hosts that images may come from, `docker.io` for those without one; null: any. */
  readonly registries: readonly string[] | null;
}

/** Nothing of the node itself. */
export const DEFAULT_POLICY: NodePolicy = { mounts: [], hostNetwork: false, users: null, registries: null };

/** Of a list in a message. */
const MOST_LISTED = 10;

export interface PolicyViolation {
  /** Where in the task. */
  readonly path: readonly (string | number)[];
  /** What is given, the rule that forbids it, and what that allows. */
  readonly message: string;
}

export function needsOfContainer({ image, user, network, mounts }: ContainerSpec): ContainerNeeds {
  return {
    registry: parseImageReference(image).registry,
    user,
    hostNetwork: network === 'host',
    mounts: mounts.map(({ source, readOnly }) => ({ source, readOnly })),
  };
}

/** Everything of the container that the policy forbids; empty where it may run. */
export function violationsOf(container: ContainerSpec, policy: NodePolicy): readonly PolicyViolation[] {
  return violationsOfNeeds(needsOfContainer(container), policy);
}

export function violationsOfNeeds(needs: TaskNeeds, policy: NodePolicy): readonly PolicyViolation[] {
  if (needs === null) return [];
  const { registry, user } = needs;
  // A command that names nobody runs as the node itself does, which is for whoever lets the node run commands to decide.
  if (registry === null) return user === null ? [] : userViolations(user, policy);
  const violations: PolicyViolation[] = [];
  for (const [index, mount] of needs.mounts.entries()) {
    const message = mountViolation(mount, policy);
    if (message !== null) violations.push({ path: ['mounts', index], message });
  }
  if (needs.hostNetwork && !policy.hostNetwork)
    violations.push({ path: ['network'], message: 'host is forbidden by policy.host_network' });
  violations.push(...userViolations(user, policy));
  if (policy.registries !== null && !policy.registries.includes(registry))
    violations.push({
      path: ['image'],
      message: `${registry} is forbidden by policy.registries, which allows ${listed(policy.registries)}`,
    });
  return violations;
}

function userViolations(user: string | null, { users }: NodePolicy): readonly PolicyViolation[] {
  if (users === null || users.includes(user ?? '')) return [];
  const message = `${quoted(user)} is forbidden by policy.users, which allows ${listed(users)}`;
  return [{ path: ['user'], message }];
}

function mountViolation(mount: ContainerNeeds['mounts'][number], policy: NodePolicy): string | null {
  const above = policy.mounts.filter(({ source }) => isWithin(mount.source, source));
  if (above.length === 0) {
    const allowed = listed(policy.mounts.map(({ source }) => source));
    return `${quoted(mount.source)} is forbidden by policy.mounts, which allows ${allowed}`;
  }
  if (mount.readOnly || above.some(({ readOnly }) => !readOnly)) return null;
  return `${quoted(mount.source)} is forbidden by policy.mounts, which allows it with read_only: true`;
}

function quoted(text: string | null): string {
  return text === null ? "the image's own user" : JSON.stringify(text);
}

function listed(allowed: readonly string[]): string {
  if (allowed.length === 0) return 'none';
  const more = allowed.length - MOST_LISTED;
  return allowed.slice(0, MOST_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
