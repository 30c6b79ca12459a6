/** `jarvisctl run -- command`: submits one task and stays with it; interrupting leaves the task alone. */
import { randomUUID } from 'node:crypto';
import { Option } from 'commander';
import type { Command } from 'commander';

import type { Task } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { NETWORK_MODES, PRIORITIES, PULL_POLICIES } from '../../model/task.ts';
import { parseTaskSpec } from '../../spec/task-schema.ts';
import { wireFromPlain } from '../../spec/wire.ts';
import type { Context } from '../context.ts';
import { peerArguments, withPeers } from '../context.ts';
import { Deadline } from '../deadline.ts';
import { EXIT_BROKEN_PIPE, exitStatusOfTask, needsExplanation } from '../exit-status.ts';
import { followTask } from '../follow.ts';
import {
  addExamples,
  collectMounts,
  collectPairs,
  parseCount,
  parseDuration,
  peerOption,
} from '../options.ts';
import type { MountOption } from '../options.ts';
import { describeEnd } from '../output/tasks.ts';
import type { Peers } from '../peers.ts';
import { RunProgress } from '../run-progress.ts';
import { collectSecrets, secretEnvironment } from '../secret-environment.ts';
import { notify, programName, writeLine } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import { writeChunk } from './logs.ts';

interface RunOptions {
  readonly name?: string;
  readonly cpu?: string;
  readonly memory?: string;
  readonly image?: string;
  readonly mount?: readonly MountOption[];
  readonly limitCpu?: string;
  readonly limitMemory?: string;
  readonly limitPids?: number;
  readonly user?: string;
  readonly network?: string;
  readonly pull?: string;
  readonly priority?: string;
  readonly env?: ReadonlyMap<string, string>;
  readonly secretEnv?: readonly string[];
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
    .usage('[options] [--image image] -- [command [args…]]')
    .description(
      'Run a command on the cluster, show its output, and exit with its exit code. Ctrl-C lets it go on.',
    )
    .argument('[command...]', "the program and its arguments; with an image they replace the image's")
    .passThroughOptions()
    .option('--name <name>', 'default: the name of the image, or of the program')
    .option('--cpu <quantity>', 'what is set aside for it, such as 500m or 2; default: 100m')
    .option('--memory <quantity>', 'what is set aside for it, such as 64Mi or 1Gi; default: 64Mi')
    .addOption(new Option('--priority <priority>', 'default: normal').choices(PRIORITIES))
    .option('--env <key=value>', 'a variable of its environment (repeat)', collectPairs)
    .option(
      '--secret-env <name[=@file]>',
      'a sensitive one, shown to nobody; its value is that of the variable name here, or stands in the file (repeat)',
      collectSecrets,
    )
    .option('-l, --label <key=value>', 'a label (repeat)', collectPairs)
    .option('--working-dir <path>', "where it starts; default: an empty directory, or the image's own")
    .option('--timeout <duration>', "the task's own limit, such as 5m, per attempt")
    .option('--stop-grace <duration>', 'from TERM to KILL when it is stopped; default: 10s')
    .option('--max-attempts <n>', 'try so often; default: 1', parseCount)
    .option('--wait-timeout <duration>', 'stop waiting after so long, with exit status 124', parseDuration)
    .option('-d, --detach', 'print the id and do not wait')
    .optionsGroup('Containers:')
    .option('--image <image>', 'run it in a container of this image, such as python:3.9')
    .option('--limit-cpu <quantity>', 'what it can never exceed, such as 2; default: no limit')
    .option('--limit-memory <quantity>', 'what it can never exceed, such as 1Gi; default: no limit')
    .option('--limit-pids <n>', 'so many processes at once; default: no limit', parseCount)
    .option(
      '--mount <source:target[:ro]>',
      'a path of the node that it sees as target (repeat)',
      collectMounts,
    )
    .option(
      '--user <user[:group]>',
      "a name or id, of the image or the node; default: the image's own, or the node's",
    )
    .addOption(new Option('--network <network>', 'default: bridge').choices(NETWORK_MODES))
    .addOption(
      new Option('--pull <policy>', 'when to pull it; default: if_not_present').choices(PULL_POLICIES),
    )
    .addOption(peerOption())
    .action(async (words: readonly string[], options: RunOptions) => {
      await withPeers(context, command, (peers) => run(context, command, peers, words, options));
    });
  addExamples(
    command,
    "jarvisctl run -- sh -c 'echo hello; hostname'",
    'jarvisctl run --cpu 2 --memory 1Gi --env LEVEL=9 --timeout 5m -- ./convert.sh input.mkv',
    'jarvisctl run --secret-env API_KEY --secret-env DB_PASSWORD=@db.password -- ./report.sh',
    "jarvisctl run --image python:3.9 --limit-memory 256Mi -- python -c 'print(6 * 7)'",
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
  const plain = plainTask(words, options, terminal.env);
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

async function follow(terminal: Terminal, peers: Peers, task: Task, signal: AbortSignal): Promise<Task> {
  const progress = new RunProgress(terminal);
  try {
    return await followTask(peers, task.id, {
      signal,
      attempt: 0,
      firstAttempt: 1,
      stream: '',
      tail: undefined,
      since: undefined,
      onChunk: async (chunk) => {
        await progress.clear();
        await writeChunk(terminal, chunk);
      },
      onTask: (state) => progress.update(state),
      onNotice: (message) => progress.say(message),
    });
  } finally {
    await progress.clear();
  }
}

/** The task as a file would have it; what was not given is absent. */
function plainTask(
  words: readonly string[],
  options: RunOptions,
  env: Terminal['env'],
): Readonly<Record<string, unknown>> {
  return {
    command: words.length === 0 ? undefined : words,
    name: options.name,
    image: options.image,
    user: options.user,
    mounts: options.mount,
    network: options.network,
    pull_policy: options.pull,
    limits: limitsOf(options),
    env: environmentOf(options, env),
    working_dir: options.workingDir,
    resources: { cpu: options.cpu, memory: options.memory },
    priority: options.priority,
    timeout: options.timeout,
    stop_grace: options.stopGrace,
    retry_policy: { max_attempts: options.maxAttempts ?? 1 },
    labels: options.label && Object.fromEntries(options.label),
  };
}

/** Absent where none is given. @throws JarvisError invalid */
function environmentOf(
  { env: shown, secretEnv: secrets }: RunOptions,
  env: Terminal['env'],
): Readonly<Record<string, unknown>> | undefined {
  if (secrets === undefined) return shown && Object.fromEntries(shown);
  const pairs = shown ?? new Map<string, string>();
  return { ...Object.fromEntries(pairs), ...secretEnvironment(secrets, pairs, env) };
}

/** Absent where none is given: a task without an image may have none. */
function limitsOf(options: RunOptions): Readonly<Record<string, unknown>> | undefined {
  const { limitCpu: cpu, limitMemory: memory, limitPids: pids } = options;
  return cpu === undefined && memory === undefined && pids === undefined ? undefined : { cpu, memory, pids };
}

const FLAG_OF_PATH: Readonly<Record<string, string>> = {
  command: 'command',
  name: '--name',
  env: '--env',
  working_dir: '--working-dir',
  'resources.cpu': '--cpu',
  'resources.memory': '--memory',
  image: '--image',
  user: '--user',
  mounts: '--mount',
  network: '--network',
  pull_policy: '--pull',
  'limits.cpu': '--limit-cpu',
  'limits.memory': '--limit-memory',
  'limits.pids': '--limit-pids',
  limits: '--limit-cpu, --limit-memory, --limit-pids',
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
