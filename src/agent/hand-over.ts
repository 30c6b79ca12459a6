/** Hands leadership to another voter before a stop, so that nobody has to wait for an election. */
import type { Clock } from '../lib/clock.ts';
import type { RaftNode } from '../raft/node.ts';

const HAND_OVER_TIMEOUT_MS = 1000;

/** Resolves when this node no longer leads, or when it has waited long enough; the others elect by themselves then. */
export async function handOver(raft: RaftNode, clock: Clock): Promise<void> {
  const { id, role } = raft.status();
  if (role !== 'leader' || !raft.isRunning) return;
  const heir = raft.heir();
  if (heir === null) return;
  await new Promise<void>((resolve) => {
    const unsubscribe = raft.onLeadership((leadership) => {
      if (leadership.leader !== 0 && leadership.leader !== id) finish();
    });
    const cancelTimer = clock.after(HAND_OVER_TIMEOUT_MS, () => finish());
    const finish = (): void => {
      unsubscribe();
      cancelTimer();
      resolve();
    };
    raft.transferLeadership(heir);
  });
}
