/** Runs jarvisctl as users do: a process of its own, with streams and an exit status. For tests. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { dialGrpc } from './grpc-connection.ts';
import { runProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

const PROGRAM = fileURLToPath(new URL('./main.ts', import.meta.url));

/** No test of one command takes longer. */
const LIMIT_MS = 20_000;

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Uint8Array;
  /** stdout is a terminal of so many lines. In process only. */
  readonly rows?: number;
}

export interface CliResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

export class CliProcess {
  stdout = '';
  stderr = '';
  readonly result: Promise<CliResult>;
  readonly #child;
  readonly #listeners = new Set<() => void>();

  constructor(args: readonly string[], options: CliOptions = {}) {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...options.env },
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
    });
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#changed();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#changed();
    });
    // A program that does not read its input to the end is free to do so.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.stdin ?? '');
    this.result = once(child, 'close').then(([status]) => ({
      stdout: this.stdout,
      stderr: this.stderr,
      status: status as number | null,
    }));
  }

  interrupt(signal: NodeJS.Signals = 'SIGINT'): void {
    this.#child.kill(signal);
  }

  closeStdout(): void {
    this.#child.stdout.destroy();
  }

  /** Resolves once its output so far satisfies `condition`. */
  until(condition: (process: this) => boolean): Promise<void> {
    if (condition(this)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const listener = (): void => {
        if (condition(this)) resolve();
      };
      this.#listeners.add(listener);
      const fail = async (): Promise<void> => {
        reject(new Error(`it ended before: ${JSON.stringify(await this.result)}`));
      };
      void fail();
    });
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** The same without a process of its own: quick, for commands that neither signals nor closed pipes are about. */
export async function runInProcess(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const terminal = new TestTerminal(options);
  const status = await runProgram([process.execPath, PROGRAM, ...args], { terminal, dial: dialGrpc });
  return { stdout: terminal.stdout.text, stderr: terminal.stderr.text, status };
}

export class TestTerminal implements Terminal {
  readonly stdin: Readable;
  readonly stdout = new Collector();
  readonly stderr = new Collector();
  readonly env: Readonly<Record<string, string>>;
  readonly interrupted: AbortSignal;
  brokenPipeStatus = 0;
  readonly #interruption = new AbortController();

  constructor(options: CliOptions = {}) {
    this.stdin = Readable.from([Buffer.from(options.stdin ?? '')]);
    // Whoever runs the tests may have a config file of their own.
    this.env = { HOME: '/nonexistent', ...options.env };
    if (options.rows !== undefined) this.stdout.asTerminal(options.rows);
    this.interrupted = this.#interruption.signal;
  }

  interrupt(): void {
    this.#interruption.abort('SIGINT');
  }
}

class Collector extends Writable {
  isTTY = false;
  rows = 0;
  readonly #chunks: Buffer[] = [];
  readonly #listeners = new Set<() => void>();

  asTerminal(rows: number): void {
    this.isTTY = true;
    this.rows = rows;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.bytes.toString();
  }

  /** Resolves once the text matches. */
  until(pattern: RegExp): Promise<void> {
    if (pattern.test(this.text)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${pattern} did not come: ${this.text}`)), LIMIT_MS);
      this.#listeners.add(() => {
        if (!pattern.test(this.text)) return;
        clearTimeout(timer);
        resolve();
      });
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#chunks.push(chunk);
    for (const listener of this.#listeners) listener();
    callback();
  }
}
