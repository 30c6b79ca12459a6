/** Does to the nodes what the plan says, and takes note of every process that ends without having been told to. */
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { attemptGroupPrefixes } from '../support/attempt-groups.ts';
import type { TestCluster } from '../support/cluster.ts';
import type { DockerBed } from '../support/docker-bed/docker-bed.ts';
import type { NodeEnd, NodeProcess } from '../support/node-process.ts';
import { endProcessesOf, processesOf } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';
import { bootTimeMs } from './boot-time.ts';
import type { JsonLines, Stopwatch } from './calls.ts';
import type { Fault } from './faults.ts';
import type { Guards } from './guards.ts';
import type { Links } from './links.ts';

const LEADER_TIMEOUT_MS = 1000;
const IDENTITY_FILE = 'identity.json';
const WATCHDOG_TIMEOUT_MS = 5000;
const WATCHDOG_LOOK_MS = 50;
/** A disk without which the others could not do for longer than this is not lost. */
const HEALTHY_TIMEOUT_MS = 3000;

export interface NemesisParts {
  readonly cluster: TestCluster;
  readonly links: Links;
  readonly guards: Guards;
  readonly watch: Stopwatch;
  readonly lines: JsonLines;
  readonly bed: DockerBed | null;
  /** Is given what the names of the nodes' control groups begin with, before a node forgets it. */
  readonly groups: string[];
  /** Once it is aborted nothing is started any more. */
  readonly signal: AbortSignal;
}

export class Nemesis {
  /** Ends that nobody brought about. */
  readonly unexpected: string[] = [];
  /** How often each kind was really inflicted. */
  readonly inflicted = new Map<string, number>();
  /** By lane: whom its newest fault has met. */
  readonly #met = new Map<
    readonly Fault[],
    { readonly nodes: readonly NodeProcess[]; readonly isActing: boolean }
  >();
  readonly #parts: NemesisParts;
  readonly #expected = new WeakSet<Promise<NodeEnd>>();

  constructor(parts: NemesisParts) {
    this.#parts = parts;
    for (const node of parts.cluster.nodes) this.#watch(node);
  }

  /** One lane: one fault after the other. */
  async run(lane: readonly Fault[], signal: AbortSignal): Promise<void> {
    for (const fault of lane) {
      await delay(Math.max(0, fault.atMs - this.#parts.watch.nowMs()), undefined, { signal });
      const nodes = await this.#targets(fault, lane);
      this.#met.set(lane, { nodes, isActing: true });
      await this.#inflict(nodes, fault, signal);
      this.#met.set(lane, { nodes, isActing: false });
    }
  }

  /** Everything runs again. */
  async heal(): Promise<void> {
    const { cluster, links, bed, guards } = this.#parts;
    links.mendAll();
    await bed?.engine.heal();
    for (const node of cluster.nodes) {
      for (const pid of watchdogsOf(node)) this.#signal(pid, 'SIGCONT');
      if (node.isRunning) this.#signal(node.pid, 'SIGCONT');
      else this.#start(node);
      for (const guard of ['daemon', 'watchdog'] as const) guards.back(node.name, guard, bootTimeMs());
    }
    await cluster.ready();
  }

  /** In order, all of them. @returns what was wrong with their ends */
  async stop(): Promise<readonly string[]> {
    const wrong = this.#parts.cluster.nodes.map(async (node) => {
      if (!node.isRunning) return `${node.name} did not run at the end`;
      this.#expected.add(node.ended);
      this.#note('stop', [node]);
      node.signal('SIGTERM');
      const { code, signal } = await node.ended;
      return code === 0 ? null : `${node.name} ended with ${signal ?? code} after SIGTERM`;
    });
    return (await Promise.all(wrong)).filter((fault) => fault !== null);
  }

  async #inflict(nodes: readonly NodeProcess[], fault: Fault, signal: AbortSignal): Promise<void> {
    const [node] = nodes;
    if (node === undefined) return;
    switch (fault.kind) {
      case 'kill':
        return await this.#kill(nodes, fault, signal);
      case 'kill-watchdog':
        return await this.#killWatchdog(node, fault, signal);
      case 'pause-daemon':
      case 'pause-watchdog':
      case 'pause-both':
        return await this.#pause(node, fault, signal);
      case 'pause-engine':
        return await this.#pauseEngine(fault, signal);
      case 'lost-disk':
        return await this.#loseDisk(node, fault, signal);
      case 'cut':
      case 'one-way':
        return await this.#cut(node, fault, signal);
      default:
        return fault.kind satisfies never;
    }
  }

  async #kill(nodes: readonly NodeProcess[], fault: Fault, signal: AbortSignal): Promise<void> {
    const running = nodes.filter((node) => node.isRunning);
    this.#count(fault);
    this.#note('kill', running);
    for (const node of running) {
      this.#expected.add(node.ended);
      this.#parts.guards.away(node.name, 'daemon', bootTimeMs());
      node.signal('SIGKILL');
    }
    await Promise.all(running.map((node) => node.ended));
    await delay(fault.durationMs, undefined, { signal });
    for (const node of nodes) if (!node.isRunning) this.#start(node);
  }

  /** Its daemon starts another one. */
  async #killWatchdog(node: NodeProcess, fault: Fault, signal: AbortSignal): Promise<void> {
    const pids = watchdogsOf(node);
    if (pids.length === 0) return;
    this.#count(fault);
    this.#note('kill-watchdog', [node]);
    this.#parts.guards.away(node.name, 'watchdog', bootTimeMs());
    for (const pid of pids) this.#signal(pid, 'SIGKILL');
    const isBack = (): boolean => watchdogsOf(node).some((pid) => !pids.includes(pid));
    const untilMs = performance.now() + WATCHDOG_TIMEOUT_MS;
    // A daemon that is not up itself yet takes longer; that it ever comes is for the judges of tasks.
    while (node.isRunning && !isBack() && performance.now() < untilMs)
      await delay(WATCHDOG_LOOK_MS, undefined, { signal });
    this.#parts.guards.back(node.name, 'watchdog', bootTimeMs());
    await delay(fault.durationMs, undefined, { signal });
  }

  async #pause(node: NodeProcess, fault: Fault, signal: AbortSignal): Promise<void> {
    const { guards } = this.#parts;
    const daemon = fault.kind !== 'pause-watchdog' && node.isRunning ? [node.pid] : [];
    const watchdogs = fault.kind === 'pause-daemon' ? [] : watchdogsOf(node);
    if (daemon.length + watchdogs.length === 0) return;
    this.#count(fault);
    this.#note(fault.kind, [node]);
    if (daemon.length > 0) guards.away(node.name, 'daemon', bootTimeMs());
    if (watchdogs.length > 0) guards.away(node.name, 'watchdog', bootTimeMs());
    for (const pid of [...daemon, ...watchdogs]) this.#signal(pid, 'SIGSTOP');
    await delay(fault.durationMs, undefined, { signal });
    for (const pid of [...daemon, ...watchdogs]) this.#signal(pid, 'SIGCONT');
    if (daemon.length > 0) guards.back(node.name, 'daemon', bootTimeMs());
    if (watchdogs.length > 0) guards.back(node.name, 'watchdog', bootTimeMs());
    this.#note('resume', [node]);
  }

  async #pauseEngine(fault: Fault, signal: AbortSignal): Promise<void> {
    const { bed } = this.#parts;
    if (bed === null) return;
    this.#count(fault);
    this.#note('pause-engine', []);
    await bed.engine.pause();
    await delay(fault.durationMs, undefined, { signal });
    bed.engine.resume();
    this.#note('resume-engine', []);
  }

  /** The machine is gone with all that ran on it, and comes back blank, with the settings that it had. */
  async #loseDisk(node: NodeProcess, fault: Fault, signal: AbortSignal): Promise<void> {
    const { guards, bed } = this.#parts;
    const { dataDir } = node.settings;
    if (!(await this.#isHealthy(signal))) return;
    this.#count(fault);
    this.#note('lost-disk', [node]);
    this.#parts.groups.push(...attemptGroupPrefixes({ nodes: [node] }));
    // What clears up after a run that is killed looks there for whose control groups there are.
    await cp(path.join(dataDir, IDENTITY_FILE), path.join(`${dataDir}-former-${Date.now()}`, IDENTITY_FILE));
    this.#expected.add(node.ended);
    guards.away(node.name, 'daemon', bootTimeMs());
    guards.away(node.name, 'watchdog', bootTimeMs());
    await endProcessesOf(dataDir);
    if (bed !== null) await removeContainers(bed, node.name);
    await node.ended;
    await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    await delay(fault.durationMs, undefined, { signal });
    guards.back(node.name, 'watchdog', bootTimeMs());
    this.#start(node);
  }

  /** Without that node the others are a majority, and all that is acknowledged is on them. */
  async #isHealthy(signal: AbortSignal): Promise<boolean> {
    const { nodes } = this.#parts.cluster;
    const isWell = async (): Promise<boolean> => {
      signal.throwIfAborted();
      for (const node of nodes) {
        if (!node.isRunning || !(await node.api.isReady())) return false;
        if ((await node.api.cluster({ timeoutMs: LEADER_TIMEOUT_MS })).voters.length < nodes.length)
          return false;
      }
      return true;
    };
    try {
      return await waitFor('all nodes vote and are ready', isWell, { timeoutMs: HEALTHY_TIMEOUT_MS });
    } catch {
      // Something else is being done to them: this disk is not lost, which the counts of the report show.
      signal.throwIfAborted();
      return false;
    }
  }

  async #cut(node: NodeProcess, fault: Fault, signal: AbortSignal): Promise<void> {
    const { cluster, links } = this.#parts;
    const { scope, direction, heal } = fault.network;
    const others = cluster.nodes.filter((other) => other !== node);
    const met = scope === 'node' ? others : others.slice(0, 1);
    const ways = met.flatMap(({ name }) => {
      const [out, back] = [[node.name, name] as const, [name, node.name] as const];
      if (fault.kind === 'cut') return [out, back];
      return direction === 'outward' ? [out] : [back];
    });
    this.#count(fault);
    this.#note(fault.kind, [node], { ways: ways.map((way) => way.join('>')) });
    for (const [from, to] of ways) links.cut(from, to);
    await delay(fault.durationMs, undefined, { signal });
    for (const [from, to] of ways) links.mend(from, to, heal);
    this.#note('mend', [node], { heal });
  }

  /** As drawn; but where the other lane is at a node, that one: the other two are a majority. */
  async #targets({ target, count }: Fault, lane: readonly Fault[]): Promise<readonly NodeProcess[]> {
    const { nodes } = this.#parts.cluster;
    const meant = (await this.#inTrouble(lane)) ?? (target.leader ? await this.#leader() : null);
    const first = meant === null ? target.place : nodes.indexOf(meant);
    return nodes.map((_, at) => nodes[(first + at) % nodes.length]).slice(0, count) as NodeProcess[];
  }

  /** Whom the other lane has met, unless that one is well again. */
  async #inTrouble(lane: readonly Fault[]): Promise<NodeProcess | null> {
    for (const [other, { nodes, isActing }] of this.#met) {
      const [node] = nodes;
      if (other === lane || node === undefined) continue;
      if (isActing || !(await node.api.isReady())) return node;
    }
    return null;
  }

  async #leader(): Promise<NodeProcess | null> {
    const { cluster } = this.#parts;
    for (const node of cluster.nodes) {
      try {
        const { leader } = await node.api.cluster({ timeoutMs: LEADER_TIMEOUT_MS });
        if (leader !== null) return cluster.node(leader);
      } catch {
        // Down, or without a leader itself: the next one may know.
      }
    }
    return null;
  }

  #start(node: NodeProcess): void {
    this.#parts.signal.throwIfAborted();
    node.start();
    this.#parts.guards.back(node.name, 'daemon', bootTimeMs());
    this.#note('start', [node], { pid: node.pid });
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

  #signal(pid: number, signal: NodeJS.Signals): void {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // It has ended meanwhile, as the one of two that takes the other for hung may see to.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  #count({ kind }: Fault): void {
    this.inflicted.set(kind, (this.inflicted.get(kind) ?? 0) + 1);
  }

  #note(what: string, nodes: readonly NodeProcess[], more: object = {}): void {
    const { watch, lines } = this.#parts;
    const names = nodes.map(({ name }) => name);
    lines.add({ what, nodes: names, ...more, atMs: watch.nowMs(), bootMs: bootTimeMs() });
  }
}

function watchdogsOf({ settings }: NodeProcess): readonly number[] {
  return processesOf(settings.dataDir)
    .filter(({ commandLine }) => /\/watchdog\/main\.(ts|js)/.test(commandLine))
    .map(({ pid }) => pid);
}

async function removeContainers({ engine }: DockerBed, node: string): Promise<void> {
  for (const { Id, Labels } of await engine.api.list())
    if (Labels['io.jarvis.node'] === node) await engine.api.remove(Id);
}
