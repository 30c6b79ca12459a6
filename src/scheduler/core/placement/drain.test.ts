/** What cordons, drains and labels mean to whoever plans. */
import { describe, expect, it } from 'vitest';

import type { RowChange } from '../../../model/rows.ts';
import type { CommandInput } from '../../ports.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { MIB, specOf } from '../testing/values.ts';
import { candidatesOf, explain } from './explain.ts';
import { inFlightOf } from './in-flight.ts';
import { Planner } from './planner.ts';
import { wakes } from './wakes.ts';

const SMALL = { cpuMillis: 100, memoryBytes: MIB };
const idempotency = null;
const drain = {
  type: 'drainNode',
  node: 'n1',
  withinMs: 0,
  graceMs: null,
  startId: null,
  idempotency,
} as const;
const undrain = { type: 'undrainNode', node: 'n1', idempotency } as const;
const cordon = { type: 'cordonNode', node: 'n1', idempotency } as const;

/** n1 in zone a, n2 in zone b, and a planner that follows what is done. */
function scene() {
  const cluster = TestCluster.formed();
  cluster.join('n1', { labels: [['zone', 'a']] });
  cluster.join('n2', { labels: [['zone', 'b']] });
  const planner = new Planner(cluster.state, inFlightOf(new Map()));
  const change = (input: CommandInput): readonly RowChange[] => {
    const { changes } = cluster.run(input);
    planner.changed(changes);
    return changes.filter(({ table }) => table === 'node');
  };
  const planned = () => planner.plan(256).assignments.map(({ taskId, node }) => [taskId, node]);
  const wanting = (zone: string): string => {
    const rule = { key: 'zone', operator: 'in', values: [zone] } as const;
    return cluster.submitOne(
      specOf({ resources: SMALL, affinity: { required: [rule], preferred: [], anti: [] } }),
    );
  };
  return { cluster, change, planned, wanting };
}

describe('an undrain', () => {
  it.each([[drain], [cordon]])(
    'after %j wakes, and places what the node can hold and nothing else',
    (closing) => {
      const { cluster, change, planned, wanting } = scene();
      expect(change(closing).some(wakes)).toBe(false);
      const [helped, other] = [wanting('a'), wanting('c')];
      expect(planned()).toEqual([]);
      expect(explain(cluster.task(helped), candidatesOf(cluster.state)).map(({ filter }) => filter)).toEqual([
        'drain',
        'affinity',
      ]);
      expect(change(undrain).some(wakes)).toBe(true);
      expect(planned()).toEqual([[helped, 'n1']]);
      expect(cluster.task(other).status).toBe('PENDING');
    },
  );
});

describe('a drain', () => {
  it('wakes nothing by itself, nor with its deadline or its end', () => {
    const { cluster, change } = scene();
    expect(change(drain).some(wakes)).toBe(false);
    const index = cluster.state.nodes.get('n1')?.drain?.index ?? 0;
    const named = { term: 1, node: 'n1', drain: index };
    expect(change({ type: 'drainOverdue', ...named }).some(wakes)).toBe(false);
    expect(change({ type: 'nodeDrained', ...named }).some(wakes)).toBe(false);
  });

  it('leaves no place for what is moved but other nodes', () => {
    const { cluster, change, planned } = scene();
    const taskId = cluster.submitOne(specOf({ resources: SMALL }));
    cluster.assign(taskId, 'n1');
    change(drain);
    change({ type: 'drainOverdue', term: 1, node: 'n1', drain: cluster.index });
    expect(planned()).toEqual([]);
    cluster.report(taskId, 'CANCELLED');
    expect(planned()).toEqual([[taskId, 'n2']]);
  });
});

describe('a label that an operator sets', () => {
  it('wakes, and places what waited for it; on a node that takes no work it does not', () => {
    const { change, planned, wanting } = scene();
    const taskId = wanting('c');
    const label = { type: 'labelNode', node: 'n1', labels: [['zone', 'c']], idempotency } as const;
    change(cordon);
    expect(change(label).some(wakes)).toBe(false);
    expect(planned()).toEqual([]);
    expect(change(undrain).some(wakes)).toBe(true);
    expect(planned()).toEqual([[taskId, 'n1']]);
  });
});
