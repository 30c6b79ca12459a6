/** `jarvisctl node ls|get|remove`: the nodes, what they can hold and what they hold. Its other words: `node-changes.ts`. */
import { randomUUID } from 'node:crypto';

import type { Command } from 'commander';

import type { Node, RemoveNodeResponse } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { clientLimits } from '../limits.ts';
import { addExamples, outputOption, peerOption, staleOption, watchOption } from '../options.ts';
import type { OutputOptions, StaleOptions, WatchOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import type { Answer } from '../output/format.ts';
import { listToJson, nodeToJson, removalToJson } from '../../spec/json.ts';
import { nodeAnswer } from '../output/nodes.ts';
import { nodeResources } from '../output/resources.ts';
import type { Peers } from '../peers.ts';
import { mapBounded } from '../task-arguments.ts';
import { notify, printable } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import { usageOfNode } from '../usage-questions.ts';
import { showNamed, showOrWatch } from '../watch.ts';
import { registerLogLevel } from './log-level.ts';
import { registerNodeChanges } from './node-changes.ts';
import { removeDrained, withDrainOptions } from './node-drain.ts';
import type { DrainOptions } from './node-drain.ts';

const DRAIN_OPTIONS = ['deadline', 'grace', 'timeout'] as const;

interface RemoveOptions extends OutputOptions, DrainOptions {
  readonly dead?: true;
  readonly drain?: true;
}

export function registerNode(program: Command, context: Context): void {
  const node = program
    .command('node')
    .description('The nodes of the cluster: look at them, take their work away, remove them.');
  registerList(node, context);
  registerGet(node, context);
  registerNodeChanges(node, context);
  registerLogLevel(node, context);
  registerRemove(node, context);
}

function registerList(node: Command, context: Context): void {
  const command = node
    .command('ls')
    .description('List the nodes.')
    .addOption(outputOption())
    .addOption(watchOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions & WatchOptions) => {
      await withPeers(context, command, (peers) =>
        showOrWatch(context, peers, options, async (signal) => {
          const list = await peers.call((peer, inner) => peer.listNodes(inner), signal);
          const json = (): unknown => listToJson(list.items.map(nodeToJson), list.next_cursor);
          return nodeAnswer(context.terminal, list.items, json);
        }),
      );
    });
  addExamples(command, 'jarvisctl node ls -o wide', 'jarvisctl node ls --watch');
}

function registerGet(node: Command, context: Context): void {
  const command = node
    .command('get')
    .description('Show nodes.')
    .argument('<node...>')
    .addOption(outputOption())
    .addOption(watchOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (names: readonly string[], options: OutputOptions & WatchOptions & StaleOptions) => {
      await withPeers(context, command, (peers) =>
        showNamed<Node>(context, peers, options, {
          names,
          ask: (name, signal) => peers.call((peer, inner) => peer.getNode({ name }, inner), signal),
          nameOf: ({ name }) => name,
          answerOf: (nodes) => namedNodesAnswer(context.terminal, nodes),
          // One node alone is asked then, and not those that the answer is about.
          ...(options.stale === true
            ? {}
            : { below: (nodes) => resourcesOf(peers, nodes, context.terminal.interrupted) }),
        }),
      );
    });
  addExamples(command, 'jarvisctl node get n2 -o json');
}

/** What each uses, a block for each of which something is known. */
async function resourcesOf(
  peers: Peers,
  nodes: readonly Node[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const blocks = await mapBounded(nodes, clientLimits.concurrentWatches, async (node) => {
    const answer = await usageOfNode(peers, node, 1, signal);
    return 'why' in answer ? [answer.why] : nodeResources(answer.usage);
  });
  return blocks.flatMap((block) => (block.length === 0 ? [] : ['', ...block]));
}

/** Whoever asks for one by name wants to know all of it. */
function namedNodesAnswer(terminal: Terminal, nodes: readonly Node[]): Answer<Node> {
  const [only] = nodes;
  const json = (): unknown =>
    only !== undefined && nodes.length === 1 ? nodeToJson(only) : listToJson(nodes.map(nodeToJson));
  const answer = nodeAnswer(terminal, nodes, json);
  const columns = answer.columns.map((column) => ({ ...column, wide: false }));
  return { ...answer, columns, isAboutEach: true };
}

function registerRemove(node: Command, context: Context): void {
  const command = withDrainOptions(
    node
      .command('remove')
      .description(
        'Take a node that is gone off the list: it must be OFFLINE or DRAINED and stopped, and nothing open on it.',
      )
      .argument('<node>')
      .option('--dead', 'vouch that nothing of it runs any more: what is on it is placed elsewhere at once')
      .option('--drain', 'drain it first, then end its membership, and with that its daemon'),
  )
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (name: string, options: RemoveOptions) => {
      const isDrain = options.drain === true;
      if (isDrain && options.dead === true)
        throw new JarvisError(
          'invalid',
          '--dead and --drain exclude each other: what is dead cannot be drained',
        );
      if (!isDrain && DRAIN_OPTIONS.some((option) => options[option] !== undefined))
        throw new JarvisError('invalid', '--deadline, --grace and --timeout go with --drain only');
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const request = { name, dead: options.dead === true, idempotency_key: randomUUID() };
        const removal = isDrain
          ? await removeDrained(context, peers, name, options)
          : await peers.call((peer, signal) => peer.removeNode(request, signal), terminal.interrupted);
        await printAnswer(terminal, options.output, removalAnswer(removal));
        const { member } = removal;
        if (member !== undefined)
          await notify(
            terminal,
            `${name} is still ${member === 'worker' ? 'let in without a copy' : `a ${member} of the cluster`}; "jarvisctl cluster remove ${name}" ends that`,
          );
      });
    });
  addExamples(
    command,
    'jarvisctl node remove n3',
    'jarvisctl node remove n3 --drain --deadline 10m',
    'jarvisctl node remove n3 --dead',
  );
}

function removalAnswer(removal: RemoveNodeResponse): Answer<RemoveNodeResponse> {
  return {
    items: [removal],
    columns: [
      { title: 'REMOVED', cell: ({ name }) => printable(name) },
      { title: 'LOST ATTEMPTS', cell: ({ lost_attempts: lost }) => String(lost) },
      { title: 'STILL A MEMBER', cell: ({ member }) => member ?? 'no' },
    ],
    nameOf: ({ name }) => name,
    json: () => removalToJson(removal),
    whenEmpty: '',
  };
}
