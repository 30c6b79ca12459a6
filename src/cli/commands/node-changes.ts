/** `jarvisctl node cordon|drain|undrain|label`: whether nodes take work, and what is said of them. */
import { randomUUID } from 'node:crypto';

import type { Command } from 'commander';

import type { NodeChange } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { listToJson, nodeToJson } from '../../spec/json.ts';
import type { ClusterConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { nodeAnswer } from '../output/nodes.ts';
import { eachNamed } from '../task-arguments.ts';
import { notify } from '../terminal.ts';
import { registerDrain } from './node-drain.ts';

/** One request about one node, with a key of its own. */
interface Named {
  readonly name: string;
  readonly idempotency_key: string;
}

type Ask = (peer: ClusterConnection, named: Named, signal: AbortSignal) => Promise<NodeChange>;

const cordon: Ask = (peer, named, signal) => peer.cordonNode(named, signal);
const undrain: Ask = (peer, named, signal) => peer.undrainNode(named, signal);

export function registerNodeChanges(node: Command, context: Context): void {
  registerCordon(node, context);
  registerDrain(node, context);
  registerUndrain(node, context);
  registerLabel(node, context);
}

function registerCordon(node: Command, context: Context): void {
  const command = withCommon(
    node
      .command('cordon')
      .description('Give nodes no new work; what runs there goes on. "node undrain" ends it.')
      .argument('<node...>'),
  ).action(async (names: readonly string[], options: OutputOptions) => {
    await change(context, command, names, options, cordon);
  });
  addExamples(command, 'jarvisctl node cordon n3');
}

function registerUndrain(node: Command, context: Context): void {
  const command = withCommon(
    node
      .command('undrain')
      .description('Let nodes take work again that are cordoned, or drained.')
      .argument('<node...>'),
  ).action(async (names: readonly string[], options: OutputOptions) => {
    await change(context, command, names, options, undrain);
  });
  addExamples(command, 'jarvisctl node undrain n3');
}

function registerLabel(node: Command, context: Context): void {
  const command = withCommon(
    node
      .command('label')
      .description('Set labels of a node, or take them away. That counts over what its own settings say.')
      .argument('<node>')
      .argument('<label...>', 'key=value to set it, key- to take it away'),
  ).action(async (name: string, words: readonly string[], options: OutputOptions) => {
    const labels = labelsOf(words);
    const ask: Ask = (peer, named, signal) => peer.labelNode({ ...named, ...labels }, signal);
    await change(context, command, [name], options, ask);
  });
  addExamples(command, 'jarvisctl node label n3 zone=b ssd-');
}

function withCommon(command: Command): Command {
  return command.addOption(outputOption()).addOption(peerOption());
}

/** @throws JarvisError invalid */
function labelsOf(words: readonly string[]): { labels: Record<string, string>; remove_labels: string[] } {
  const labels = new Map<string, string>();
  const removed: string[] = [];
  for (const word of words) {
    const at = word.indexOf('=');
    if (at > 0) labels.set(word.slice(0, at), word.slice(at + 1));
    else if (at < 0 && word.length > 1 && word.endsWith('-')) removed.push(word.slice(0, -1));
    else
      throw new JarvisError(
        'invalid',
        `${JSON.stringify(word)} is no label; allowed: key=value to set it, key- to take it away`,
      );
  }
  return { labels: Object.fromEntries(labels), remove_labels: removed };
}

async function change(
  context: Context,
  command: Command,
  names: readonly string[],
  options: OutputOptions,
  ask: Ask,
): Promise<void> {
  await withPeers(context, command, async (peers) => {
    const { terminal } = context;
    const changes = await eachNamed(context, names, (name) => {
      const named = { name, idempotency_key: randomUUID() };
      return peers.call((peer, signal) => ask(peer, named, signal), terminal.interrupted);
    });
    const nodes = changes.flatMap(({ node }) => node ?? []);
    const [first] = nodes;
    if (first === undefined) return;
    const json = (): unknown => (nodes.length === 1 ? nodeToJson(first) : listToJson(nodes.map(nodeToJson)));
    await printAnswer(terminal, options.output, nodeAnswer(terminal, nodes, json));
    for (const warning of new Set(changes.flatMap(({ warnings }) => warnings)))
      await notify(terminal, warning);
  });
}
