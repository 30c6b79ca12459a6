/** One `jarvisd` process of a local cluster: started, watched, asked whether it is ready, and ended. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { JarvisError } from '../../lib/errors.ts';
import { programFile } from '../../lib/program-files.ts';
import { nodeDirectory, nodeLog } from './layout.ts';
import type { DevNode } from './layout.ts';

export function daemonProgram(): string {
  return programFile('agent/main');
}

export interface DaemonOptions {
  readonly program: string;
  readonly directory: string;
  readonly node: DevNode;
  readonly peers: readonly DevNode[];
  readonly capacity: string;
}

const READY_POLL_MS = 200;
const READY_REQUEST_MS = 2000;
const KILL_WAIT_MS = 2000;

export class Daemon {
  readonly node: DevNode;
  readonly pid: number;
  /** Resolves when the process has ended, with how. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;

  private constructor(node: DevNode, child: ChildProcess, pid: number) {
    this.node = node;
    this.pid = pid;
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        resolve(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`);
      });
    });
  }

  /** @throws JarvisError internal where the process cannot be started */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const { node, directory } = options;
    mkdirSync(nodeDirectory(directory, node), { recursive: true, mode: 0o700 });
    const log = openSync(nodeLog(directory, node), 'a', 0o600);
    try {
      const child = spawn(process.execPath, [options.program, ...daemonArguments(options)], {
        stdio: ['ignore', log, log],
        // A session of its own: Ctrl-C in the terminal reaches this program only, which then ends them in order.
        detached: true,
      });
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
      if (child.pid === undefined) throw new JarvisError('internal', `${node.name} has no process id`);
      return new Daemon(node, child, child.pid);
    } finally {
      closeSync(log);
    }
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves once `/readyz` answers 200. @throws JarvisError unavailable where the process ends before */
  async ready(signal: AbortSignal): Promise<void> {
    while (this.isRunning) {
      if (await answersReady(this.node.http, signal)) return;
      await delay(READY_POLL_MS, undefined, { signal });
    }
    throw new JarvisError('unavailable', `${this.node.name} ${await this.ended}`);
  }

  /** TERM, and KILL where that does not suffice within `graceMs`. @returns whether it ended by itself */
  async stop(graceMs: number): Promise<boolean> {
    if (!this.isRunning) return true;
    this.#child.kill('SIGTERM');
    if (await settlesWithin(this.ended, graceMs)) return true;
    this.#child.kill('SIGKILL');
    await settlesWithin(this.ended, KILL_WAIT_MS);
    return false;
  }
}

function daemonArguments({ node, directory, peers, capacity }: DaemonOptions): string[] {
  const flags: Readonly<Record<string, string>> = {
    '--name': node.name,
    '--data-dir': nodeDirectory(directory, node),
    '--listen': node.listen,
    '--http': node.http,
    '--peers': peers.map((peer) => `${peer.name}=${peer.listen}`).join(','),
    '--capacity': capacity,
  };
  return [...Object.entries(flags).flat(), '--kill-tasks-on-exit'];
}

async function answersReady(http: string, signal: AbortSignal): Promise<boolean> {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(READY_REQUEST_MS)]);
    const response = await fetch(`http://${http}/readyz`, { signal: limit });
    await response.body?.cancel();
    return response.status === 200;
  } catch (error) {
    if (signal.aborted) throw error;
    // Nobody listens yet, or too slowly: both mean that it is not ready.
    return false;
  }
}

async function settlesWithin(ended: Promise<unknown>, limitMs: number): Promise<boolean> {
  const scope = new AbortController();
  const expiry = delay(limitMs, false, { signal: scope.signal }).catch(() => false);
  const inTime = await Promise.race([ended.then(() => true), expiry]);
  scope.abort();
  return inTime;
}

/** The end of a log, for people; empty where there is none. */
export function lastLines(path: string, count: number): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.trimEnd().split('\n').slice(-count);
}
