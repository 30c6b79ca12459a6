import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import { DEFAULT_LOG_RETENTION } from '../../../model/cluster.ts';
import { logHolderOf } from '../log-holders.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { specOf } from '../testing/values.ts';

const handOver = (node: string, holder: string, incarnation = node) =>
  ({ type: 'logsHandedOver', node, holder, incarnation }) as const;

function formed(...names: readonly string[]) {
  const cluster = TestCluster.formed();
  for (const name of names) cluster.join(name);
  /** Who has the output of a new attempt there. */
  const ran = (node: string) => {
    const taskId = cluster.submitOne(specOf());
    cluster.assign(taskId, node);
    return cluster.attempt(taskId);
  };
  const holder = (attempt: { readonly node: string; readonly assignment: number }) =>
    logHolderOf(cluster.state, attempt)?.holder ?? null;
  return { cluster, ran, holder };
}

describe('logs that were handed over', () => {
  it('are found where they are, also after a restart; later ones where they came to be', () => {
    const { cluster, ran, holder } = formed('n1', 'n2');
    const before = ran('n1');
    cluster.done(handOver('n1', 'n2'));
    const after = ran('n1');
    expect([holder(before), holder(after)]).toEqual(['n2', null]);
    expect(logHolderOf(cluster.state, before)?.sinceMs).toBe(cluster.atMs);
    expect(logHolderOf(cluster.restored(), before)?.holder).toBe('n2');
  });

  it('replace what the same data directory handed over before, and no other', () => {
    const { cluster, ran, holder } = formed('n1', 'n2', 'n3');
    const first = ran('n1');
    cluster.done(handOver('n1', 'n2'));
    cluster.done(handOver('n1', 'n3'));
    expect(holder(first)).toBe('n3');
    const second = ran('n1');
    cluster.done(handOver('n1', 'n2', 'another'));
    expect([holder(first), holder(second)]).toEqual(['n3', 'n2']);
  });

  it('go on with their holder, and may come home', () => {
    const { cluster, ran, holder } = formed('n1', 'n2', 'n3');
    const attempt = ran('n1');
    cluster.done(handOver('n1', 'n2'));
    cluster.atMs += 10;
    cluster.done(handOver('n2', 'n3'));
    expect(logHolderOf(cluster.state, attempt)).toMatchObject({ holder: 'n3', sinceMs: cluster.atMs });
    cluster.done(handOver('n3', 'n1'));
    expect(holder(attempt)).toBeNull();
  });

  it('are forgotten when they are past their retention', () => {
    const { cluster, ran, holder } = formed('n1', 'n2', 'n3');
    const attempt = ran('n1');
    cluster.done(handOver('n1', 'n2'));
    cluster.atMs += DEFAULT_LOG_RETENTION.logsMs;
    cluster.done(handOver('n3', 'n2'));
    expect(holder(attempt)).toBeNull();
    expect([...cluster.state.logHolders.keys()]).toEqual(['n3']);
    expect(cluster.stored.has('logHolder/n1')).toBe(false);
  });

  it('are bounded, by nodes and by how often one of a name has left', () => {
    const { cluster } = formed('n1', 'n2');
    for (let at = 0; at < limits.logHolders + 2; at += 1) {
      cluster.atMs += 1;
      cluster.done(handOver(`gone-${at}`, 'n1'));
    }
    expect(cluster.state.logHolders.size).toBe(limits.logHolders);
    expect(cluster.state.logHolders.has('gone-1')).toBe(false);
    expect(cluster.state.logHolders.has('gone-2')).toBe(true);
    for (let at = 0; at < 20; at += 1) cluster.done(handOver('gone-2', 'n2', String(at)));
    expect(cluster.state.logHolders.get('gone-2')?.spans).toHaveLength(limits.logSpansPerNode);
  });

  it('go to a node that is there, and another', () => {
    const { cluster } = formed('n1');
    expect(cluster.refusal(handOver('n1', 'n1')).code).toBe('invalid');
    expect(cluster.refusal(handOver('n1', 'n9')).code).toBe('not_found');
  });
});
