/** `jarvisctl logs TASK`: the output of its attempts, as it was written. */
import { Option } from 'commander';
import type { Command } from 'commander';

import type { LogsRequest } from '../../generated/cluster.ts';
import type { LogChunk } from '../../generated/worker.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { followTask } from '../follow.ts';
import { LineStamps } from '../line-stamps.ts';
import { LogPosition } from '../log-position.ts';
import { addExamples, parseCount, parseSince, parseTail, peerOption } from '../options.ts';
import { backOff, isTransient } from '../peers.ts';
import type { Peers } from '../peers.ts';
import { clientLimits } from '../limits.ts';
import { notify, write } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

interface LogsOptions {
  readonly follow?: boolean;
  readonly tail?: number;
  readonly stream?: string;
  readonly since?: string;
  readonly attempt?: number;
  readonly timestamps?: boolean;
}

export function registerLogs(program: Command, context: Context): void {
  const command = program
    .command('logs')
    .description("Print a task's output: its stdout to stdout, its stderr to stderr.")
    .argument('<task>', 'its id, or an unambiguous beginning of it')
    .option('-f, --follow', 'go on until the task is over, through its retries')
    .option('--tail <n>', 'only the last n lines', parseTail)
    .addOption(new Option('--stream <stream>', 'only one of them').choices(['stdout', 'stderr']))
    .option('--since <time>', 'only what is newer than 5m, or than an RFC 3339 time', parseSince)
    .option('--timestamps', 'each line with the time at which it was written, in UTC')
    .option('--attempt <n>', 'of this attempt; default: the newest', parseCount)
    .addOption(peerOption())
    .action(async (id: string, options: LogsOptions) => {
      if (id === '') throw new JarvisError('invalid', 'a task id must not be empty');
      await withPeers(context, command, (peers) =>
        options.follow === true
          ? followLogs(context.terminal, peers, id, options)
          : readLogs(context.terminal, peers, id, options),
      );
    });
  addExamples(command, 'jarvisctl logs -f task-7k2m', 'jarvisctl logs task-7k2m --tail 100 --stream stderr');
}

async function followLogs(
  terminal: Terminal,
  peers: Peers,
  prefix: string,
  options: LogsOptions,
): Promise<void> {
  const signal = terminal.interrupted;
  const show = shownAs(options);
  const task = await peers.call((peer, inner) => peer.getTask({ id: prefix }, inner), signal);
  await peers.learn(signal);
  await followTask(peers, task.id, {
    signal,
    attempt: options.attempt ?? 0,
    firstAttempt: Math.max(1, task.attempt),
    stream: options.stream ?? '',
    tail: options.tail,
    since: options.since,
    onChunk: (chunk) => writeChunk(terminal, show(chunk)),
    onTask: () => Promise.resolve(),
    onNotice: (message) => notify(terminal, message),
  });
}

/** Reads what there is once; a break in the middle is mended like one that is followed. */
async function readLogs(
  terminal: Terminal,
  peers: Peers,
  prefix: string,
  options: LogsOptions,
): Promise<void> {
  const signal = terminal.interrupted;
  const task = await peers.call((peer, inner) => peer.getTask({ id: prefix }, inner), signal);
  if (options.attempt !== undefined && options.attempt > task.attempt)
    throw new JarvisError(
      'not_found',
      `${task.id} has no attempt ${options.attempt}, it has begun ${task.attempt}`,
    );
  if (task.attempt === 0) return notify(terminal, `${task.id} is ${task.status}: no attempt has begun yet`);
  const request: LogsRequest = {
    id: task.id,
    follow: false,
    tail: options.tail,
    stream: options.stream ?? '',
    since: options.since,
    attempt: options.attempt ?? task.attempt,
  };
  const show = shownAs(options);
  const position = new LogPosition(request);
  let deadline = performance.now() + clientLimits.patienceMs;
  for (let round = 0; ; round += 1) {
    try {
      const next = position.resume();
      for await (const chunk of peers.once((peer, inner) => peer.readLogs(next, inner), signal)) {
        const rest = position.accept(chunk);
        if (rest !== null) await writeChunk(terminal, show(rest));
        // A pager may have been looked at for longer than a node waits for its reader.
        deadline = performance.now() + clientLimits.patienceMs;
      }
      return;
    } catch (error) {
      if (!isTransient(error) || signal.aborted || performance.now() > deadline) throw error;
      await backOff(round, signal);
    }
  }
}

function shownAs({ timestamps = false }: LogsOptions): (chunk: LogChunk) => LogChunk {
  if (!timestamps) return (chunk) => chunk;
  const stamps = new LineStamps();
  return (chunk) => stamps.stamped(chunk);
}

/** To the stream that the task wrote it to, byte by byte. */
export function writeChunk(terminal: Terminal, chunk: LogChunk): Promise<void> {
  return write(chunk.stream === 'stderr' ? terminal.stderr : terminal.stdout, chunk.data);
}
