import { expect, it } from 'vitest';

import { copylessNodes } from '../../model/copyless-node.ts';
import { TestCluster } from '../../scheduler/core/testing/test-cluster.ts';
import { specOf } from '../../scheduler/core/testing/values.ts';
import { samplesOf, testRegistry } from '../testing/samples.ts';
import { NodesMetrics } from './nodes.ts';

const GIB = 1024 ** 3;

function begin() {
  const cluster = TestCluster.formed();
  const registry = testRegistry();
  const leading = { is: true };
  new NodesMetrics(registry).follow({
    isLeading: () => leading.is,
    nodes: () => cluster.state.nodes.values(),
    withoutCopy: () => copylessNodes(cluster.state, [{ incarnation: 'one-of-a-member' }]).length,
    allocated: (node) => cluster.state.allocated(node),
  });
  return { cluster, registry, leading };
}

it('those that work without a copy are counted, until they are members', async () => {
  const { cluster, registry } = begin();
  for (const name of ['w1', 'w2', 'a-member'])
    cluster.done({ type: 'admitCopyless', name, incarnation: `one-of-${name}`, address: `${name}:1` });
  expect(await samplesOf(registry, 'jarvis_nodes_without')).toEqual({ jarvis_nodes_without_copy: 2 });
});

it('nodes are counted by status, and those that are not there are named', async () => {
  const { cluster, registry } = begin();
  cluster.join('n1');
  const session = cluster.join('n2');
  cluster.join('n3');
  cluster.offline('n3');
  cluster.done({ type: 'nodePressure', term: 1, node: 'n2', session, pressure: ['disk'] });
  expect(await samplesOf(registry, 'jarvis_node')).toEqual({
    'jarvis_nodes{status="AVAILABLE"}': 2,
    'jarvis_nodes{status="UNHEALTHY"}': 0,
    'jarvis_nodes{status="OFFLINE"}': 1,
    'jarvis_nodes{status="DRAINING"}': 0,
    'jarvis_nodes{status="DRAINED"}': 0,
    'jarvis_node_unavailable{node="n3",status="OFFLINE"}': 1,
    jarvis_nodes_without_copy: 0,
    'jarvis_nodes_pressure{kind="disk"}': 1,
    'jarvis_nodes_pressure{kind="memory"}': 0,
  });
});

it('room counts where work may be placed, and what is set aside everywhere', async () => {
  const { cluster, registry } = begin();
  for (const name of ['n1', 'n2']) cluster.join(name);
  const taskId = cluster.submitOne(specOf({ resources: { cpuMillis: 1500, memoryBytes: GIB } }));
  cluster.assign(taskId, 'n2');
  cluster.done({ type: 'cordonNode', node: 'n2', idempotency: null });
  expect(await samplesOf(registry, 'jarvis_cluster')).toEqual({
    jarvis_cluster_capacity_cpu_cores: 4,
    jarvis_cluster_allocated_cpu_cores: 1.5,
    jarvis_cluster_capacity_memory_bytes: 4 * GIB,
    jarvis_cluster_allocated_memory_bytes: GIB,
  });
});

it('a follower says nothing of them', async () => {
  const { cluster, registry, leading } = begin();
  cluster.join('n1');
  expect(await samplesOf(registry)).not.toEqual({});
  leading.is = false;
  expect(await samplesOf(registry)).toEqual({});
});
