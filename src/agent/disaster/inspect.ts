/** What is in a saved snapshot, all of it read and checked. */
import path from 'node:path';

import type { ClusterRow } from '../../model/cluster.ts';
import { damaged } from '../../raft/snapshots/snapshot-format.ts';
import { readSnapshotRows, verifySnapshot } from '../../raft/snapshots/snapshot-reader.ts';
import { decodeContent } from '../../store/codec.ts';
import { hashRow, RowDigest } from '../../store/digest.ts';

export interface SnapshotFacts {
  readonly file: string;
  readonly bytes: number;
  readonly cluster_id: string;
  readonly epoch: number;
  readonly index: number;
  readonly term: number;
  /** Of the cluster, at that index; null where the state is that of no cluster yet. */
  readonly time: string | null;
  readonly members: readonly { readonly name: string; readonly address: string; readonly role: string }[];
  /** By table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly digest: string;
}

/** @throws StorageError snapshot_corrupt, format_unknown */
export async function inspectSavedSnapshot(file: string): Promise<SnapshotFacts> {
  const { header, trailer, fileBytes } = await verifySnapshot(file);
  const rows: Record<string, number> = {};
  const digest = new RowDigest();
  let cluster: ClusterRow | null = null;
  for await (const { key, value } of readSnapshotRows(file)) {
    digest.add(hashRow(key, value));
    const [table = ''] = key.split('/');
    rows[table] = (rows[table] ?? 0) + 1;
    if (table === 'cluster') cluster = decodeContent(value) as ClusterRow;
  }
  if (!digest.equals(trailer)) throw damaged(file, 'its rows are not those of its digest');
  const { clusterId, epoch, meta, peers } = header;
  return {
    file: path.resolve(file),
    bytes: fileBytes,
    cluster_id: clusterId,
    epoch,
    index: meta.index,
    term: meta.term,
    time: cluster === null ? null : new Date(cluster.timeMs).toISOString(),
    members: peers.map(({ raftId, name, address }) => ({
      name,
      address,
      role: meta.confState.voters.includes(raftId) ? 'voter' : 'learner',
    })),
    rows,
    digest: trailer.digest,
  };
}
