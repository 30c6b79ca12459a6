/** `jarvisctl node drain`, and `node remove --drain`, which begins with it. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { Command } from 'commander';

import type { Node, RemoveNodeResponse } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { formatDurationMs } from '../../lib/quantities.ts';
import { nodeToJson } from '../../spec/json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { Deadline } from '../deadline.ts';
import { waitDrained } from '../drain.ts';
import { clientLimits } from '../limits.ts';
import { addExamples, outputOption, parseDuration, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { nodeAnswer } from '../output/nodes.ts';
import type { Peers } from '../peers.ts';
import { notify } from '../terminal.ts';

export interface DrainOptions {
  readonly deadline?: number;
  readonly grace?: number;
  readonly timeout?: number;
}

export function withDrainOptions(command: Command): Command {
  return command
    .option(
      '--deadline <duration>',
      'what still runs after so long is stopped, and moved (default: 1h; 0: at once)',
      parseDuration,
    )
    .option(
      '--grace <duration>',
      'from TERM to KILL then (default: the stop_grace of each task)',
      parseDuration,
    )
    .option('--timeout <duration>', 'give up waiting after so long, with exit status 124', parseDuration);
}

export function registerDrain(node: Command, context: Context): void {
  const command = withDrainOptions(
    node
      .command('drain')
      .description(
        'Take the work off a node: no new work; what runs ends by itself, or is stopped at the deadline and moved. Given ' +
          'again it moves the deadline. "node undrain" ends it.',
      )
      .argument('<node>')
      .option('--wait', 'wait until nothing is left on it (default)')
      .option('--no-wait', 'only begin it'),
  )
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (name: string, options: DrainOptions & OutputOptions & { readonly wait?: boolean }) => {
      const { timeout, wait = true } = options;
      if (!wait && timeout !== undefined)
        throw new JarvisError('invalid', '--timeout and --no-wait exclude each other: nothing is waited for');
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        using deadline = new Deadline(terminal.interrupted, timeout);
        const node = await deadline.guard(
          async (signal) => {
            const begun = await begin(context, peers, name, options, signal);
            return wait ? await end(context, peers, name, signal) : begun;
          },
          () => `node ${name} is not drained yet; the drain goes on`,
        );
        const answer = nodeAnswer(terminal, [node], () => nodeToJson(node));
        await printAnswer(terminal, options.output, answer);
      });
    });
  addExamples(
    command,
    'jarvisctl node drain n3',
    'jarvisctl node drain n3 --deadline 10m --grace 30s --timeout 15m',
    'jarvisctl node drain n3 --deadline 0 --no-wait',
  );
}

async function begin(
  { terminal }: Context,
  peers: Peers,
  name: string,
  { deadline, grace }: DrainOptions,
  signal: AbortSignal,
): Promise<Node> {
  const request = {
    name,
    idempotency_key: randomUUID(),
    deadline: deadline === undefined ? undefined : formatDurationMs(deadline),
    grace: grace === undefined ? undefined : formatDurationMs(grace),
    start_id: '',
  };
  const { node, warnings } = await peers.call((peer, inner) => peer.drainNode(request, inner), signal);
  for (const warning of warnings) await notify(terminal, warning);
  if (node === undefined) throw new JarvisError('internal', 'no node came back');
  return node;
}

async function end({ terminal }: Context, peers: Peers, name: string, signal: AbortSignal): Promise<Node> {
  await peers.learn(signal);
  const node = await waitDrained(peers, name, { terminal, signal });
  if (node.drain?.finished_at === undefined)
    await notify(terminal, `node ${name} is ${node.status}, and nothing is on it`);
  return node;
}

/**
 * Drains the node, ends its membership, with which its daemon ends, and takes it off the list.
 * @throws JarvisError conflict where something stands against one of these; timeout
 */
export async function removeDrained(
  context: Context,
  peers: Peers,
  name: string,
  options: DrainOptions,
): Promise<RemoveNodeResponse> {
  const { terminal } = context;
  using deadline = new Deadline(terminal.interrupted, options.timeout);
  return await deadline.guard(
    async (signal) => {
      await expectQuorumWithout(peers, name, signal);
      await begin(context, peers, name, options, signal);
      await end(context, peers, name, signal);
      if (await isLetIn(peers, name, signal)) {
        await leave(peers, name, signal);
        await notify(terminal, `node ${name} has left the cluster, and its daemon ends`);
      }
      return await removeOnceStopped(peers, name, signal);
    },
    () => `node ${name} is not removed yet; ask "jarvisctl node get ${name}" how far it is`,
  );
}

/** Its membership could not be ended: rather than after a drain that may take an hour, that is said before it. */
async function expectQuorumWithout(peers: Peers, name: string, signal: AbortSignal): Promise<void> {
  const { members } = await peers.call((peer, inner) => peer.getCluster({ consistency: '' }, inner), signal);
  const voters = members.filter(({ role }) => role === 'voter');
  const rest = voters.filter((voter) => voter.name !== name);
  if (rest.length === voters.length) return;
  const living = rest.filter(({ active }) => active);
  if (living.length > rest.length / 2) return;
  const names = rest.map((voter) => `${voter.name}${voter.active ? '' : ' (does not answer)'}`).join(', ');
  throw new JarvisError(
    'conflict',
    rest.length === 0
      ? `node ${name} is not drained: it is the only voter, and cannot leave`
      : `node ${name} is not drained: too few of the voters would be left that answer: ${names}`,
  );
}

/** As a member, or without a copy: another node is a worker, too, once its membership has ended. */
async function isLetIn(peers: Peers, name: string, signal: AbortSignal): Promise<boolean> {
  const { members } = await peers.call((peer, inner) => peer.getCluster({ consistency: '' }, inner), signal);
  return members.some((member) => member.name === name);
}

async function leave(peers: Peers, name: string, signal: AbortSignal): Promise<void> {
  const change = { action: 'remove', name, address: '', other: '' };
  try {
    await peers.call((peer, inner) => peer.changeMember(change, inner), signal);
  } catch (error) {
    if (!(error instanceof JarvisError)) throw error;
    // An earlier try, whose answer was lost, has done it.
    if (error.code === 'not_found') return;
    const hint = `node ${name} stays DRAINED; "jarvisctl node undrain ${name}" lets it take work again`;
    throw new JarvisError(error.code, `${error.message}; ${hint}`, { cause: error });
  }
}

/** Its daemon needs a moment to end. */
async function removeOnceStopped(
  peers: Peers,
  name: string,
  signal: AbortSignal,
): Promise<RemoveNodeResponse> {
  const endMs = performance.now() + clientLimits.daemonEndMs;
  const request = { name, dead: false, idempotency_key: randomUUID() };
  for (;;) {
    try {
      return await peers.call((peer, inner) => peer.removeNode(request, inner), signal);
    } catch (error) {
      const isRefused = error instanceof JarvisError && error.code === 'conflict';
      if (!isRefused || performance.now() >= endMs) throw error;
    }
    await delay(clientLimits.drainPollMs, undefined, { signal });
  }
}
