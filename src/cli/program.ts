/** The commands of jarvisctl put together, and what becomes of their failures: lines on stderr and an exit status. */
import { CommanderError } from 'commander';
import type { Command } from 'commander';

import { JarvisError } from '../lib/errors.ts';
import { closest } from '../spec/suggest.ts';
import { suggestChoices } from './choices.ts';
import { CommandLine } from './command-line.ts';
import { registerAlerts } from './commands/alerts.ts';
import { registerAutoscaler } from './commands/autoscaler.ts';
import { registerCancel } from './commands/cancel.ts';
import { registerCert } from './commands/cert.ts';
import { registerCluster } from './commands/cluster.ts';
import { registerCompletion } from './commands/completion.ts';
import { registerConfig } from './commands/config.ts';
import { registerContext } from './commands/contexts.ts';
import { registerDescribe } from './commands/describe.ts';
import { registerDev } from './commands/dev.ts';
import { registerEvents } from './commands/events.ts';
import { registerExplain } from './commands/explain.ts';
import { registerGet } from './commands/get.ts';
import { registerBatch, registerDag } from './commands/groups.ts';
import { registerLogs } from './commands/logs.ts';
import { registerLs } from './commands/ls.ts';
import { registerNode } from './commands/node.ts';
import { registerRetry } from './commands/retry.ts';
import { registerPlan } from './commands/plan.ts';
import { registerRun } from './commands/run.ts';
import { registerSnapshot } from './commands/snapshot.ts';
import { registerSubmit } from './commands/submit.ts';
import { registerToken } from './commands/token.ts';
import { registerTop } from './commands/top.ts';
import { registerUpdate } from './commands/update.ts';
import { clientVersion, registerVersion } from './commands/version.ts';
import { registerWait } from './commands/wait.ts';
import type { Context } from './context.ts';
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE, exitStatusOfError, exitStatusOfInterrupt } from './exit-status.ts';
import { addExamples, peerOption } from './options.ts';
import { addConnectionOptions } from './settings/connection-settings.ts';
import type { Terminal } from './terminal.ts';
import { fitted, notify, onOneLine, printable } from './terminal.ts';

/** Runs one command line (`argv` as in `process.argv`). @returns the exit status; never throws */
export async function runProgram(
  argv: readonly string[],
  setup: Pick<Context, 'terminal' | 'dial'>,
): Promise<number> {
  const context: Context = { ...setup, exitStatus: EXIT_OK };
  try {
    await createProgram(context).parseAsync(argv);
    return context.exitStatus;
  } catch (error) {
    return report(context.terminal, error);
  }
}

/** All commands; nothing is parsed yet. */
export function createProgram(context: Context): Command {
  const { stdout, stderr } = context.terminal;
  const program = new CommandLine('jarvisctl')
    .description('Runs tasks on a Jarvis cluster, and shows what becomes of them.')
    .version(clientVersion(), '--version', 'print the version of this program')
    .addOption(peerOption())
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      outputError: (text, write) =>
        write(
          `${fitted(stderr, `jarvisctl: ${onOneLine(text.replace(/^error: /, '').replaceAll('\n(', ' ('))}`)}\n`,
        ),
    });
  for (const register of [
    group('Start here:'),
    registerDev,
    registerRun,
    group('Tasks:'),
    registerSubmit,
    registerPlan,
    registerLs,
    registerGet,
    registerDescribe,
    registerExplain,
    registerWait,
    registerLogs,
    registerCancel,
    registerRetry,
    registerUpdate,
    registerEvents,
    group('Batches and DAGs:'),
    registerBatch,
    registerDag,
    group('The cluster:'),
    registerNode,
    registerTop,
    registerCluster,
    registerAutoscaler,
    registerSnapshot,
    registerConfig,
    registerAlerts,
    group('This program:'),
    registerContext,
    registerToken,
    registerCert,
    registerVersion,
    registerCompletion,
  ]) {
    register(program, context);
  }
  registerHelp(program);
  addConnectionOptions(program);
  suggestChoices(program);
  addExamples(
    program,
    'jarvisctl dev',
    "jarvisctl run -- sh -c 'echo hello; hostname'",
    'jarvisctl run --help',
  );
  return program;
}

/** `help dag graph` is `dag graph --help`; commander's own takes one word. */
function registerHelp(program: Command): void {
  program.helpCommand(false);
  program
    .command('help')
    .description('Show the help of a command.')
    .argument('[command...]', 'the words that lead to it; absent: of the program')
    .action((words: readonly string[]) => {
      let command = program;
      for (const word of words) {
        const child = command.commands.find((one) => one.name() === word);
        if (child === undefined) throw unknownCommand(command, word);
        command = child;
      }
      command.help();
    });
}

function unknownCommand(parent: Command, word: string): JarvisError {
  const known = parent.createHelp().visibleCommands(parent);
  const names = known.map((command) => command.name());
  const said = JSON.stringify(word);
  if (names.length === 0) return new JarvisError('invalid', `${parent.name()} has no command ${said}`);
  const meant = closest(word, names);
  const hint = meant === null ? '' : ` (did you mean ${meant}?)`;
  return new JarvisError('invalid', `unknown command ${said}${hint}; allowed: ${names.join(', ')}`);
}

/** The title in `--help` of the commands that follow. */
function group(title: string): (program: Command) => void {
  return (program) => void program.commandsGroup(title);
}

async function report(terminal: Terminal, error: unknown): Promise<number> {
  if (error instanceof CommanderError) {
    // Help that was asked for is an answer; help for want of a command, like any other misuse, is not.
    return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
  }
  if (error instanceof JarvisError && !terminal.interrupted.aborted) {
    const lines = error.faults.length > 1 ? error.faults.map(faultLine) : [error.message];
    for (const line of lines) await notify(terminal, line);
    return exitStatusOfError(error);
  }
  if (terminal.interrupted.aborted) return exitStatusOfInterrupt(terminal.interrupted);
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  terminal.stderr.write(`jarvisctl: unexpected failure, please report it: ${trace}\n`);
  return EXIT_FAILED;
}

function faultLine(fault: { readonly path: string; readonly message: string }): string {
  return printable(fault.path === '' ? fault.message : `${fault.path}: ${fault.message}`);
}
