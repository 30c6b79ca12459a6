import { expect, it } from 'vitest';

import type { ClusterState } from '../scheduler/core/state.ts';
import type { Applied } from '../scheduler/ports.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { CopylessNames } from './copyless-names.ts';

interface Source {
  membership: { peers: readonly { incarnation: string }[] };
  state: ClusterState;
}

function begun() {
  const cluster = new TestCluster(['n1']);
  const replica = cluster.replica('n1');
  const source: Source = { membership: { peers: [] }, state: cluster.state };
  let moved: (() => void) | null = null;
  const names = new CopylessNames({
    raft: {
      get membership() {
        return source.membership as never;
      },
      onMembership: (listener) => {
        moved = () => listener(source.membership as never);
        return () => (moved = null);
      },
    },
    replica: {
      get state() {
        return source.state;
      },
      onApplied: (listener: (applied: Applied) => void) => replica.onApplied(listener),
      onAdvanced: (listener) => replica.onAdvanced(listener),
    },
  });
  let changes = 0;
  names.onChange(() => (changes += 1));
  const admit = (name: string) =>
    cluster.execute({ type: 'admitCopyless', name, incarnation: `i-${name}`, address: `${name}:1` });
  const move = (...incarnations: string[]) => {
    source.membership = { peers: incarnations.map((incarnation) => ({ incarnation })) };
    moved?.();
  };
  return { cluster, source, names, admit, move, changes: () => changes };
}

it('tells who works without a copy, and when that changes', () => {
  const { names, admit, move, cluster, changes } = begun();
  admit('n5');
  admit('n4');
  expect(names.all).toEqual(['n4', 'n5']);
  move('i-n4');
  expect(names.all).toEqual(['n5']);
  cluster.execute({ type: 'dismissCopyless', name: 'n5' });
  expect(names.all).toEqual([]);
  expect(changes()).toBe(4);
});

it('makes nothing anew where something else happens', () => {
  const { names, admit, cluster, changes } = begun();
  admit('n4');
  const before = names.all;
  cluster.register('n4', 'n4:1');
  admit('n4');
  expect(names.all).toBe(before);
  expect(changes()).toBe(1);
});

it('follows a snapshot that takes the place of the state, and nobody once it is closed', () => {
  const { names, admit, source, cluster, changes } = begun();
  admit('n4');
  expect(names.all).toEqual(['n4']);
  source.state = new TestCluster(['n1']).state;
  cluster.register('n4', 'n4:1');
  expect(names.all).toEqual([]);
  names.close();
  admit('n5');
  expect(changes()).toBe(2);
});
