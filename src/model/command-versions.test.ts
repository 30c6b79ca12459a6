import { describe, expect, it } from 'vitest';

import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { clusterKnows, clusterVersionOf, COMMAND_VERSIONS, notKnownYet } from './command-versions.ts';

describe('the versions of commands', () => {
  it('are versions that this build knows, and the newest of them is its own', () => {
    const versions = Object.values(COMMAND_VERSIONS);
    expect(Math.min(...versions)).toBe(1);
    expect(Math.max(...versions)).toBe(CLUSTER_VERSION);
  });

  it('say what a cluster may be told', () => {
    expect([clusterVersionOf(null), clusterVersionOf({}), clusterVersionOf({ version: 2 })]).toEqual([
      1, 1, 2,
    ]);
    expect(clusterKnows({}, 'submitTasks')).toBe(true);
    expect(clusterKnows({}, 'createToken')).toBe(false);
    expect(clusterKnows({ version: 2 }, 'createToken')).toBe(true);
    expect(clusterKnows(null, 'initCluster')).toBe(true);
  });
});

describe('a command that not all members know', () => {
  it.each([
    [[], 'at version 1 and about to be raised'],
    [[{ name: 'n2', version: 1 }], 'at version 1 until n2 is upgraded'],
    [
      [
        { name: 'n2', version: 1 },
        { name: 'n3', version: null },
      ],
      'at version 1 until n2 is upgraded and n3 is heard of',
    ],
  ])('is refused for %j', (laggards, words) => {
    expect(notKnownYet({}, 'createToken', laggards)).toBe(
      `the cluster is ${words}: createToken needs version 2`,
    );
  });
});
