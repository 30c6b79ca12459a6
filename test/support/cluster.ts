/**
 * A cluster of real `jarvisd` processes in a directory of its own, on free loopback ports. Whatever happens, nothing of
 * it is left behind: neither daemons nor watchdogs nor tasks nor files.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { groupPrefixOf } from '../../src/agent/watchdog/cgroup-containment.ts';
import type { Api, TaskJson } from './api.ts';
import { FINAL_STATUSES } from './api.ts';
import { removeAttemptGroups } from './attempt-groups.ts';
import { guardDirectory, type Guard } from './guard.ts';
import { NodeProcess, type NodeEnd } from './node-process.ts';
import { freePort, HOST } from './ports.ts';
import { endProcessesOf, processesOf, type FoundProcess } from './processes.ts';
import { runProgram, type RunOptions, type RunResult } from './program.ts';
import { waitFor, type WaitOptions } from './wait.ts';

export interface ClusterOptions {
  /** Founders. */
  readonly nodes?: number;
  /** More nodes, which join when they are started by name. */
  readonly joining?: number;
  /** As in the configuration; absent: the product's defaults. */
  readonly membership?: {
    readonly voters?: number;
    readonly learners?: number;
    readonly voter_grace?: string;
  };
  /** As in the configuration; absent: the product's defaults. */
  readonly retention?: {
    readonly tasks?: string;
    readonly max_tasks?: number;
    readonly events?: string;
    readonly logs?: string;
    readonly max_log_bytes?: string;
  };
  /** Seconds or durations; absent: the product's defaults. */
  readonly heartbeat?: { readonly interval: string; readonly warning: string; readonly timeout: string };
  /** Of each node; null: as it is measured. */
  readonly capacity?: string | null;
  /** End tasks with their daemon when that is stopped in order (default true). */
  readonly killTasksOnExit?: boolean;
  /** Of each node, as `--drivers` takes them (default `process`). */
  readonly drivers?: string;
  /** Of each node; `MARKS` stands for a directory of the cluster's own, `marks`. */
  readonly policy?: object;
  /** Added to the environment of each node, such as `DOCKER_HOST`. */
  readonly env?: Readonly<Record<string, string>>;
  /** By name, added to that; called once, when all addresses are known. */
  readonly envOf?: (
    members: readonly Member[],
  ) => Promise<(name: string) => Readonly<Record<string, string>>>;
  /** See {@link NodeSettings.enter}. */
  readonly enterOf?: (name: string) => readonly string[];
  /** Where a node's data directory is to be, below that of the cluster; the folder that it is in must exist by the start. */
  readonly dataDirOf?: (directory: string, name: string) => string;
  /** What the nodes speak at --http, where their environment turns TLS on (default http). */
  readonly scheme?: 'http' | 'https';
  /** One per node; absent: loopback. */
  readonly hosts?: readonly Host[];
}

/** A network of a node's own. */
export interface Host {
  readonly address: string;
  /** See {@link NodeSettings.enter}. */
  readonly enter: readonly string[];
}

/** Silence is noticed soon, yet a process that is not scheduled for a moment is not taken for dead. */
export const SHORT_HEARTBEAT = { interval: '200ms', warning: '1s', timeout: '3s' } as const;
/** On a host of their own nothing else listens. */
const [HOST_LISTEN_PORT, HOST_HTTP_PORT] = [7101, 8101];
const DEFAULT_CAPACITY = 'cpu=8,memory=16Gi';
const LOG_LINES_SHOWN = 25;

export class TestCluster {
  /** Absolute; also for what tests leave outside the nodes' own directories. */
  readonly directory: string;
  readonly nodes: readonly NodeProcess[];
  readonly #guard: Guard;

  readonly #founders: number;

  private constructor(directory: string, nodes: readonly NodeProcess[], founders: number) {
    this.directory = directory;
    this.#founders = founders;
    this.nodes = nodes;
    this.#guard = guardDirectory(directory);
  }

  /** Prepares everything and starts nothing. */
  static async create(options: ClusterOptions = {}): Promise<TestCluster> {
    const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-cluster-'));
    const { nodes: count = 3, heartbeat, capacity = DEFAULT_CAPACITY, killTasksOnExit = true } = options;
    const { drivers = 'process', env = {}, dataDirOf = below } = options;
    const names = Array.from({ length: count + (options.joining ?? 0) }, (_, at) => `n${at + 1}`);
    const members: Member[] = [];
    for (const [at, name] of names.entries()) members.push(await memberOf(name, options.hosts?.[at]));
    const envOf = (await options.envOf?.(members)) ?? (() => ({}));
    const config = path.join(directory, 'config.yaml');
    const marks = path.join(directory, 'marks');
    mkdirSync(marks);
    // YAML reads JSON.
    const { policy, membership, retention } = options;
    const settings = JSON.stringify({ heartbeat, policy, membership, retention });
    writeFileSync(config, settings.replaceAll('"MARKS"', JSON.stringify(marks)));
    mkdirSync(path.join(directory, 'home'));
    const founders = members.slice(0, count);
    const peers = founders.map(({ name, listen }) => `${name}=${listen}`).join(',');
    const join = founders.map(({ listen }) => listen).join(',');
    const nodes = members.map(({ name, listen, http, enter }, at) => {
      const dataDir = dataDirOf(directory, name);
      const flags = ['--config', config, '--name', name, '--data-dir', dataDir, '--listen', listen];
      flags.push('--http', http, '--drivers', drivers);
      if (capacity !== null) flags.push('--capacity', capacity);
      if (at < count) flags.push('--peers', peers);
      else flags.push('--join', join);
      if (killTasksOnExit) flags.push('--kill-tasks-on-exit');
      if (options.hosts !== undefined) flags.push('--insecure');
      const logFile = path.join(directory, `${name}.log`);
      return new NodeProcess({
        name,
        dataDir,
        listen,
        http,
        scheme: options.scheme ?? 'http',
        flags,
        logFile,
        home: path.join(directory, 'home'),
        env: { ...env, ...envOf(name) },
        enter: options.enterOf?.(name) ?? enter,
      });
    });
    return new TestCluster(directory, nodes, count);
  }

  node(name: string): NodeProcess {
    const node = this.nodes.find((each) => each.name === name);
    if (node === undefined) throw new Error(`there is no node ${name}`);
    return node;
  }

  /** For `--peer`: all of them, or the named one. */
  peers(name?: string): string {
    const nodes = name === undefined ? this.nodes : [this.node(name)];
    return nodes.map(({ settings }) => settings.listen).join(',');
  }

  async start(): Promise<void> {
    for (const node of this.nodes.slice(0, this.#founders)) node.start();
    await this.ready();
  }

  /** All that run. */
  /** For what is started before the tests of a file: what the nodes have said is shown where they do not come up. */
  async startOrTell(): Promise<void> {
    try {
      await this.start();
    } catch (error) {
      process.stderr.write(this.logTails());
      throw error;
    }
  }

  async ready(): Promise<void> {
    await Promise.all(this.nodes.filter((node) => node.isRunning).map((node) => node.ready()));
  }

  kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<NodeEnd> {
    return this.node(name).end(signal);
  }

  async restart(name: string): Promise<void> {
    this.node(name).start();
    await this.node(name).ready();
  }

  /** In order: TERM to all. */
  async stopAll(): Promise<readonly NodeEnd[]> {
    return await Promise.all(this.nodes.filter((node) => node.isRunning).map((node) => node.end('SIGTERM')));
  }

  /** One that runs; asks it who leads. */
  async leader(options: WaitOptions & { readonly not?: string } = {}): Promise<NodeProcess> {
    const name = await waitFor(
      'a leader',
      async () => {
        for (const { api } of this.#running()) {
          const { leader } = await api.cluster({ timeoutMs: 5000 });
          if (leader !== null && leader !== options.not) return leader;
        }
        return null;
      },
      options,
    );
    return this.node(name);
  }

  async followers(): Promise<readonly NodeProcess[]> {
    const leader = await this.leader();
    return this.#running().filter((node) => node !== leader);
  }

  /** Any node's that runs. */
  api(): Api {
    const [node] = this.#running();
    if (node === undefined) throw new Error('no node runs');
    return node.api;
  }

  async task(id: string, condition: (task: TaskJson) => boolean, options?: WaitOptions): Promise<TaskJson> {
    let last = '';
    try {
      return await waitFor(
        `a state of ${id}`,
        async () => {
          const task = await this.api().task(id);
          last = JSON.stringify(task);
          return condition(task) && task;
        },
        options,
      );
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : ''}; it is ${last}`, { cause: error });
    }
  }

  finalTask(id: string, options?: WaitOptions): Promise<TaskJson> {
    return this.task(id, ({ status }) => FINAL_STATUSES.has(status), options);
  }

  cli(args: readonly string[], options: RunOptions & { readonly peer?: string } = {}): Promise<RunResult> {
    const env = { JARVIS_PEERS: this.peers(options.peer), ...options.env };
    return runProgram('jarvisctl', args, { ...options, env });
  }

  processes(): readonly FoundProcess[] {
    return processesOf(this.directory);
  }

  logTails(): string {
    const parts = this.nodes.map((node) => {
      const state = node.isRunning ? 'runs' : 'does not run';
      return `--- the end of the log of ${node.name}, which ${state}\n${node.logTail(LOG_LINES_SHOWN)}`;
    });
    return `${parts.join('\n')}\n`;
  }

  async dispose(): Promise<void> {
    await endProcessesOf(this.directory);
    // A watchdog that was killed leaves its attempts' groups, empty by now; the names are made of the directory's place.
    await removeAttemptGroups(this.nodes.map(({ settings }) => groupPrefixOf(settings.dataDir)));
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
    await this.#guard.dismiss();
  }

  #running(): readonly NodeProcess[] {
    return this.nodes.filter((node) => node.isRunning);
  }
}

export interface Member {
  readonly name: string;
  readonly listen: string;
  readonly http: string;
  readonly enter: readonly string[];
}

async function memberOf(name: string, host: Host | undefined): Promise<Member> {
  if (host === undefined) {
    return { name, listen: `${HOST}:${await freePort()}`, http: `${HOST}:${await freePort()}`, enter: [] };
  }
  const { address, enter } = host;
  return { name, listen: `${address}:${HOST_LISTEN_PORT}`, http: `${address}:${HOST_HTTP_PORT}`, enter };
}

function below(directory: string, name: string): string {
  return path.join(directory, name);
}
