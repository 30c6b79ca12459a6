/** The command line: everything is checked before anything is started. */
import { parseArgs } from 'node:util';

import { JarvisError } from '../src/lib/errors.ts';
import type { Benchmark } from './benchmark.ts';

export interface BenchOptions {
  readonly action: 'run' | 'list' | 'help';
  /** In the order of the catalogue, each once. */
  readonly benchmarks: readonly Benchmark[];
  readonly isQuick: boolean;
  readonly peer: string | null;
  readonly jsonFile: string | null;
}

export const USAGE = 'usage: npm run bench -- [NAME…] [--quick] [--peer NAME] [--json FILE] [--list]';

const OPTIONS = {
  quick: { type: 'boolean' },
  peer: { type: 'string' },
  json: { type: 'string' },
  list: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;
const ALLOWED_OPTIONS = '--quick, --peer NAME, --json FILE, --list, --help';

/** @throws JarvisError invalid, on one line that names what is not allowed, and what is */
export function parseOptions(args: readonly string[], catalogue: readonly Benchmark[]): BenchOptions {
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options: OPTIONS,
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  for (const token of tokens) if (token.kind === 'option') checkOption(token);
  const benchmarks = selected(positionals, catalogue);
  const isAsked = (name: keyof typeof OPTIONS): boolean => values[name] === true;
  return {
    action: isAsked('help') ? 'help' : isAsked('list') ? 'list' : 'run',
    benchmarks,
    isQuick: isAsked('quick'),
    peer: peerOf(textOf(values.peer), benchmarks),
    jsonFile: textOf(values.json),
  };
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

/** In place of parseArgs' own checks, whose messages do not say what is allowed. */
function checkOption({ name, rawName, value, inlineValue }: OptionToken): void {
  if (!Object.hasOwn(OPTIONS, name)) throw invalid(`${rawName} is not allowed: ${ALLOWED_OPTIONS}`);
  const takesValue = OPTIONS[name as keyof typeof OPTIONS].type === 'string';
  if (!takesValue && value !== undefined) {
    throw invalid(`${rawName}: ${JSON.stringify(value)} is not allowed: it takes no value`);
  }
  const isMissing = value === undefined || value === '' || (inlineValue !== true && value.startsWith('-'));
  if (takesValue && isMissing) throw invalid(`${rawName} needs a value; allowed: ${ALLOWED_OPTIONS}`);
}

function selected(names: readonly string[], catalogue: readonly Benchmark[]): readonly Benchmark[] {
  const known = catalogue.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw invalid(`${JSON.stringify(unknown)} is not allowed: ${known.join(', ')}`);
  return names.length === 0 ? catalogue : catalogue.filter(({ name }) => names.includes(name));
}

function peerOf(peer: string | null, benchmarks: readonly Benchmark[]): string | null {
  const allowed = [...new Set(benchmarks.flatMap(({ peers }) => peers))];
  if (peer === null || allowed.includes(peer)) return peer;
  const names = benchmarks.map(({ name }) => name).join(', ');
  const what = allowed.length === 0 ? `none is there yet for ${names}` : allowed.join(', ');
  throw invalid(`--peer: ${JSON.stringify(peer)} is not allowed: ${what}`);
}

function textOf(value: string | boolean | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function invalid(message: string): JarvisError {
  return new JarvisError('invalid', message);
}
