/** The examples of docs/api.md, and how one is run: as it stands there, by a shell and curl. */
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { missingPrograms, programPath, type Program } from './docker-bed/programs.ts';

/** What the examples are run with. */
export const EXAMPLE_PROGRAMS: readonly Program[] = [{ name: 'curl', packageName: 'curl' }];

const PAGE = path.join(import.meta.dirname, '../../docs/api.md');
const TIMEOUT_MS = 90_000;
const CURL_TIMEOUT_S = 60;

/** @returns why the examples cannot be run here; null where they can be: curl has known `--json` since 7.82 */
export function examplesObstacle(): string | null {
  if (missingPrograms(EXAMPLE_PROGRAMS).length > 0)
    return 'not installed: curl (node scripts/test-bed.mjs examples)';
  const { stdout } = spawnSync(programPath('curl'), ['--version'], { encoding: 'utf8', timeout: TIMEOUT_MS });
  const [, major, minor] = /^curl (\d+)\.(\d+)/.exec(stdout) ?? [];
  const isOld = Number(major) * 1000 + Number(minor) < 7082;
  return major === undefined || isOld ? `curl ${major}.${minor} is too old: 7.82 or newer` : null;
}

interface Example {
  /** As the document names it. */
  readonly operation: string;
  readonly script: string;
}

export interface ExamplePage {
  /** What is typed once, before any example. */
  readonly beginning: string;
  /** In the order of the page. */
  readonly examples: readonly Example[];
}

/** @throws Error where a block of the page is neither the beginning nor an example */
export function readExamples(text = readFileSync(PAGE, 'utf8')): ExamplePage {
  const [beginning = '', ...blocks] = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(
    ([, block = '']) => block,
  );
  const examples = blocks.map((block) => {
    const [, operation, script] = /^# (\w+)\n([\s\S]+)$/.exec(block) ?? [];
    if (operation === undefined || script === undefined)
      throw new Error(`an example of docs/api.md begins with no operation: ${block}`);
    return { operation, script };
  });
  return { beginning, examples };
}

/** What curl was told to send. */
export interface SentRequest {
  readonly method: string;
  readonly url: URL;
  readonly body: string | null;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Where the body of the answer goes; null: to stdout. */
  readonly output: string | null;
}

export interface ReceivedAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

export interface ExampleRun {
  readonly request: SentRequest;
  readonly answer: ReceivedAnswer;
}

/** Runs scripts in a directory of its own, with a curl that notes what it is told and what it is answered. */
export class ExampleShell {
  readonly directory: string;
  readonly #record: string;
  readonly #env: Record<string, string>;

  /** @param directory which is there; @throws Error where there is no curl */
  constructor(directory: string) {
    this.directory = directory;
    this.#record = path.join(directory, 'record');
    mkdirSync(this.#record);
    const bin = path.join(directory, 'bin');
    mkdirSync(bin);
    const curl = path.join(bin, 'curl');
    const noted = [
      '#!/bin/sh',
      `printf '%s\\0' "$@" > '${this.#record}/arguments'`,
      `exec '${programPath('curl')}' --dump-header '${this.#record}/head' --max-time ${CURL_TIMEOUT_S} "$@"`,
    ];
    writeFileSync(curl, `${noted.join('\n')}\n`);
    chmodSync(curl, 0o755);
    this.#env = { PATH: `${bin}:${process.env['PATH']}`, HOME: directory };
  }

  /** For every script from now on. */
  set(name: string, value: string): void {
    this.#env[name] = value;
  }

  /** @throws Error where the script fails, says anything on stderr, or calls no curl */
  async run(script: string): Promise<ExampleRun> {
    for (const name of ['arguments', 'head']) rmSync(this.#noted(name), { force: true });
    const stdout = await new Promise<Buffer>((resolve, reject) => {
      // An unset variable is a mistake of the page.
      const options = {
        cwd: this.directory,
        env: this.#env,
        timeout: TIMEOUT_MS,
        encoding: 'buffer' as const,
        maxBuffer: 64 * 1024 * 1024,
      };
      execFile('sh', ['-euc', script], options, (error, out, err) => {
        if (error === null && err.length === 0) resolve(out);
        else reject(new Error(`${script}\n${err.toString()}`, { cause: error }));
      });
    });
    if (!existsSync(this.#noted('arguments'))) throw new Error(`no curl was called: ${script}`);
    const request = requestOf(readFileSync(this.#noted('arguments'), 'utf8').split('\0').slice(0, -1));
    const body = request.output === null ? stdout : readFileSync(path.join(this.directory, request.output));
    return { request, answer: { ...headOf(readFileSync(this.#noted('head'), 'latin1')), body } };
  }

  #noted(name: string): string {
    return path.join(this.#record, name);
  }
}

/** Of the options that the page uses. @throws Error for any other */
function requestOf(args: readonly string[]): SentRequest {
  const headers = new Map<string, string>();
  let method: string | null = null;
  let url: string | null = null;
  let body: string | null = null;
  let output: string | null = null;
  const rest = [...args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (!word.startsWith('-')) {
      url = word;
      continue;
    }
    if (/^-[sSN]+$/.test(word)) continue;
    const value = rest.shift();
    if (value === undefined) throw new Error(`${word} has no value`);
    if (word === '-X') method = value;
    else if (word === '-o') output = value;
    else if (word === '--json') body = value;
    else if (word !== '-H') throw new Error(`${word} is not known here: ${args.join(' ')}`);
    else if (!value.startsWith('@')) {
      const [name = '', ...text] = value.split(':');
      headers.set(name.toLowerCase(), text.join(':').trim());
    }
  }
  if (url === null) throw new Error(`no URL: ${args.join(' ')}`);
  method ??= body === null ? 'GET' : 'POST';
  return { method, url: new URL(url), body, headers, output };
}

/** @param text as `--dump-header` leaves it */
function headOf(text: string): Omit<ReceivedAnswer, 'body'> {
  const [first = '', ...lines] = text.trimEnd().split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()] as const;
    }),
  );
  return { status: Number(first.split(' ')[1]), headers };
}
