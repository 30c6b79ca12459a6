/** Values of which only some are allowed: where another is given, what it was probably meant to be. */
import { InvalidArgumentError } from 'commander';
import type { Argument, Command, Option } from 'commander';

import { closest } from '../spec/suggest.ts';

/** For a parser to throw. */
export function notAllowed(value: string, allowed: readonly string[]): InvalidArgumentError {
  const meant = closest(value, allowed);
  const hint = meant === null ? '' : ` Did you mean ${meant}?`;
  return new InvalidArgumentError(`Allowed: ${allowed.join(', ')}.${hint}`);
}

/** Of a command and those below it, every option and argument that has a list of choices. */
export function suggestChoices(command: Command): void {
  for (const child of command.commands) suggestChoices(child);
  for (const option of command.options) suggestChoice(option);
  for (const argument of command.registeredArguments) suggestChoice(argument);
}

function suggestChoice(value: Option | Argument): void {
  const { argChoices } = value;
  if (argChoices === undefined || value.variadic) return;
  value.argParser((text: string) => {
    if (argChoices.includes(text)) return text;
    throw notAllowed(text, argChoices);
  });
}
