/** `jarvisctl batch ls|get|wait|cancel|retry` and `jarvisctl dag ls|get|graph|wait|cancel|retry`. */
import { randomUUID } from 'node:crypto';

import { Option } from 'commander';
import type { Command } from 'commander';

import type { Batch, Dag } from '../../generated/cluster.ts';
import { batchToJson, dagToJson } from '../../spec/json.ts';
import type { ClusterConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { clientLimits } from '../limits.ts';
import {
  addExamples,
  outputOption,
  parseCount,
  parseDuration,
  peerOption,
  staleOption,
  watchOption,
} from '../options.ts';
import type { OutputOptions, WatchOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import type { GraphFormat } from '../output/graph.ts';
import { GRAPH_FORMATS, graphOf } from '../output/graph.ts';
import type { Group } from '../output/groups.ts';
import { groupAnswer } from '../output/groups.ts';
import type { Peers } from '../peers.ts';
import { eachTask } from '../task-arguments.ts';
import { fitted, writeLine } from '../terminal.ts';
import { showNamed, showOrWatch } from '../watch.ts';
import type { Kind } from './group-kind.ts';
import { waitForAll } from './group-wait.ts';

const BATCH: Kind<Batch> = {
  command: 'batch',
  plural: 'batches',
  named: 'ids, or unambiguous beginnings of them',
  example: 'batch-7k2m',
  toJson: batchToJson,
  list: (peer, request, signal) => peer.listBatches(request, signal),
  get: (peer, request, signal) => peer.getBatch(request, signal),
  cancel: (peer, request, signal) => peer.cancelBatch(request, signal),
  retry: (peer, request, signal) => peer.retryBatch(request, signal),
};

const DAG: Kind<Dag> = {
  command: 'dag',
  plural: 'DAGs',
  named: 'ids, unambiguous beginnings of them, or names: of a name its newest run',
  example: 'etl-pipeline',
  toJson: dagToJson,
  list: (peer, request, signal) => peer.listDags(request, signal),
  get: (peer, request, signal) => peer.getDag(request, signal),
  cancel: (peer, request, signal) => peer.cancelDag(request, signal),
  retry: (peer, request, signal) => peer.retryDag(request, signal),
};

export function registerBatch(program: Command, context: Context): void {
  const batch = program.command('batch').description('Tasks that were submitted together as a batch.');
  registerKind(batch, context, BATCH);
}

export function registerDag(program: Command, context: Context): void {
  const dag = program.command('dag').description('Tasks that depend on each other.');
  registerKind(dag, context, DAG);
  registerGraph(dag, context);
}

function registerKind<T extends Group>(parent: Command, context: Context, kind: Kind<T>): void {
  registerList(parent, context, kind);
  registerGet(parent, context, kind);
  registerWait(parent, context, kind);
  registerEach(parent, context, kind, {
    name: 'cancel',
    description: `Cancel what is left of ${kind.plural}; what runs is stopped with its grace time.`,
    ask: (peer, id, signal, key) => kind.cancel(peer, { id, idempotency_key: key }, signal),
  });
  registerEach(parent, context, kind, {
    name: 'retry',
    description: `Begin anew whatever did not complete of ${kind.plural} that are over.`,
    ask: (peer, id, signal, key) => kind.retry(peer, { id, idempotency_key: key }, signal),
  });
}

function registerList<T extends Group>(parent: Command, context: Context, kind: Kind<T>): void {
  const command = parent
    .command('ls')
    .description(`List ${kind.plural}, the newest first.`)
    .option('--limit <n>', 'at most so many; default: all; with --watch 500', parseCount)
    .addOption(outputOption())
    .addOption(watchOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions & WatchOptions & { readonly limit?: number }) => {
      await withPeers(context, command, (peers) =>
        showOrWatch(context, peers, options, async (signal) => {
          const limit = options.limit ?? (options.watch === true ? clientLimits.pageItems : undefined);
          const { groups, nextCursor } = await listAll(peers, kind, limit, signal);
          const words = { toJson: kind.toJson, whenEmpty: `no ${kind.plural} found` };
          return groupAnswer(context.terminal, groups, words, nextCursor);
        }),
      );
    });
  addExamples(
    command,
    `jarvisctl ${kind.command} ls --limit 20 -o wide`,
    `jarvisctl ${kind.command} ls --watch`,
  );
}

async function listAll<T extends Group>(
  peers: Peers,
  kind: Kind<T>,
  limit: number | undefined,
  signal: AbortSignal,
): Promise<{ groups: T[]; nextCursor: string }> {
  const wanted = limit ?? Number.POSITIVE_INFINITY;
  const groups: T[] = [];
  let cursor = '';
  do {
    const request = { limit: Math.min(clientLimits.pageItems, wanted - groups.length), cursor };
    const page = await peers.call((peer, inner) => kind.list(peer, request, inner), signal);
    groups.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== '' && groups.length < wanted);
  return { groups, nextCursor: cursor };
}

function registerGet<T extends Group>(parent: Command, context: Context, kind: Kind<T>): void {
  const command = parent
    .command('get')
    .description(`Show ${kind.plural}.`)
    .argument(`<${kind.command}...>`, kind.named)
    .addOption(outputOption())
    .addOption(watchOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions & WatchOptions) => {
      const words = { toJson: kind.toJson, whenEmpty: '' };
      await withPeers(context, command, (peers) =>
        showNamed(context, peers, options, {
          names: ids,
          ask: (id, signal) => peers.call((peer, inner) => kind.get(peer, { id }, inner), signal),
          nameOf: ({ id }) => id,
          answerOf: (groups) => groupAnswer(context.terminal, groups, words),
        }),
      );
    });
  addExamples(
    command,
    `jarvisctl ${kind.command} get ${kind.example}`,
    `jarvisctl ${kind.command} get ${kind.example} --watch`,
  );
}

/** One request for each that is named. */
function registerEach<T extends Group>(
  parent: Command,
  context: Context,
  kind: Kind<T>,
  verb: {
    readonly name: string;
    readonly description: string;
    readonly ask: (peer: ClusterConnection, id: string, signal: AbortSignal, key: string) => Promise<T>;
  },
): void {
  const command = parent
    .command(verb.name)
    .description(verb.description)
    .argument(`<${kind.command}...>`, kind.named)
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const found = await eachTask(context, ids, (id) => {
          const key = randomUUID();
          return peers.call((peer, signal) => verb.ask(peer, id, signal, key), context.terminal.interrupted);
        });
        const words = { toJson: kind.toJson, whenEmpty: '' };
        if (found.length > 0)
          await printAnswer(context.terminal, options.output, groupAnswer(context.terminal, found, words));
      });
    });
  addExamples(command, `jarvisctl ${kind.command} ${verb.name} ${kind.example}`);
}

function registerWait<T extends Group>(parent: Command, context: Context, kind: Kind<T>): void {
  const command = parent
    .command('wait')
    .description(`Wait until ${kind.plural} are over. Exits with 0 only if all their tasks completed.`)
    .argument(`<${kind.command}...>`, kind.named)
    .option('--timeout <duration>', 'give up waiting after so long, with exit status 124', parseDuration)
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions & { readonly timeout?: number }) => {
      await withPeers(context, command, (peers) => waitForAll(context, peers, kind, ids, options));
    });
  addExamples(command, `jarvisctl ${kind.command} wait ${kind.example} --timeout 10m`);
}

function registerGraph(parent: Command, context: Context): void {
  const command = parent
    .command('graph')
    .description('Show what depends on what, with the status of each task.')
    .argument('<dag>', DAG.named)
    .addOption(
      new Option('--format <format>', 'text, or the language of Mermaid or Graphviz')
        .choices(GRAPH_FORMATS)
        .default('text'),
    )
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (id: string, options: { readonly format: GraphFormat }) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const dag = await peers.call((peer, signal) => peer.getDag({ id }, signal), terminal.interrupted);
        const graph = graphOf(dag, options.format);
        const lines = graph.trimEnd().split('\n');
        // Other programs read the languages: their lines stay whole.
        const isText = options.format === 'text';
        const shown = isText ? lines.map((line) => fitted(terminal.stdout, line)) : lines;
        await writeLine(terminal.stdout, shown.join('\n'));
      });
    });
  addExamples(
    command,
    'jarvisctl dag graph etl-pipeline',
    'jarvisctl dag graph etl-pipeline --format dot | dot -Tsvg > graph.svg',
  );
}
