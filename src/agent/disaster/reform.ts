/**
 * What a one-member cluster begins with that goes on with the state of an earlier one: a snapshot of that state, under a
 * new cluster id and a higher epoch, and a log that begins behind it. Old members can never speak to it again, and every
 * token, id and session number of it is above theirs.
 */
import { randomUUID } from 'node:crypto';
import path from 'node:path';

import { systemClock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { ClusterRecord } from '../../raft/data-directory.ts';
import type { Peer } from '../../raft/ports.ts';
import { SnapshotFiles } from '../../raft/snapshots/snapshot-files.ts';
import { Wal } from '../../raft/wal/wal.ts';
import { encodeCommand } from '../../store/codec.ts';
import type { SchedulerMachine } from '../../store/scheduler-machine.ts';
import { newEpoch } from '../leader/leader-duties.ts';
import { newDigester } from '../recovery.ts';

export interface Beginning {
  readonly record: ClusterRecord;
  /** Of the snapshot; the log goes on behind it. */
  readonly index: number;
  readonly term: number;
}

/**
 * @param options.machine holds the state; nobody else uses it, and it is changed
 * @param options.target gets `log` and `snapshots`
 * @param options.term above every term of the earlier cluster that is known
 * @throws JarvisError conflict where the state is that of no cluster; StorageError
 */
export async function writeBeginning(options: {
  readonly machine: SchedulerMachine;
  readonly target: string;
  readonly self: Omit<Peer, 'raftId'>;
  readonly term: number;
}): Promise<Beginning> {
  const { machine, target, term } = options;
  const { cluster } = machine.core.state;
  if (cluster === null)
    throw new JarvisError('conflict', 'the state is that of no cluster: there is nothing to go on with');
  const clusterId = randomUUID();
  const epoch = Math.max(cluster.epoch + 1, newEpoch(systemClock.wallMs()));
  const index = machine.appliedIndex + 1;
  const data = encodeCommand({ type: 'reformCluster', clusterId, epoch, atMs: cluster.timeMs });
  const [outcome] = await machine.apply([{ index, term, type: 'normal', data }]);
  if (outcome?.type !== 'done')
    throw new JarvisError(
      'conflict',
      `the state does not go on: ${outcome?.type === 'refused' ? outcome.message : ''}`,
    );
  const founder: Peer = { raftId: 1, ...options.self };
  const meta = {
    index,
    term,
    confState: { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
  };
  await machine.checkpoint();
  const snapshots = await SnapshotFiles.open(path.join(target, 'snapshots'), {
    clusterId,
    epoch,
    newDigester,
    onDamaged: (error) => {
      throw error;
    },
  });
  const stream = await machine.rows();
  try {
    await snapshots.write(meta, [founder], stream);
  } finally {
    await stream.close();
  }
  const identity = { clusterId, incarnation: founder.incarnation };
  const { wal } = await Wal.open(path.join(target, 'log'), identity, { create: true });
  try {
    await wal.append({ hardState: { term, vote: 0, commit: index }, entries: [], snapshot: meta });
  } finally {
    await wal.close();
  }
  return { record: { clusterId, epoch, founders: [founder], raftId: 1 }, index, term };
}
