import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import { TestCluster } from '../testing/test-cluster.ts';

const admission = (name: string, incarnation = `i-${name}`, address = `${name}:7101`) =>
  ({ type: 'admitCopyless', name, incarnation, address }) as const;

describe('a node without a copy', () => {
  it('is known, also after a restart, until it is dismissed', () => {
    const cluster = TestCluster.formed();
    expect(cluster.done(admission('n9'))).toBeNull();
    const row = { name: 'n9', incarnation: 'i-n9', address: 'n9:7101', admittedAtMs: cluster.atMs };
    expect([...cluster.restored().copylessNodes]).toEqual([['n9', row]]);
    expect(cluster.done({ type: 'dismissCopyless', name: 'n9' })).toBeNull();
    expect(cluster.state.copylessNodes.size).toBe(0);
    expect(cluster.stored.has('copylessNode/n9')).toBe(false);
  });

  it('is let in since when it was first, wherever it has moved; another of its name takes its place', () => {
    const cluster = TestCluster.formed();
    cluster.done(admission('n9'));
    const firstAtMs = cluster.atMs;
    cluster.atMs += 5000;
    cluster.done(admission('n9', 'i-n9', 'elsewhere:1'));
    expect(cluster.state.copylessNodes.get('n9')).toMatchObject({
      address: 'elsewhere:1',
      admittedAtMs: firstAtMs,
    });
    cluster.done(admission('n9', 'another', 'elsewhere:1'));
    expect(cluster.state.copylessNodes.get('n9')).toMatchObject({
      incarnation: 'another',
      admittedAtMs: cluster.atMs,
    });
  });

  it('changes nothing where the same is let in, or one is dismissed that is not there, again', () => {
    const cluster = TestCluster.formed();
    cluster.done(admission('n9'));
    cluster.atMs += 5000;
    const other = { type: 'dismissCopyless', name: 'n8' } as const;
    for (const input of [admission('n9'), other]) {
      const { outcome, changes } = cluster.run(input);
      expect(outcome).toEqual({ type: 'done', result: null });
      expect(changes.filter(({ table }) => table === 'copylessNode')).toEqual([]);
    }
  });

  it('is refused where there are too many, which those do not feel that are there', () => {
    const cluster = TestCluster.formed();
    for (let at = 0; at < limits.copylessNodes; at += 1) cluster.done(admission(`n${at}`));
    expect(cluster.refusal(admission('another'))).toMatchObject({
      code: 'conflict',
      message: `${limits.copylessNodes} nodes work without a copy already, which is the most`,
    });
    cluster.done(admission('n7', 'i-n7', 'elsewhere:1'));
    cluster.done({ type: 'dismissCopyless', name: 'n7' });
    cluster.done(admission('another'));
    expect(cluster.state.copylessNodes.size).toBe(limits.copylessNodes);
  });

  it('is none of a cluster that goes on as another', () => {
    const cluster = TestCluster.formed();
    cluster.done(admission('n9'));
    const epoch = (cluster.state.cluster?.epoch ?? 0) + 1;
    cluster.done({ type: 'reformCluster', clusterId: 'another', epoch });
    expect(cluster.state.copylessNodes.size).toBe(0);
  });
});
