/**
 * What a command knows of the process it runs in: streams, environment, interruption. Data goes to stdout, all else to
 * stderr. Nothing else in this folder touches `process`, apart from `main.ts` and the daemons that `dev` starts.
 */
import { styleText } from 'node:util';

import { wrapLine } from './output/wrap.ts';

export interface OutputStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export interface Terminal {
  readonly stdin: NodeJS.ReadableStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT or SIGTERM; the reason is the signal's name. */
  readonly interrupted: AbortSignal;
  /** What the process exits with when the reader of stdout has gone away; 0 unless a command says otherwise. */
  brokenPipeStatus: number;
}

/**
 * Resolves once the stream has taken the bytes, so that a slow reader slows the sender down. That the reader has gone
 * away is for the stream's own listener to act on (`main.ts`): a lost message on stderr fails no command.
 */
export function write(stream: NodeJS.WritableStream, data: string | Uint8Array): Promise<void> {
  if (data.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    stream.write(data, (error) => {
      if (error && (error as NodeJS.ErrnoException).code !== 'EPIPE') reject(error);
      else resolve();
    });
  });
}

export function writeLine(stream: NodeJS.WritableStream, line: string): Promise<void> {
  return write(stream, `${line}\n`);
}

/** One line of progress or warning, told apart from the task's own output by the program's name. */
export function notify(terminal: Terminal, message: string): Promise<void> {
  return writeLine(terminal.stderr, fitted(terminal.stderr, `jarvisctl: ${onOneLine(message)}`));
}

/** One line, which a terminal that is narrower shows as several. */
export function fitted(stream: OutputStream, line: string): string {
  return wrapLine(line, columnsOf(stream)).join('\n');
}

export function onOneLine(text: string): string {
  return printable(text.trim().replaceAll(/\s*\n\s*/g, '; '));
}

/**
 * Control characters in names and messages must not reach the user's terminal, where they could be commands; nor what
 * ends a line or turns the direction of the text, which would show other words than there are.
 */
export function printable(text: string): string {
  return text.replaceAll(
    // oxlint-disable-next-line no-control-regex -- these are what is looked for
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => {
      const code = character.charCodeAt(0).toString(16);
      return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
    },
  );
}

export type Style = Parameters<typeof styleText>[0];

/** Colour only where the stream is a terminal that wants it (NO_COLOR and the like are respected). */
export function styled(stream: OutputStream, style: Style, text: string): string {
  if (stream.isTTY !== true) return text;
  return styleText(style, text, { stream });
}

const DEFAULT_COLUMNS = 80;

/** How wide a terminal is; undefined: it is none, and nothing has to fit. */
export function columnsOf(stream: OutputStream): number | undefined {
  return stream.isTTY === true ? (stream.columns ?? DEFAULT_COLUMNS) : undefined;
}

/** How the user would start this program: `npx jarvisctl` where npm started it. */
export function programName(env: Terminal['env']): string {
  return env['npm_lifecycle_event'] === undefined ? 'jarvisctl' : 'npx jarvisctl';
}
