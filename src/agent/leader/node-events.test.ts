import { beforeEach, describe, expect, it } from 'vitest';

import type { Log } from '../../lib/log.ts';
import { silentLog } from '../../lib/log.ts';
import type { OnNodeLoss } from '../../model/task.ts';
import { specOf } from '../../scheduler/core/testing/values.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import { registration } from '../worker/testing/values.ts';
import { NodeEvents } from './node-events.ts';
import { registrationFromWire } from './wire.ts';

let cluster: MemoryCluster;
let events: NodeEvents;
let told: object[];

beforeEach(() => {
  told = [];
  const tell = (fields: object): void => void told.push(fields);
  const log = { ...silentLog, info: tell, warn: tell } as Log;
  cluster = new MemoryCluster(() => 1_700_000_000_000);
  const replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: '' });
  const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
  cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
  cluster.execute(registrationFromWire(registration('w', 'a')));
  cluster.execute({ type: 'reconcileNode', node: 'w', session: session(), known: [] });
  events = new NodeEvents({ replica, log });
  events.start();
});

function session(): number {
  return cluster.state.nodes.get('w')?.session ?? 0;
}

function runTask(onNodeLoss: OnNodeLoss): void {
  const known = new Set(cluster.state.tasks.keys());
  cluster.execute({ type: 'submitTasks', tasks: [specOf({ onNodeLoss })], idempotency: null });
  const taskId = [...cluster.state.tasks.keys()].find((id) => !known.has(id)) ?? '';
  const assignments = [{ taskId, node: 'w', session: session() }];
  cluster.execute({ type: 'assign', term: cluster.term, planIndex: cluster.index, assignments });
}

function silence(type: 'nodeOffline' | 'nodeHealth', healthy = false): void {
  const decision = { node: 'w', session: session(), term: cluster.term };
  cluster.execute(type === 'nodeOffline' ? { type, ...decision } : { type, ...decision, healthy });
}

describe('NodeEvents', () => {
  it('tells of the warning, once, and of its end', () => {
    silence('nodeHealth');
    silence('nodeHealth');
    expect(told).toEqual([{ event: 'node.unhealthy', worker: 'w', session: session() }]);
    silence('nodeHealth', true);
    expect(told[1]).toEqual({ event: 'node.available', worker: 'w', session: session() });
  });

  it('tells of a node that is gone, and what became of its tasks', () => {
    for (const each of ['reschedule', 'wait', 'fail', 'reschedule'] as const) runTask(each);
    silence('nodeOffline');
    expect(told).toEqual([
      { event: 'node.offline', worker: 'w', session: session(), rescheduled: 2, waiting: 1, ended: 1 },
    ]);
  });

  it('tells of a removal, and who vouched', () => {
    runTask('wait');
    const removal = { node: 'w', session: session(), dead: true, principal: 'alice', idempotency: null };
    cluster.execute({ type: 'removeNode', term: cluster.term, ...removal });
    const tasks = { rescheduled: 1, waiting: 0, ended: 0 };
    expect(told).toEqual([{ event: 'node.removed', worker: 'w', principal: 'alice', dead: true, ...tasks }]);
  });

  it('tells who takes no work, and how a drain goes on', () => {
    const idempotency = null;
    cluster.execute({ type: 'cordonNode', node: 'w', idempotency });
    const drain = { withinMs: 0, graceMs: null, startId: null, idempotency };
    cluster.execute({ type: 'drainNode', node: 'w', ...drain });
    const index = cluster.state.nodes.get('w')?.drain?.index ?? 0;
    cluster.execute({ type: 'nodeDrained', term: cluster.term, node: 'w', drain: index });
    cluster.execute({ type: 'undrainNode', node: 'w', idempotency });
    const deadline = new Date(1_700_000_000_000).toISOString();
    expect(told).toEqual([
      { event: 'node.cordoned', worker: 'w' },
      { event: 'node.draining', worker: 'w', session: session(), deadline, onExit: false },
      { event: 'node.drained', worker: 'w', session: session() },
      { event: 'node.uncordoned', worker: 'w' },
      { event: 'node.available', worker: 'w', session: session() },
    ]);
  });

  it('tells nothing once it is stopped', () => {
    events.stop();
    silence('nodeOffline');
    expect(told).toEqual([]);
  });
});
