/** One real `jarvisd` process of a test: started, signalled, waited for; its output goes to a file. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

import { Api } from './api.ts';
import { programEnvironment, programPath } from './program.ts';
import { waitFor, within } from './wait.ts';

export interface NodeSettings {
  readonly name: string;
  readonly dataDir: string;
  readonly listen: string;
  readonly http: string;
  /** Default: http. */
  readonly scheme?: 'http' | 'https';
  /** All flags. */
  readonly flags: readonly string[];
  readonly logFile: string;
  readonly home: string;
  /** Beside PATH and HOME. */
  readonly env: Readonly<Record<string, string>>;
  /** A program and its arguments that run the node in their place, such as `nsenter --net=FILE`. */
  readonly enter?: readonly string[];
}

export interface NodeEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const READY_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 20_000;

export class NodeProcess {
  readonly settings: NodeSettings;
  readonly api: Api;
  #child: ChildProcess | null = null;
  #ended: Promise<NodeEnd> | null = null;
  /** Of an earlier build; null: this one's. */
  #program: string | null = null;

  constructor(settings: NodeSettings) {
    this.settings = settings;
    this.api = new Api(settings.name, settings.http, settings.scheme);
  }

  get name(): string {
    return this.settings.name;
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} was not started`);
    return pid;
  }

  /** How the present process ends. */
  get ended(): Promise<NodeEnd> {
    if (this.#ended === null) throw new Error(`${this.name} was not started`);
    return this.#ended;
  }

  /** In the place of the named flags and their values, others. */
  startWithout(names: readonly string[], others: readonly string[]): void {
    const { flags } = this.settings;
    const kept = flags.filter((flag, at) => !names.includes(flag) && !names.includes(flags[at - 1] ?? ''));
    this.#start([...kept, ...others], {});
  }

  start(moreFlags: readonly string[] = [], moreEnv: Readonly<Record<string, string>> = {}): void {
    this.#start([...this.settings.flags, ...moreFlags], moreEnv);
  }

  /** As another build, until it is called again. @param program path of its `jarvisd`; null: this one's */
  become(program: string | null): void {
    this.#program = program;
  }

  #start(flags: readonly string[], moreEnv: Readonly<Record<string, string>>): void {
    if (this.isRunning) throw new Error(`${this.name} runs already`);
    const { logFile, home, env, enter = [] } = this.settings;
    const log = openSync(logFile, 'a', 0o600);
    try {
      const node = [process.execPath, this.#program ?? programPath('jarvisd'), ...flags];
      const [program = '', ...args] = [...enter, ...node];
      const child = spawn(program, args, {
        env: programEnvironment(home, { ...env, ...moreEnv }),
        stdio: ['ignore', log, log],
      });
      this.#child = child;
      this.#ended = new Promise((resolve, reject) => {
        child.once('exit', (code, signal) => resolve({ code, signal }));
        child.once('error', reject);
      });
    } finally {
      closeSync(log);
    }
  }

  /** @throws Error where the process ends before, or is not ready in time */
  async ready(timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    const answer = await waitFor(
      `${this.name} is ready`,
      async () => (this.isRunning ? (await this.api.isReady()) && 'ready' : 'ended'),
      { timeoutMs, intervalMs: 100 },
    );
    if (answer === 'ended') {
      const { code, signal } = await this.ended;
      throw new Error(`${this.name} ended with ${signal ?? code} before it was ready:\n${this.logTail(20)}`);
    }
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.isRunning) throw new Error(`${this.name} does not run`);
    process.kill(this.pid, signal);
  }

  /** Sends the signal and waits for the end. @throws Error where it does not end */
  async end(signal: NodeJS.Signals, timeoutMs = END_TIMEOUT_MS): Promise<NodeEnd> {
    if (this.isRunning) this.signal(signal);
    const end = await within(this.ended, timeoutMs, null);
    if (end === null) throw new Error(`${this.name} did not end within ${timeoutMs} ms of ${signal}`);
    return end;
  }

  log(): string {
    try {
      return readFileSync(this.settings.logFile, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    }
  }

  logTail(lines: number): string {
    return this.log().trimEnd().split('\n').slice(-lines).join('\n');
  }
}
