/**
 * The file format of the scripts ("datadriven"): comments, a directive with arguments, input lines, `----`, and the
 * expected output up to a blank line (or, between doubled `----` lines, with blank lines in it).
 */
import { invariant } from '../../src/lib/assert.ts';

export interface Argument {
  /** The word itself where it has no value. */
  readonly key: string;
  /** `key=value` has one, `key=(a,b)` several, a bare word none. */
  readonly values: readonly string[];
}

export interface Directive {
  /** 1-based, of the directive's line. */
  readonly line: number;
  readonly name: string;
  readonly arguments: readonly Argument[];
  readonly input: readonly string[];
  readonly expected: readonly string[];
}

export function parseScript(text: string): readonly Directive[] {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''));
  const directives: Directive[] = [];
  let at = 0;
  while (at < lines.length) {
    const first = lines[at] ?? '';
    if (first.trim() === '' || first.startsWith('#')) {
      at += 1;
      continue;
    }
    const line = at + 1;
    let command = first;
    // A trailing backslash continues the directive.
    while (command.endsWith('\\')) {
      at += 1;
      command = `${command.slice(0, -1)} ${(lines[at] ?? '').trim()}`;
    }
    const separator = lines.indexOf('----', at + 1);
    invariant(separator > 0, `line ${line}: no ---- follows the directive`);
    const input = lines.slice(at + 1, separator);
    const { expected, end } = readExpected(lines, separator + 1);
    at = end;
    const { name, args } = parseCommand(command);
    directives.push({ line, name, arguments: args, input, expected });
  }
  return directives;
}

function readExpected(lines: readonly string[], start: number): { expected: string[]; end: number } {
  if (lines[start] === '----') {
    let end = start + 1;
    while (end < lines.length && !(lines[end] === '----' && lines[end + 1] === '----')) end += 1;
    return { expected: lines.slice(start + 1, end), end: end + 2 };
  }
  let end = start;
  while (end < lines.length && lines[end]?.trim() !== '') end += 1;
  return { expected: lines.slice(start, end), end };
}

/** Words apart by blanks; a value in parentheses may hold blanks itself. */
function parseCommand(command: string): { name: string; args: readonly Argument[] } {
  const words = [...command.matchAll(/([^\s=()]+)(?:=(\([^)]*\)|\S*))?/g)];
  const args = words.map((word): Argument => {
    const key = word[1] ?? '';
    const value = word[2];
    if (value === undefined) return { key, values: [] };
    if (!value.startsWith('(')) return { key, values: [value] };
    const inside = value.slice(1, -1).trim();
    return { key, values: inside === '' ? [] : inside.split(/[\s,]+/) };
  });
  const [name, ...rest] = args;
  invariant(name !== undefined, `no directive in ${command}`);
  return { name: name.key, args: rest };
}

/** How a directive's arguments are read by name; the bare ones by position. */
export class Arguments {
  readonly #all: readonly Argument[];

  constructor(directive: Directive) {
    this.#all = directive.arguments;
  }

  get bare(): readonly string[] {
    return this.#all.filter(({ values }) => values.length === 0).map(({ key }) => key);
  }

  get numbers(): readonly number[] {
    return this.bare.map(Number);
  }

  has(key: string): boolean {
    return this.#all.some((argument) => argument.key === key);
  }

  list(key: string): readonly string[] | undefined {
    return this.#all.find((argument) => argument.key === key)?.values;
  }

  numberList(key: string): readonly number[] {
    return (this.list(key) ?? []).map(Number);
  }

  text(key: string): string | undefined {
    return this.list(key)?.[0];
  }

  number(key: string): number | undefined {
    const text = this.text(key);
    return text === undefined ? undefined : Number(text);
  }

  flag(key: string): boolean {
    return this.text(key) === 'true';
  }
}
