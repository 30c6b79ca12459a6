/**
 * The cluster version (docs/adr/0012): which commands every member can apply. It is raised by the leader when all members
 * know a later one, and never goes back. What a cluster, a peer or a data directory says nothing of is version 1.
 */
export const FIRST_CLUSTER_VERSION = 1;

/** The newest that this build knows; also the newest format of `identity.json`. Commands by version: src/model. */
export const CLUSTER_VERSION = 2;

/** @param told 0 or absent where the other one knows nothing of versions */
export function versionTold(told: number | undefined): number {
  return told === undefined || told === 0 ? FIRST_CLUSTER_VERSION : told;
}
