/** `jarvisctl completion SHELL`, and the hidden command that shells ask while the user types. */
import { Argument } from 'commander';
import type { Command } from 'commander';

import { completionOf } from '../completion/complete.ts';
import type { Candidate } from '../completion/complete.ts';
import { SCRIPTS, SHELLS } from '../completion/scripts.ts';
import type { Shell } from '../completion/scripts.ts';
import { valuesOf } from '../completion/values.ts';
import type { Context } from '../context.ts';
import { CONNECTION, addExamples } from '../options.ts';
import { onOneLine, write } from '../terminal.ts';

/** What a shell may put on its command line as it stands; whatever else is there is not offered. */
const HARMLESS = /^[A-Za-z0-9_.:/@%+=,-]+$/;

export function registerCompletion(program: Command, context: Context): void {
  const command = program
    .command('completion')
    .description('Print what makes a shell complete commands, options, and the ids and names of the cluster.')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action(async (shell: Shell) => {
      await write(context.terminal.stdout, SCRIPTS[shell]);
    });
  addExamples(
    command,
    'source <(jarvisctl completion bash)',
    'source <(jarvisctl completion zsh)',
    'jarvisctl completion fish | source',
  );
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .passThroughOptions()
    .allowUnknownOption()
    .helpOption(false)
    .action(async (words: readonly string[]) => {
      await write(context.terminal.stdout, (await linesOf(program, context, words)).join(''));
    });
}

async function linesOf(
  program: Command,
  context: Context,
  words: readonly string[],
): Promise<readonly string[]> {
  const { command, candidates, source, kept, typed } = completionOf(program, words);
  const lines = linesFor(candidates, kept, typed);
  if (source === null) return lines;
  if (source === 'files' || source === 'directories') return [...lines, `:${source}\n`];
  try {
    // The peers and the context that the user has typed before the cursor are those to ask.
    parseConnection(command, words);
    return [...lines, ...linesFor(await valuesOf(context, { command }, source), kept, typed)];
  } catch {
    // The user is in the middle of a line, where an error message would only be in the way.
    return lines;
  }
}

function linesFor(candidates: readonly Candidate[], kept: string, typed: string): readonly string[] {
  return candidates
    .filter(({ value }) => value.startsWith(typed) && HARMLESS.test(value))
    .map(({ value, description }) => `${kept}${value}\t${onOneLine(description)}\n`);
}

/** Of the words before the cursor only what says which cluster is meant; the rest need not be right yet. */
function parseConnection(command: Command, words: readonly string[]): void {
  command.exitOverride().configureOutput({ writeErr: () => undefined, outputError: () => undefined });
  for (const [at, word] of words.slice(0, -1).entries()) {
    const flag = word.split('=', 1)[0];
    const option = command.options.find(({ long }) => long === flag);
    if (option?.helpGroupHeading !== CONNECTION) continue;
    const value = word === flag ? words.slice(at + 1, -1).slice(0, 1) : [];
    command.parseOptions([word, ...value]);
  }
}
