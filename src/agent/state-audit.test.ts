import { describe, expect, it } from 'vitest';

import type { DigestsReply } from '../generated/state_digests.ts';
import { limits } from '../lib/limits.ts';
import { silentLog, type Log } from '../lib/log.ts';
import type { RaftId } from '../raft/core/types.ts';
import { MemoryCluster } from '../raft/testing/memory-cluster.ts';
import type { DigestSample } from './digest-judge.ts';
import { StateAudit } from './state-audit.ts';

/** The audit of one of three members, and what the others answer. */
async function begin(own: readonly DigestSample[]) {
  const cluster = new MemoryCluster({ size: 3 });
  cluster.start();
  const { id, node } = await cluster.leader();
  const others = cluster.members.map((member) => member.id).filter((other) => other !== id);
  const replies = new Map<RaftId, Partial<DigestsReply>>();
  const errors: unknown[] = [];
  const log: Log = { ...silentLog, error: (facts) => errors.push(facts) };
  const stopped: string[] = [];
  const audit = new StateAudit({
    clusterId: 'c',
    raft: node,
    samples: () => own,
    ask: async ({ raftId }) => {
      const reply = replies.get(raftId);
      if (reply === undefined) throw new Error('no answer');
      return { raft_id: raftId, digests: [], wall_ms: 0, commit_index: 0, ...reply };
    },
    onMinority: (reason) => stopped.push(reason),
    clock: cluster.clock,
    log,
  });
  audit.start();
  const pass = async (durationMs: number): Promise<void> => {
    for (let passed = 0; passed < durationMs; passed += limits.tickMs) await cluster.pass();
  };
  const end = async (): Promise<void> => {
    audit.close();
    await cluster.stop();
  };
  const [second = 0, third = 0] = others;
  return { id, second, third, audit, replies, errors, stopped, pass, end, clock: cluster.clock };
}

function at(index: number, digest: string): Partial<DigestsReply> {
  return { digests: [{ index, digest }] };
}

describe('the audit of the state', () => {
  it('tells of replicas that differ while a voter is silent, now and then, until a majority agrees', async () => {
    const { id, second, third, audit, replies, errors, stopped, pass, end } = await begin([
      { index: 64, digest: 'a' },
    ]);
    replies.set(second, at(64, 'b'));
    await pass(limits.auditIntervalMs + 100);
    const digests = new Map([
      [id, 'a'],
      [second, 'b'],
    ]);
    expect(audit.difference).toEqual({ index: 64, digests });
    expect(errors).toEqual([{ index: 64, digests: Object.fromEntries(digests) }]);
    await pass(limits.auditNoticeMs - limits.auditIntervalMs);
    expect(errors).toHaveLength(1);
    await pass(2 * limits.auditIntervalMs);
    expect(errors).toHaveLength(2);
    // Whoever no longer answers has not agreed.
    replies.delete(second);
    await pass(2 * limits.auditIntervalMs);
    expect(audit.difference).not.toBeNull();
    replies.set(third, at(64, 'a'));
    await pass(2 * limits.auditIntervalMs);
    expect(audit.difference).toBeNull();
    expect(stopped).toEqual([]);
    await end();
  });

  it('learns how far the clocks of the others are ahead', async () => {
    const { second, third, audit, replies, pass, end, clock } = await begin([]);
    expect(audit.clockOffsets).toEqual([]);
    replies.set(second, {
      get wall_ms() {
        return clock.wallMs() + 90_000;
      },
    });
    // One that does not tell.
    replies.set(third, {});
    await pass(limits.auditIntervalMs + 100);
    expect(audit.clockOffsets).toEqual([90_000]);
    replies.clear();
    await pass(limits.auditIntervalMs + 100);
    expect(audit.clockOffsets).toEqual([]);
    await end();
  });
});
