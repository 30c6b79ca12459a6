/** A node that does not lead asks the leader how far the log is committed, and waits until it has come as far. */
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { orAborted, pause } from '../operations/waiting.ts';
import type { Replica } from '../scheduler/ports.ts';
import type { MemberQuestions } from './member-questions.ts';

/** @throws JarvisError no_leader, unavailable, timeout */
export async function catchUp(
  parts: {
    readonly replica: Pick<Replica, 'leadership' | 'appliedIndex' | 'onAdvanced'>;
    readonly questions: Pick<MemberQuestions, 'digests'>;
    readonly clock: Clock;
  },
  signal: AbortSignal,
): Promise<void> {
  const { replica, questions, clock } = parts;
  const { isLeader, leader } = replica.leadership();
  if (isLeader) return;
  if (leader === null) throw new JarvisError('no_leader', 'the cluster has no leader at present');
  const tooSlow = (): JarvisError => new JarvisError('timeout', `${leader.name} does not answer`);
  const { commit_index: index } = await orAborted(questions.digests(leader), signal, tooSlow);
  while (replica.appliedIndex < index)
    await pause(clock, limits.tokenCatchUpMs, signal, (wake) => replica.onAdvanced(wake));
}
