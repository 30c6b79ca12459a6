import { describe, expect, it } from 'vitest';

import type { NodeRow } from '../../../model/node.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { MIB } from '../testing/values.ts';
import { whyNowhere } from './why-nowhere.ts';

describe('why no node can hold a task', () => {
  it('is said in the same words in whichever order the nodes are kept: the words are replicated', () => {
    const cluster = TestCluster.formed();
    for (const name of ['n2', 'n3', 'n1']) cluster.join(name);
    const nodes: readonly NodeRow[] = [...cluster.state.nodes.values()];
    const task = { resources: { cpuMillis: 1_000_000, memoryBytes: MIB }, needs: null };
    const reasons = [nodes, nodes.toReversed(), nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1))].map(
      (order) => whyNowhere(task, order),
    );
    expect(new Set(reasons).size).toBe(1);
    expect(reasons[0]).toContain('n1');
  });
});
