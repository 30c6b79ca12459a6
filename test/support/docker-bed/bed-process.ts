/** One long-running program of a bed: started with a deadline, paused, continued, killed and started again. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';

import { waitFor } from '../wait.ts';
import { BED_VARIABLE } from './clear.ts';
import { programPath, SEARCH_PATH } from './programs.ts';

export interface BedProcessSettings {
  readonly name: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly logFile: string;
  /** Whose mount namespace it shares. */
  readonly namespacePid: number;
  isReady(): Promise<boolean>;
}

const START_DEADLINE_MS = 60_000;
const END_DEADLINE_MS = 30_000;
const LOG_TAIL_LINES = 20;

export class BedProcess {
  readonly #settings: BedProcessSettings;
  #child: ChildProcess | null = null;

  constructor(settings: BedProcessSettings) {
    this.#settings = settings;
  }

  /** @throws Error where it does not run */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.#settings.name} does not run`);
    return pid;
  }

  get isRunning(): boolean {
    return this.#child !== null;
  }

  /** @throws Error with the tail of its log where it ends, or is not ready in time */
  async start(): Promise<void> {
    const { name, args, directory, logFile, namespacePid } = this.#settings;
    if (this.#child !== null) throw new Error(`${name} runs already`);
    const log = openSync(logFile, 'a');
    const child = spawn(
      programPath('nsenter'),
      [`--mount=/proc/${namespacePid}/ns/mnt`, '--', programPath(name), ...args],
      {
        // A session of its own: an interrupt from the keyboard is for the tests, which then end it in order.
        detached: true,
        stdio: ['ignore', log, log],
        env: { PATH: SEARCH_PATH.join(':'), HOME: directory, TMPDIR: '/tmp', [BED_VARIABLE]: directory },
      },
    );
    closeSync(log);
    this.#child = child;
    let failure: string | null = null;
    child.once('error', (error) => (failure = error.message));
    child.once('exit', (code, signal) => {
      failure = `ended with ${signal ?? `code ${code}`}`;
      if (this.#child === child) this.#child = null;
    });
    const isUp = async () => failure !== null || (await this.#settings.isReady());
    await waitFor(`${name} to start`, isUp, { timeoutMs: START_DEADLINE_MS }).catch((error: unknown) => {
      failure ??= (error as Error).message;
    });
    if (failure !== null) throw new Error(`${name} did not start: ${failure as string}\n${this.logTail()}`);
  }

  /** SIGSTOP; resolves once the kernel has stopped it. */
  async pause(): Promise<void> {
    await pauseProcess(this.pid);
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  /** SIGKILL; resolves once it has ended. What it started lives on. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** SIGTERM; resolves once it has ended. */
  async terminate(): Promise<void> {
    await this.#end('SIGTERM');
  }

  logTail(): string {
    const { logFile } = this.#settings;
    if (!existsSync(logFile)) return '';
    return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    process.kill(this.pid, signal);
    await waitFor(`the end of ${this.#settings.name}`, () => this.#child === null, {
      timeoutMs: END_DEADLINE_MS,
      intervalMs: 5,
    });
  }
}

/** Resolves once the kernel has stopped it, all threads. */
export async function pauseProcess(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await waitFor(
    `process ${pid} to stop`,
    () => /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')),
    {
      intervalMs: 2,
    },
  );
}
