// Writes docs/cli.md from the commands themselves; with --check it only says whether what is checked in is current.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { createProgram } from '../src/cli/program.ts';

const target = path.join(import.meta.dirname, '..', 'docs', 'cli.md');
/** What fits a page, and most terminals. */
const COLUMNS = 100;

const INTRODUCTION = `# jarvisctl

The client: every command with its options and examples, as \`--help\` prints them. This page is made from the program
(\`npm run docs\`); do not edit it.

- **Which cluster.** \`--peer host:port[,host:port…]\`, else \`JARVIS_PEERS\`, else a context of the config file
  (\`--context\`, else \`JARVIS_CONTEXT\`, else the one of \`jarvisctl context use\`), else 127.0.0.1:7101. Any node will do. The
  token and the TLS files come from their flags, else the environment, else that context; where peers are named
  without a context, the current context's are not used: they are not meant for others.
- **The config file** is \`$XDG_CONFIG_HOME/jarvis/config.yaml\`, by default \`~/.config/jarvis/config.yaml\`. It holds
  tokens: one that others may read (any mode beyond 0600) is refused.
- **Output.** \`-o table|wide|json|yaml|name\`: \`json\` is what the HTTP API returns, \`name\` is for \`$(…)\`. Tables go to
  stdout, everything else to stderr. On a terminal tables are cut to its width; in a pipe, and with \`wide\`, they are
  whole. Progress, and colours, are for terminals only; \`NO_COLOR\` is heeded.
- **Ids** may be shortened to any unambiguous beginning.
- **Reads are linearizable**, as they stand the moment they are asked for. \`--stale\` has the node that is asked answer
  alone, from what it knows, also while there is no leader; how old that is stands on stderr.
- **Leaders change, connections break**: \`run\`, \`wait\`, \`logs -f\`, \`events -f\` and \`--watch\` go on where they were.
- **Exit status**: 0 done; the task's own for \`run\` and \`wait TASK\`, 128 + n where signal n ended it; 1 failed; 2 a wrong command line or an
  invalid spec; 3 the cluster cannot be reached or has no leader; 124 a limit on waiting ran out; 130 interrupted.
`;

function configured(command) {
  command.configureOutput({ getOutHelpWidth: () => COLUMNS, getOutHasColors: () => false });
  command.commands.forEach(configured);
  return command;
}

function helpOf(command) {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text.trimEnd();
}

function sectionsOf(command, names) {
  const full = [...names, command.name()];
  const own = `${'#'.repeat(Math.min(full.length, 3))} ${full.join(' ')}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\`\n`;
  const children = command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');
  return [full.length === 1 ? `## The program\n\n\`\`\`text\n${helpOf(command)}\n\`\`\`\n` : own].concat(
    children.flatMap((child) => sectionsOf(child, full)),
  );
}

const terminal = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env: {} };
const program = configured(createProgram({ terminal, dial: () => undefined, exitStatus: 0 }));
const page = [INTRODUCTION, ...sectionsOf(program, [])].join('\n');
if (!process.argv.includes('--check')) {
  writeFileSync(target, page);
} else if (page !== readFileSync(target, 'utf8')) {
  console.error('docs/cli.md is not current: run npm run docs');
  process.exitCode = 1;
}
