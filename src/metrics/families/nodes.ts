/** The nodes of the cluster, as the leader sees them. */
import { pressureOf } from '../../model/earlier-rows.ts';
import { PRESSURES, type NodeRow, type NodeStatus } from '../../model/node.ts';
import type { Resources } from '../../model/task.ts';
import { gauge } from '../family.ts';
import type { GaugeHandle, MetricsRegistry } from '../registry.ts';

const exposure = 'leader';

export const NODE_FAMILIES = {
  nodes: gauge({ name: 'jarvis_nodes', help: 'Nodes', labels: ['status'], unit: 'nodes', exposure }),
  unavailable: gauge({
    name: 'jarvis_node_unavailable',
    help: '1 for each node that is UNHEALTHY or OFFLINE, by its name',
    labels: ['node', 'status'],
    exposure,
  }),
  withoutCopy: gauge({
    name: 'jarvis_nodes_without_copy',
    help: 'Nodes that are let in without a copy of the state, beyond the members',
    unit: 'nodes',
    exposure,
  }),
  pressure: gauge({
    name: 'jarvis_nodes_pressure',
    help: 'Nodes that run short of something and get no new work meanwhile',
    labels: ['kind'],
    unit: 'nodes',
    exposure,
  }),
  capacityCpu: gauge({
    name: 'jarvis_cluster_capacity_cpu_cores',
    help: 'Processors of the nodes that may be given work at present',
    exposure,
  }),
  allocatedCpu: gauge({
    name: 'jarvis_cluster_allocated_cpu_cores',
    help: 'Processors that are set aside for tasks, on all nodes',
    exposure,
  }),
  capacityMemory: gauge({
    name: 'jarvis_cluster_capacity_memory_bytes',
    help: 'Memory of the nodes that may be given work at present',
    exposure,
  }),
  allocatedMemory: gauge({
    name: 'jarvis_cluster_allocated_memory_bytes',
    help: 'Memory that is set aside for tasks, on all nodes',
    exposure,
  }),
} as const;

const STATUSES: readonly NodeStatus[] = ['AVAILABLE', 'UNHEALTHY', 'OFFLINE', 'DRAINING', 'DRAINED'];

export interface NodesPort {
  isLeading(): boolean;
  nodes(): Iterable<NodeRow>;
  /** How many are let in without a copy of the state. */
  withoutCopy(): number;
  /** Set aside on the node. */
  allocated(node: string): Resources;
}

export class NodesMetrics {
  readonly #nodes: GaugeHandle<'status'>;
  readonly #unavailable: GaugeHandle<'node' | 'status'>;
  readonly #pressure: GaugeHandle<'kind'>;
  readonly #totals: Readonly<
    Record<
      'withoutCopy' | 'capacityCpu' | 'allocatedCpu' | 'capacityMemory' | 'allocatedMemory',
      GaugeHandle<never>
    >
  >;
  readonly #registry: MetricsRegistry;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    this.#nodes = registry.gauge(NODE_FAMILIES.nodes);
    this.#unavailable = registry.gauge(NODE_FAMILIES.unavailable);
    this.#pressure = registry.gauge(NODE_FAMILIES.pressure);
    this.#totals = {
      withoutCopy: registry.gauge(NODE_FAMILIES.withoutCopy),
      capacityCpu: registry.gauge(NODE_FAMILIES.capacityCpu),
      allocatedCpu: registry.gauge(NODE_FAMILIES.allocatedCpu),
      capacityMemory: registry.gauge(NODE_FAMILIES.capacityMemory),
      allocatedMemory: registry.gauge(NODE_FAMILIES.allocatedMemory),
    };
  }

  follow(port: NodesPort): void {
    this.#registry.onScrape('nodes', () => this.#sample(port));
  }

  #sample(port: NodesPort): void {
    for (const each of [this.#nodes, this.#unavailable, this.#pressure, ...Object.values(this.#totals)])
      each.clear();
    if (!port.isLeading()) return;
    const statuses = new Map(STATUSES.map((status) => [status, 0]));
    const pressures = new Map(PRESSURES.map((kind) => [kind, 0]));
    const capacity = { cpuMillis: 0, memoryBytes: 0 };
    const allocated = { cpuMillis: 0, memoryBytes: 0 };
    for (const node of port.nodes()) {
      statuses.set(node.status, (statuses.get(node.status) ?? 0) + 1);
      if (node.status === 'UNHEALTHY' || node.status === 'OFFLINE')
        this.#unavailable.set(1, { node: node.name, status: node.status });
      for (const kind of pressureOf(node)) pressures.set(kind, (pressures.get(kind) ?? 0) + 1);
      add(allocated, port.allocated(node.name));
      if (node.status === 'AVAILABLE' && node.schedulable) add(capacity, node.capacity);
    }
    for (const [status, count] of statuses) this.#nodes.set(count, { status });
    for (const [kind, count] of pressures) this.#pressure.set(count, { kind });
    this.#totals.withoutCopy.set(port.withoutCopy());
    this.#totals.capacityCpu.set(capacity.cpuMillis / 1000);
    this.#totals.capacityMemory.set(capacity.memoryBytes);
    this.#totals.allocatedCpu.set(allocated.cpuMillis / 1000);
    this.#totals.allocatedMemory.set(allocated.memoryBytes);
  }
}

function add(sum: { cpuMillis: number; memoryBytes: number }, { cpuMillis, memoryBytes }: Resources): void {
  sum.cpuMillis += cpuMillis;
  sum.memoryBytes += memoryBytes;
}
