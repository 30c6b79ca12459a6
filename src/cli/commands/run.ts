/** `jarvisctl run -- command`: submits one task and stays with it; interrupting leaves the task alone. */
import { randomUUID } from 'node:crypto';
import { Option } from 'commander';
import type { Command } from 'commander';

import type { Task } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { PRIORITIES } from '../../model/task.ts';
import { parseTaskSpec } from '../../spec/task-schema.ts';
import { wireFromPlain } from '../../spec/wire.ts';
import type { Context } from '../context.ts';
import { peerArguments, withPeers } from '../context.ts';
import { Deadline } from '../deadline.ts';
import { EXIT_BROKEN_PIPE, exitStatusOfTask, needsExplanation } from '../exit-status.ts';
import { followTask } from '../follow.ts';
import { addExamples, collectPairs, parseCount, parseDuration, peerOption } from '../options.ts';
import { describeEnd } from '../output/tasks.ts';
import type { Peers } from '../peers.ts';
import { notify, programName, writeLine } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import { writeChunk } from './logs.ts';

interface RunOptions {
  readonly name?: string;
  readonly cpu?: string;
  readonly memory?: string;
  readonly priority?: string;
  readonly env?: ReadonlyMap<string, string>;
  readonly label?: ReadonlyMap<string, string>;
  readonly workingDir?: string;
  readonly timeout?: string;
  readonly stopGrace?: string;
  readonly waitTimeout?: number;
  readonly maxAttempts?: number;
  readonly detach?: boolean;
}

export function registerRun(program: Command, context: Context): void {
  const command = program
    .command('run')
    .usage('[options] -- command [args…]')
    .description(
      'Run a command on the cluster, show its output, and exit with its exit code. Ctrl-C lets it go on.',
    )
    .argument('<command...>', 'the program and its arguments')
    .passThroughOptions()
    .option('--name <name>', 'default: the name of the program')
    .option('--cpu <quantity>', 'what is set aside for it, such as 500m or 2; default: 100m')
    .option('--memory <quantity>', 'what is set aside for it, such as 64Mi or 1Gi; default: 64Mi')
    .addOption(new Option('--priority <priority>', 'default: normal').choices(PRIORITIES))
    .option('--env <key=value>', 'a variable of its environment (repeat)', collectPairs)
    .option('-l, --label <key=value>', 'a label (repeat)', collectPairs)
    .option('--working-dir <path>', 'where it starts, on the node; default: an empty directory')
    .option('--timeout <duration>', "the task's own limit, such as 5m, per attempt")
    .option('--stop-grace <duration>', 'from TERM to KILL when it is stopped; default: 10s')
    .option('--max-attempts <n>', 'try so often; default: 1', parseCount)
    .option('--wait-timeout <duration>', 'stop waiting after so long, with exit status 124', parseDuration)
    .option('-d, --detach', 'print the id and do not wait')
    .addOption(peerOption())
    .action(async (words: readonly string[], options: RunOptions) => {
      await withPeers(context, command, (peers) => run(context, command, peers, words, options));
    });
  addExamples(
    command,
    "jarvisctl run -- sh -c 'echo hello; hostname'",
    'jarvisctl run --cpu 2 --memory 1Gi --env LEVEL=9 --timeout 5m -- ./convert.sh input.mkv',
  );
}

async function run(
  context: Context,
  command: Command,
  peers: Peers,
  words: readonly string[],
  options: RunOptions,
): Promise<void> {
  const { terminal } = context;
  const plain = plainTask(words, options);
  checkTask(plain);
  const request = { tasks: [wireFromPlain(plain)], idempotency_key: randomUUID() };
  using deadline = new Deadline(terminal.interrupted, options.waitTimeout);
  let id: string | null = null;
  try {
    await deadline.guard(
      async (signal) => {
        const answer = await peers.call((peer, inner) => peer.submitTasks(request, inner), signal);
        const [task] = answer.tasks;
        if (task === undefined)
          throw new JarvisError('internal', 'the node accepted the task and named none');
        id = task.id;
        if (options.detach === true) return writeLine(terminal.stdout, task.id);
        terminal.brokenPipeStatus = EXIT_BROKEN_PIPE;
        await peers.learn(signal);
        const end = await follow(terminal, peers, task, signal);
        if (needsExplanation(end)) await notify(terminal, describeEnd(end));
        context.exitStatus = exitStatusOfTask(end);
      },
      () => afterwards(context, command, id, 'the time to wait is up'),
    );
  } catch (error) {
    if (terminal.interrupted.aborted && !deadline.expired)
      await notify(terminal, afterwards(context, command, id, 'interrupted'));
    throw error;
  }
}

function follow(terminal: Terminal, peers: Peers, task: Task, signal: AbortSignal): Promise<Task> {
  const progress = new Progress(terminal);
  return followTask(peers, task.id, {
    signal,
    attempt: 0,
    firstAttempt: 1,
    stream: '',
    tail: undefined,
    since: undefined,
    onChunk: (chunk) => writeChunk(terminal, chunk),
    onTask: (state) => progress.update(state),
    onNotice: (message) => notify(terminal, message),
  });
}

/** What is worth a line on stderr before the end: why a task does not start, and that it is tried again. */
class Progress {
  readonly #terminal: Terminal;
  #said = '';

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  async update(task: Task): Promise<void> {
    const text = this.#text(task);
    if (text === '' || text === this.#said) return;
    this.#said = text;
    await notify(this.#terminal, text);
  }

  #text(task: Task): string {
    switch (task.status) {
      case 'PENDING':
        return (task.status_reason ?? '') === '' ? '' : `${task.id} is waiting: ${task.status_reason}`;
      case 'FAILED': {
        const reason = [task.error?.type, task.error?.message]
          .filter((part) => (part ?? '') !== '')
          .join(': ');
        const tries = `attempt ${task.attempt} of ${task.retry_policy?.max_attempts ?? task.attempt}`;
        return `${tries} failed${reason === '' ? '' : ` (${reason})`}, it will be tried again`;
      }
      default:
        return '';
    }
  }
}

/** The task as a file would have it; what was not given is absent. */
function plainTask(words: readonly string[], options: RunOptions): Readonly<Record<string, unknown>> {
  return {
    command: words,
    name: options.name,
    env: options.env && Object.fromEntries(options.env),
    working_dir: options.workingDir,
    resources: { cpu: options.cpu, memory: options.memory },
    priority: options.priority,
    timeout: options.timeout,
    stop_grace: options.stopGrace,
    retry_policy: { max_attempts: options.maxAttempts ?? 1 },
    labels: options.label && Object.fromEntries(options.label),
  };
}

const FLAG_OF_PATH: Readonly<Record<string, string>> = {
  command: 'command',
  name: '--name',
  env: '--env',
  working_dir: '--working-dir',
  'resources.cpu': '--cpu',
  'resources.memory': '--memory',
  priority: '--priority',
  timeout: '--timeout',
  stop_grace: '--stop-grace',
  'retry_policy.max_attempts': '--max-attempts',
  labels: '--label',
};

/** Finds faults before anything is sent, and names them by the flags that they came from. @throws JarvisError invalid */
function checkTask(plain: Readonly<Record<string, unknown>>): void {
  try {
    parseTaskSpec(plain);
  } catch (error) {
    if (!(error instanceof JarvisError) || error.faults.length === 0) throw error;
    const faults = error.faults.map(({ path, message }) => {
      const field = Object.keys(FLAG_OF_PATH).find((known) => new RegExp(`^${known}($|[.[])`).test(path));
      const flag = field === undefined ? path : (FLAG_OF_PATH[field] ?? path);
      const rest = field === undefined ? '' : path.slice(field.length).replace(/^\./, '');
      return { path: rest === '' ? flag : `${flag} ${rest}`, message };
    });
    const [first] = faults;
    throw new JarvisError('invalid', `${first?.path}: ${first?.message}`, { cause: error, faults });
  }
}

/** What has become of the task, and how to get back to it. */
function afterwards(context: Context, command: Command, id: string | null, why: string): string {
  const program = programName(context.terminal.env);
  const peer = peerArguments(context, command);
  if (id === null)
    return `${why} before the cluster confirmed the task; whether it runs shows \`${program} ls${peer}\``;
  return (
    `${why}, ${id} goes on; back to it: \`${program} logs -f ${id}${peer}\`, ` +
    `end it: \`${program} cancel ${id}${peer}\``
  );
}
