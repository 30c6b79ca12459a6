/** What batches and DAGs have in common for the commands, and what each of them has of its own. */
import type { ChangeGroupRequest, GroupRequest, ListGroupsRequest } from '../../generated/cluster.ts';
import type { ClusterConnection } from '../connection.ts';
import type { Group } from '../output/groups.ts';

/** How one of the two is asked for and shown. */
export interface Kind<T extends Group> {
  readonly command: 'batch' | 'dag';
  readonly plural: string;
  /** Of an argument. */
  readonly named: string;
  readonly example: string;
  readonly toJson: (group: T) => object;
  list(
    peer: ClusterConnection,
    request: ListGroupsRequest,
    signal: AbortSignal,
  ): Promise<{ readonly items: readonly T[]; readonly next_cursor: string }>;
  get(peer: ClusterConnection, request: GroupRequest, signal: AbortSignal): Promise<T>;
  cancel(peer: ClusterConnection, request: ChangeGroupRequest, signal: AbortSignal): Promise<T>;
  retry(peer: ClusterConnection, request: ChangeGroupRequest, signal: AbortSignal): Promise<T>;
}
