/** A cluster of several daemons on this machine, as long as this process lives. */
import { availableParallelism, totalmem } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import { JarvisError } from '../../lib/errors.ts';
import { isAlive } from '../../lib/node-processes.ts';
import { processStartTime } from '../../lib/process-start.ts';
import { printable } from '../terminal.ts';
import { Daemon, lastLines } from './daemon.ts';
import { endInstances } from './instances.ts';
import { nodeLog, readRecord, removeData, writeRecord } from './layout.ts';
import type { DevNode, DevRecord } from './layout.ts';
import { FIRST_HTTP_PORT, FIRST_LISTEN_PORT, address, freePorts, isFree, portOf } from './ports.ts';

export const DEFAULT_NODES = 3;
export const MAX_NODES = 9;

/** Formation of a new cluster takes a second or two; a slow disk much longer. */
const READY_LIMIT_MS = 60_000;
/** Daemons exit within 5 s of a SIGTERM; their tasks' grace time comes on top. */
const STOP_LIMIT_MS = 15_000;
const LOG_LINES_SHOWN = 10;
const MEBIBYTE = 1024 * 1024;

export interface DevClusterOptions {
  readonly directory: string;
  readonly program: string;
  /** Absent: as many as the data knows, else {@link DEFAULT_NODES}. */
  readonly nodes: number | undefined;
  readonly fresh: boolean;
  readonly say: (message: string) => Promise<void>;
}

export class DevCluster {
  readonly nodes: readonly DevNode[];
  readonly #options: DevClusterOptions;
  readonly #daemons: readonly Daemon[];
  #stopping = false;

  private constructor(options: DevClusterOptions, nodes: readonly DevNode[], daemons: readonly Daemon[]) {
    this.#options = options;
    this.nodes = nodes;
    this.#daemons = daemons;
  }

  /**
   * Starts the daemons; the directory's lock is held by the caller.
   * @throws JarvisError conflict, invalid (another number of nodes, a port that is taken) before anything is started
   */
  static async start(options: DevClusterOptions): Promise<DevCluster> {
    const { directory } = options;
    const former = options.fresh ? readRecordToDiscard(directory) : readRecord(directory);
    if (former !== null) await endLeftovers(former, options);
    if (options.fresh) removeData(directory);
    const nodes = await planNodes(options.fresh ? null : former, options.nodes);
    writeRecord(directory, { pid: process.pid, nodes });
    const daemons = await startAll(options, nodes);
    writeRecord(directory, {
      pid: process.pid,
      nodes: daemons.map(({ node, pid }) => ({
        ...node,
        process: { pid, startTime: processStartTime(pid) ?? '' },
      })),
    });
    return new DevCluster(options, nodes, daemons);
  }

  /** Resolves once all are ready. @throws JarvisError unavailable naming the node that is not, with its last log lines */
  async ready(interrupted: AbortSignal): Promise<void> {
    const limit = AbortSignal.timeout(READY_LIMIT_MS);
    const scope = new AbortController();
    const signal = AbortSignal.any([interrupted, limit, scope.signal]);
    try {
      await Promise.all(this.#daemons.map((daemon) => this.#readyOrFail(daemon, signal, limit)));
    } finally {
      scope.abort();
    }
  }

  /** Says it when a daemon ends before {@link stop}; the others go on. */
  watch(): void {
    for (const daemon of this.#daemons) void this.#watchOne(daemon);
  }

  /** Ends the daemons, which end their tasks. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      this.#daemons.map(async (daemon) => {
        const inTime = await daemon.stop(STOP_LIMIT_MS);
        if (!inTime)
          await this.#options.say(
            `${daemon.node.name} did not end within ${STOP_LIMIT_MS / 1000} s and was killed`,
          );
      }),
    );
    await endInstances(this.#options.directory, this.nodes, STOP_LIMIT_MS);
  }

  async #watchOne(daemon: Daemon): Promise<void> {
    const how = await daemon.ended;
    if (this.#stopping) return;
    await this.#options.say(`${daemon.node.name} ${how}, the others go on`);
    await this.#sayLog(daemon.node);
  }

  async #readyOrFail(daemon: Daemon, signal: AbortSignal, limit: AbortSignal): Promise<void> {
    let reason: string;
    let cause: unknown;
    try {
      await daemon.ready(signal);
      return;
    } catch (error) {
      if (!(error instanceof JarvisError) && !limit.aborted) throw error;
      cause = error;
      reason =
        error instanceof JarvisError
          ? error.message
          : `${daemon.node.name} was not ready after ${READY_LIMIT_MS / 1000} s`;
    }
    // Nodes tend to fail together, and for one reason: the first one's is enough.
    if (!this.#stopping) {
      this.#stopping = true;
      await this.#sayLog(daemon.node);
    }
    throw new JarvisError('conflict', reason, { cause });
  }

  async #sayLog(node: DevNode): Promise<void> {
    const path = nodeLog(this.#options.directory, node);
    const lines = lastLines(path, LOG_LINES_SHOWN).map((line) => `  ${printable(line)}`);
    await this.#options.say([`the end of ${path}:`, ...lines].join('\n'));
  }
}

async function startAll(options: DevClusterOptions, nodes: readonly DevNode[]): Promise<Daemon[]> {
  const { program, directory } = options;
  const capacity = capacityOf(nodes.length);
  const daemons: Daemon[] = [];
  try {
    for (const node of nodes)
      daemons.push(await Daemon.start({ program, directory, node, peers: nodes, capacity }));
    return daemons;
  } catch (error) {
    await Promise.all(daemons.map((daemon) => daemon.stop(STOP_LIMIT_MS)));
    throw error;
  }
}

/** @throws JarvisError invalid where what is there and what is wanted do not go together */
async function planNodes(former: DevRecord | null, wanted: number | undefined): Promise<DevNode[]> {
  if (former === null) {
    const count = wanted ?? DEFAULT_NODES;
    const listen = await freePorts(count, FIRST_LISTEN_PORT);
    const http = await freePorts(count, Math.max(FIRST_HTTP_PORT, (listen.at(-1) ?? 0) + 1));
    return listen.map((port, index) => ({
      name: `n${index + 1}`,
      listen: address(port),
      http: address(http[index] ?? 0),
    }));
  }
  if (wanted !== undefined && wanted !== former.nodes.length)
    throw new JarvisError(
      'invalid',
      `--nodes ${wanted}: the data is of a cluster of ${former.nodes.length} nodes; --fresh begins anew, without it`,
    );
  for (const { name, listen, http } of former.nodes) {
    for (const place of [listen, http]) {
      if (!(await isFree(portOf(place))))
        throw new JarvisError(
          'invalid',
          `${name}: ${place} is in use by another program, and the cluster's data is bound to it; ` +
            'free it, or begin anew with --fresh',
        );
    }
  }
  return former.nodes.map(({ name, listen, http }) => ({ name, listen, http }));
}

/** For `--fresh` a damaged record is as good as none. */
function readRecordToDiscard(directory: string): DevRecord | null {
  try {
    return readRecord(directory);
  } catch (error) {
    if (error instanceof JarvisError) return null;
    throw error;
  }
}

/** Daemons of a `dev` that was killed before it could end them: they would hold the ports and the data. */
async function endLeftovers(
  former: DevRecord,
  { directory, say }: Pick<DevClusterOptions, 'directory' | 'say'>,
): Promise<void> {
  for (const { name, process: started } of former.nodes) {
    if (started === undefined || !isAlive(started)) continue;
    await say(`${name} of an earlier run still runs (pid ${started.pid}), ending it`);
    process.kill(started.pid, 'SIGTERM');
    const deadline = performance.now() + STOP_LIMIT_MS;
    while (isAlive(started) && performance.now() < deadline) await delay(100);
    if (isAlive(started)) process.kill(started.pid, 'SIGKILL');
    while (isAlive(started) && performance.now() < deadline + 2000) await delay(50);
  }
  const count = await endInstances(directory, former.nodes, STOP_LIMIT_MS);
  if (count > 0) await say(`${count} of the autoscaler's nodes of an earlier run still ran, and were ended`);
}

/** The machine's cores and memory, divided evenly, as `--capacity` has it. */
export function capacityOf(nodes: number): string {
  const cpuMillis = Math.max(1, Math.floor((availableParallelism() * 1000) / nodes));
  // 0: unconstrained. More than there is, too, says that no limit is set.
  const constrained = process.constrainedMemory();
  const memory = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return `cpu=${cpuMillis}m,memory=${Math.max(1, Math.floor(memory / nodes / MEBIBYTE))}Mi`;
}
