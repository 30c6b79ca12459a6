/** Does to the nodes what the schedule says, and takes note of every process that ends without having been told to. */
import { setTimeout as delay } from 'node:timers/promises';

import type { TestCluster } from '../support/cluster.ts';
import type { NodeEnd, NodeProcess } from '../support/node-process.ts';
import type { History, Operation } from './history.ts';
import type { Fault } from './schedule.ts';

const LEADER_TIMEOUT_MS = 1000;

export class Nemesis {
  /** Ends that nobody brought about. */
  readonly unexpected: string[] = [];
  readonly #cluster: TestCluster;
  readonly #history: History;
  readonly #expected = new WeakSet<Promise<NodeEnd>>();

  constructor(cluster: TestCluster, history: History) {
    this.#cluster = cluster;
    this.#history = history;
    for (const node of cluster.nodes) this.#watch(node);
  }

  async run(faults: readonly Fault[], signal: AbortSignal): Promise<void> {
    for (const fault of faults) {
      await delay(Math.max(0, fault.atMs - this.#history.nowMs()), undefined, { signal });
      await this.#inflict(fault, signal);
    }
  }

  /** Everything runs again. */
  async heal(): Promise<void> {
    for (const node of this.#cluster.nodes) {
      if (node.isRunning) this.#note('resume', node, () => node.signal('SIGCONT'));
      else this.#start(node);
    }
    await this.#cluster.ready();
  }

  /** In order, all of them. @returns what was wrong with their ends */
  async stop(): Promise<readonly string[]> {
    const wrong = this.#cluster.nodes.map(async (node) => {
      if (!node.isRunning) return `${node.name} did not run at the end`;
      this.#expected.add(node.ended);
      this.#note('stop', node, () => node.signal('SIGTERM'));
      const { code, signal } = await node.ended;
      return code === 0 ? null : `${node.name} ended with ${signal ?? code} after SIGTERM`;
    });
    return (await Promise.all(wrong)).filter((fault) => fault !== null);
  }

  async #inflict(fault: Fault, signal: AbortSignal): Promise<void> {
    const nodes = await this.#targets(fault);
    const running = nodes.filter((node) => node.isRunning);
    if (fault.type === 'pause') {
      for (const node of running) this.#note('pause', node, () => node.signal('SIGSTOP'));
      await delay(fault.durationMs, undefined, { signal });
      for (const node of running)
        if (node.isRunning) this.#note('resume', node, () => node.signal('SIGCONT'));
      return;
    }
    for (const node of running) {
      this.#expected.add(node.ended);
      this.#note('kill', node, () => node.signal('SIGKILL'));
    }
    await Promise.all(running.map((node) => node.ended));
    await delay(fault.durationMs, undefined, { signal });
    for (const node of nodes) if (!node.isRunning) this.#start(node);
  }

  async #targets({ type, target }: Fault): Promise<readonly NodeProcess[]> {
    const { nodes } = this.#cluster;
    if (type === 'killAll') return nodes;
    const leader = target.leader ? await this.#leader() : null;
    const first = leader ?? nodes[target.place % nodes.length];
    if (first === undefined) return [];
    if (type !== 'killTwo') return [first];
    const second = nodes[(nodes.indexOf(first) + 1) % nodes.length];
    return second === undefined ? [first] : [first, second];
  }

  async #leader(): Promise<NodeProcess | null> {
    for (const node of this.#cluster.nodes) {
      try {
        const { leader } = await node.api.cluster({ timeoutMs: LEADER_TIMEOUT_MS });
        if (leader !== null) return this.#cluster.node(leader);
      } catch {
        // Down, or without a leader itself: the next one may know.
      }
    }
    return null;
  }

  #start(node: NodeProcess): void {
    this.#note('start', node, () => node.start());
    this.#watch(node);
  }

  #watch(node: NodeProcess): void {
    const { ended } = node;
    const judge = async (): Promise<void> => {
      const { code, signal } = await ended;
      if (this.#expected.has(ended)) return;
      const last = node.logTail(1).slice(0, 500);
      this.unexpected.push(`${node.name} ended by itself with ${signal ?? code}: ${last}`);
    };
    void judge();
  }

  #note(f: Operation['f'], node: NodeProcess, act: () => void): void {
    const call = this.#history.nowMs();
    act();
    const out = f === 'start' ? { pid: node.pid } : null;
    const input = { node: node.name };
    const returned = this.#history.nowMs();
    this.#history.add({ process: 'nemesis', f, key: '', in: input, out, call, return: returned, ok: true });
  }
}
