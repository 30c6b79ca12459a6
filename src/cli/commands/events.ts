/** `jarvisctl events`: changes of state in the order in which they happened, also while they do. */
import type { Command } from 'commander';

import type { Event, EventsPiece, EventsRequest } from '../../generated/cluster.ts';
import { unreachable } from '../../lib/assert.ts';
import { EVENT_KINDS } from '../../model/events.ts';
import { eventToJson } from '../../spec/json.ts';
import { notAllowed } from '../choices.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, collectList, outputOption, parseSince, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { jsonText, yamlText } from '../output/documents.ts';
import type { OutputFormat } from '../output/format.ts';
import { backOff, type Peers } from '../peers.ts';
import { fitted, printable, write } from '../terminal.ts';
import type { OutputStream } from '../terminal.ts';

interface EventsOptions extends OutputOptions {
  readonly follow?: true;
  readonly since?: string;
  readonly kind?: readonly string[];
  readonly id?: readonly string[];
}

export function registerEvents(program: Command, context: Context): void {
  const command = program
    .command('events')
    .description('Show what has happened in the cluster: all that is kept of it, or from a position on.')
    .option('-f, --follow', 'go on as it happens; without --since only what comes from now on')
    .option(
      '--since <position>',
      'what came after: the id of an event, the index of an entry, a time, so long ago (5m), or oldest',
      parseBeginning,
    )
    .option('--kind <kind>', 'only of this kind (repeat, or separate with commas)', collectKinds)
    .option('--id <id>', 'only about this task or node (repeat, or separate with commas)', collectList)
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: EventsOptions) => {
      await withPeers(context, command, (peers) => showEvents(context, peers, options));
    });
  addExamples(
    command,
    'jarvisctl events --kind alert --since 1h',
    'jarvisctl events -f --since 1200 -o json',
  );
}

/** A bare number is the index of an entry, not seconds. */
function parseBeginning(text: string): string {
  return text === 'oldest' || /^\d+(\.\d+)?$/.test(text) ? text : parseSince(text);
}

function collectKinds(text: string, previous: readonly string[] | undefined): readonly string[] {
  const kinds = collectList(text, previous);
  const known: readonly string[] = EVENT_KINDS;
  const unknown = kinds.find((kind) => !known.includes(kind));
  if (unknown !== undefined) throw notAllowed(unknown, known);
  return kinds;
}

async function showEvents(context: Context, peers: Peers, options: EventsOptions): Promise<void> {
  const { stdout, interrupted } = context.terminal;
  const wanted: EventsRequest = {
    since: options.since ?? '',
    follow: options.follow === true,
    kind: [...(options.kind ?? [])],
    id: [...(options.id ?? [])],
  };
  // A stream that goes on should outlive the peers that the user named.
  if (wanted.follow) await peers.learn(interrupted);
  for await (const { events } of eventPieces(peers, wanted, interrupted))
    await write(stdout, events.map((event) => shown(stdout, event, options.output)).join(''));
}

/** Each event once, over broken streams and changes of leader. Ends where all is delivered and nothing is followed. */
async function* eventPieces(
  peers: Peers,
  wanted: EventsRequest,
  signal: AbortSignal,
): AsyncGenerator<EventsPiece, void> {
  let { since } = wanted;
  for (let round = 0; ; round += 1) {
    const open: Parameters<Peers['follow']>[0] = (peer, inner) =>
      peer.watchEvents({ ...wanted, since }, inner);
    for await (const piece of peers.follow(open, signal) as AsyncIterable<EventsPiece>) {
      round = 0;
      since = piece.position;
      yield piece;
      if (piece.complete) return;
    }
    // A node that shuts down ends its streams in good order, and this one is not over.
    await backOff(round, signal);
  }
}

/** Each event stands for itself: one line, or one document, as soon as it is there. */
function shown(stdout: OutputStream, event: Event, format: OutputFormat): string {
  switch (format) {
    case 'json':
      return `${jsonText(eventToJson(event))}\n`;
    case 'yaml':
      return `---\n${yamlText(eventToJson(event))}`;
    case 'name':
      return `${printable(event.id)}\n`;
    case 'table':
      return `${fitted(stdout, lineOf(event))}\n`;
    case 'wide':
      return `${fitted(stdout, `${event.index}.${event.position} ${lineOf(event)}`)}\n`;
    default:
      return unreachable(format);
  }
}

function lineOf({ time, kind, id, name, old_status: before, new_status: after, reason }: Event): string {
  const object = name === id ? name : `${name} (${id})`;
  const change = before === after ? (after ?? '-') : `${before ?? '-'} → ${after ?? '-'}`;
  const why = reason === undefined || reason === '' ? '' : `: ${reason}`;
  return printable(`${time} ${kind.padEnd(5)} ${object} ${change}${why}`);
}
