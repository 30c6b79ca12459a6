/** `jarvisctl dev`: a cluster on this machine in one command, until Ctrl-C. */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';

import type { Context } from '../context.ts';
import { DEFAULT_NODES, DevCluster, MAX_NODES } from '../dev/cluster.ts';
import { daemonProgram } from '../dev/daemon.ts';
import { devDirectory, lockDirectory } from '../dev/layout.ts';
import type { DevNode } from '../dev/layout.ts';
import { addExamples } from '../options.ts';
import { DEFAULT_PEER } from '../peers.ts';
import { programName, write, writeLine } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

export interface DevOptions {
  readonly nodes?: number;
  readonly fresh?: boolean;
}

export function registerDev(program: Command, context: Context): void {
  const command = program
    .command('dev')
    .description(
      'Run a local cluster until Ctrl-C, which ends its tasks too. Its data stays for the next time.',
    )
    .option('--nodes <n>', `how many nodes; default: as before, or ${DEFAULT_NODES}`, parseNodes)
    .option('--fresh', 'delete the data of the last time first')
    .action((options: DevOptions) => dev(context.terminal, options, daemonProgram()));
  addExamples(command, 'jarvisctl dev', 'jarvisctl dev --nodes 5 --fresh');
}

/** @param daemon the program that is started for each node */
export async function dev(terminal: Terminal, options: DevOptions, daemon: string): Promise<void> {
  const { interrupted } = terminal;
  const directory = devDirectory(terminal.env);
  const lock = lockDirectory(directory);
  try {
    const cluster = await DevCluster.start({
      directory,
      program: daemon,
      nodes: options.nodes,
      fresh: options.fresh === true,
      say: (message) => writeLine(terminal.stderr, `jarvisctl: ${message}`),
    });
    try {
      await writeLine(terminal.stderr, `starting ${countOf(cluster.nodes)} …`);
      await cluster.ready(interrupted);
      cluster.watch();
      await write(terminal.stdout, welcome(terminal, cluster.nodes, directory));
      await untilInterrupted(interrupted);
    } catch (error) {
      // Ctrl-C while they start ends them like any other time.
      if (!interrupted.aborted) throw error;
    } finally {
      if (interrupted.aborted) await writeLine(terminal.stderr, 'ending the nodes and their tasks …');
      await cluster.stop();
    }
  } finally {
    lock.release();
  }
}

function welcome(terminal: Terminal, nodes: readonly DevNode[], directory: string): string {
  const program = programName(terminal.env);
  const [first] = nodes;
  const isDefault = first === undefined || first.listen === DEFAULT_PEER;
  const peer = isDefault ? '' : ` --peer ${first.listen}`;
  const lines = nodes.map((node) => `  ${node.name}   ${node.listen}   http://${node.http}`);
  return [
    `${countOf(nodes)} ready; data and logs in ${directory}`,
    ...lines,
    '',
    'In another terminal:',
    `  ${program} run${peer} -- sh -c 'echo hello; hostname'`,
    `  ${program} ls${peer}`,
    `  ${program} cluster status${peer}`,
    '',
    'Ctrl-C ends the nodes and their tasks.',
    '',
  ].join('\n');
}

function countOf(nodes: readonly DevNode[]): string {
  return nodes.length === 1 ? '1 node' : `${nodes.length} nodes`;
}

function untilInterrupted(interrupted: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (interrupted.aborted) resolve();
    else interrupted.addEventListener('abort', () => resolve(), { once: true });
    // Signals alone do not keep a process alive; the daemons' handles do, unless all of them have ended.
    const alive = setInterval(() => undefined, 2 ** 30);
    interrupted.addEventListener('abort', () => clearInterval(alive), { once: true });
    if (interrupted.aborted) clearInterval(alive);
  });
}

function parseNodes(text: string): number {
  const nodes = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (nodes < 1 || nodes > MAX_NODES)
    throw new InvalidArgumentError(`Allowed: a whole number from 1 to ${MAX_NODES}.`);
  return nodes;
}
