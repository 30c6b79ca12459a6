/** A command that names, where a word of the command line is not known, the word and those that are. */
import { Command } from 'commander';
import type { ErrorOptions } from 'commander';

export class CommandLine extends Command {
  /** commander makes subcommands by this, so that they are of this class too. */
  override createCommand(name?: string): CommandLine {
    return new CommandLine(name);
  }

  override error(message: string, options?: ErrorOptions): never {
    return super.error(message + this.#allowed(options?.code), options);
  }

  #allowed(code: string | undefined): string {
    switch (code) {
      case 'commander.unknownOption': {
        const known = this.options.filter(({ hidden }) => !hidden).map(({ long }) => long);
        return `; allowed: ${known.join(', ')}`;
      }
      case 'commander.unknownCommand':
        return `; allowed: ${this.createHelp()
          .visibleCommands(this)
          .map((command) => command.name())
          .join(', ')}`;
      case 'commander.excessArguments': {
        const excess = this.args.slice(this.registeredArguments.length);
        return ` Not expected: ${excess.map((word) => JSON.stringify(word)).join(' ')}`;
      }
      default:
        return '';
    }
  }
}
