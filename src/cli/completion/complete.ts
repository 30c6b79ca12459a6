/** What may stand where the user's cursor is, read from the commands themselves: nothing here is listed twice. */
import type { Command, Option } from 'commander';

import { EVENT_KINDS } from '../../model/events.ts';
import { TASK_STATUSES } from '../options.ts';

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** Where values come from that the program does not know: the cluster, the config file, the shell. */
export type Source =
  | 'tasks'
  | 'batches'
  | 'dags'
  | 'nodes'
  | 'members'
  | 'contexts'
  | 'files'
  | 'directories';

export interface Completion {
  /** What is being typed belongs to it. */
  readonly command: Command;
  readonly candidates: readonly Candidate[];
  readonly source: Source | null;
  /** What of the word at the cursor stays as it is; each candidate and value is put behind it. */
  readonly kept: string;
  /** What the candidates begin with. */
  readonly typed: string;
}

/** By what stands between the angle brackets of an argument or option. */
const SOURCES: Readonly<Record<string, Source>> = {
  task: 'tasks',
  batch: 'batches',
  dag: 'dags',
  node: 'nodes',
  member: 'members',
  context: 'contexts',
  file: 'files',
  directory: 'directories',
};

const VALUES: Readonly<Record<string, readonly string[]>> = { status: TASK_STATUSES, kind: EVENT_KINDS };

/** @param words what follows the program's name up to the cursor; the last of them is the one at the cursor */
export function completionOf(program: Command, words: readonly string[]): Completion {
  const place = placeOf(program, words.slice(0, -1));
  const current = words.at(-1) ?? '';
  const { command } = place;
  if (place.option !== null) return valuesOf(command, place.option, current);
  if (!place.onlyArguments && current.startsWith('-')) {
    const at = current.indexOf('=');
    const option = at < 0 ? undefined : optionNamed(command, current.slice(0, at));
    if (option !== undefined) return valuesOf(command, option, current, at + 1);
    return completion(command, current, { candidates: flagsOf(command, current) });
  }
  if (command.commands.length > 0)
    return completion(command, current, { candidates: place.position === 0 ? subcommandsOf(command) : [] });
  if (place.isCommandLine) return completion(command, current, { source: 'files' });
  const argument =
    command.registeredArguments[place.position] ??
    command.registeredArguments.findLast(({ variadic }) => variadic);
  if (argument === undefined) return completion(command, current, {});
  const candidates = (argument.argChoices ?? []).map((value) => ({ value, description: '' }));
  return completion(command, current, { candidates, source: SOURCES[argument.name()] ?? null });
}

/** What stands before the cursor. */
interface Place {
  readonly command: Command;
  /** Arguments of the command so far. */
  readonly position: number;
  /** The option whose value comes next. */
  readonly option: Option | null;
  /** After `--`, where nothing is an option. */
  readonly onlyArguments: boolean;
  /** What is typed is the command line of another program. */
  readonly isCommandLine: boolean;
}

function placeOf(program: Command, words: readonly string[]): Place {
  let command = program;
  let position = 0;
  let option: Option | null = null;
  let onlyArguments = false;
  for (const word of words) {
    if (option !== null) option = null;
    else if (!onlyArguments && word === '--') onlyArguments = true;
    else if (!onlyArguments && word.startsWith('-') && word.length > 1) option = awaited(command, word);
    else {
      const child = position === 0 ? command.commands.find((one) => isCalled(one, word)) : undefined;
      if (child === undefined) position += 1;
      else command = child;
    }
  }
  const isCommandLine = command.name() === 'run' && (onlyArguments || position > 0);
  return { command, position, option, onlyArguments, isCommandLine };
}

function isCalled(command: Command, word: string): boolean {
  return command.name() === word || command.aliases().includes(word);
}

/** The option, where its value is the next word. */
function awaited(command: Command, word: string): Option | null {
  const option = optionNamed(command, word);
  return option?.required === true ? option : null;
}

function optionNamed(command: Command, flag: string): Option | undefined {
  return command.options.find(({ long, short }) => long === flag || short === flag);
}

/** @param from where in the word at the cursor the value begins */
function valuesOf(command: Command, option: Option, word: string, from = 0): Completion {
  const name = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1] ?? '';
  const isList = name in VALUES;
  const value = word.slice(from);
  const item = isList ? value.lastIndexOf(',') + 1 : 0;
  const values = option.argChoices ?? VALUES[name] ?? [];
  return {
    command,
    candidates: values.map((choice) => ({ value: choice, description: '' })),
    source: SOURCES[name] ?? null,
    kept: word.slice(0, from + item),
    typed: value.slice(item),
  };
}

function flagsOf(command: Command, typed: string): readonly Candidate[] {
  const options = command.createHelp().visibleOptions(command);
  return options.flatMap(({ long, short, description }) =>
    [long, typed === '-' ? short : undefined].flatMap((flag) =>
      flag === undefined || flag === null ? [] : [{ value: flag, description }],
    ),
  );
}

function subcommandsOf(command: Command): readonly Candidate[] {
  const commands = command.createHelp().visibleCommands(command);
  return commands.map((child) => ({ value: child.name(), description: child.description() }));
}

function completion(
  command: Command,
  typed: string,
  found: { readonly candidates?: readonly Candidate[]; readonly source?: Source | null },
): Completion {
  return { command, candidates: found.candidates ?? [], source: found.source ?? null, kept: '', typed };
}
