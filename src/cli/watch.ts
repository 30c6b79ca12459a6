/**
 * `--watch`: an answer shown again whenever it changes, through outages and changes of leader. A terminal shows all of it
 * over what it showed before; elsewhere each changed row is added, so that the output can be read by a program.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { unreachable } from '../lib/assert.ts';
import { messageOf } from '../lib/errors.ts';
import type { Context } from './context.ts';
import { showFullScreen } from './full-screen.ts';
import { clientLimits } from './limits.ts';
import type { OutputOptions, WatchOptions } from './options.ts';
import { jsonText, yamlText } from './output/documents.ts';
import type { Answer, OutputFormat } from './output/format.ts';
import { printAnswer, tableOf } from './output/format.ts';
import { isTransient } from './peers.ts';
import type { Peers } from './peers.ts';
import { eachTask, mapBounded } from './task-arguments.ts';
import { notify, onOneLine, styled, write, writeLine } from './terminal.ts';
import type { Terminal } from './terminal.ts';

type Load<T> = (signal: AbortSignal) => Promise<Answer<T>>;

/** Once, or with `--watch` until Ctrl-C. @param load asks the cluster; is called again and again */
export async function showOrWatch<T>(
  { terminal }: Context,
  peers: Peers,
  options: OutputOptions & WatchOptions,
  load: Load<T>,
): Promise<void> {
  const signal = terminal.interrupted;
  // The first time whatever is wrong is an error: only what has begun well is watched with patience.
  const first = await load(signal);
  if (options.watch !== true) return printAnswer(terminal, options.output, first);
  await peers.learn(signal);
  const answers = answersOf(first, load, signal);
  const isTable = options.output === 'table' || options.output === 'wide';
  if (isTable && terminal.stdout.isTTY === true) await redraw(terminal, options.output, answers);
  else await append(terminal, options.output, answers);
}

/** The same of what is named; what cannot be found is a line on stderr each, and is not watched. */
export async function showNamed<T>(
  context: Context,
  peers: Peers,
  options: OutputOptions & WatchOptions,
  named: {
    readonly names: readonly string[];
    readonly ask: (name: string, signal: AbortSignal) => Promise<T>;
    readonly nameOf: (item: T) => string;
    readonly answerOf: (items: readonly T[]) => Answer<T>;
    /** Lines below a table that is shown once. */
    readonly below?: (items: readonly T[]) => Promise<readonly string[]>;
  },
): Promise<void> {
  const { names, ask, nameOf, answerOf, below } = named;
  const found = await eachTask(context, names, (name) => ask(name, context.terminal.interrupted));
  if (found.length === 0) return;
  let known: readonly T[] | null = found;
  await showOrWatch(context, peers, options, async (signal) => {
    const items =
      known ?? (await mapBounded(found, clientLimits.concurrentWatches, (item) => ask(nameOf(item), signal)));
    known = null;
    return answerOf(items);
  });
  const isTable = options.output === 'table' || options.output === 'wide';
  if (below === undefined || !isTable || options.watch === true) return;
  const lines = await below(found);
  if (lines.length > 0) await writeLine(context.terminal.stdout, lines.join('\n'));
}

/** What was answered last, and why there is nothing newer. */
interface Look<T> {
  readonly answer: Answer<T>;
  readonly outage: string | null;
}

/** @throws what no patience can mend, and where an outage lasts too long */
async function* answersOf<T>(
  first: Answer<T>,
  load: Load<T>,
  signal: AbortSignal,
): AsyncGenerator<Look<T>, never> {
  let answer = first;
  let outage: string | null = null;
  let workedAtMs = performance.now();
  for (;;) {
    yield { answer, outage };
    await delay(clientLimits.watchPollMs, undefined, { signal });
    try {
      answer = await load(signal);
      outage = null;
      workedAtMs = performance.now();
    } catch (error) {
      if (signal.aborted || !isTransient(error)) throw error;
      if (performance.now() - workedAtMs > clientLimits.outageMs) throw error;
      outage = `the cluster does not answer, still trying: ${messageOf(error)}`;
    }
  }
}

/** What was seen last stays on the screen when it ends. */
async function redraw<T>(
  terminal: Terminal,
  format: 'table' | 'wide',
  looks: AsyncIterable<Look<T>>,
): Promise<void> {
  const { stdout } = terminal;
  let last = '';
  async function* views(): AsyncGenerator<readonly string[], void> {
    for await (const { answer, outage } of looks) {
      last = answer.items.length === 0 ? answer.whenEmpty : tableOf(terminal, format, answer);
      const above = outage === null ? [] : [styled(stdout, 'red', onOneLine(outage))];
      yield [...above, ...last.split('\n')];
    }
  }
  try {
    await showFullScreen(terminal, views());
  } finally {
    await writeLine(stdout, last);
  }
}

async function append<T>(
  terminal: Terminal,
  format: OutputFormat,
  looks: AsyncIterable<Look<T>>,
): Promise<void> {
  const shown = new Map<string, string>();
  let isFirst = true;
  let isOut = false;
  for await (const { answer, outage } of looks) {
    if (outage !== null && !isOut) await notify(terminal, outage);
    isOut = outage !== null;
    const states = new Map(answer.items.map((item) => [answer.nameOf(item), stateOf(answer, item)]));
    const changed = answer.items.filter((item) => {
      const name = answer.nameOf(item);
      return shown.get(name) !== states.get(name);
    });
    for (const name of shown.keys()) {
      if (states.has(name)) continue;
      shown.delete(name);
      await notify(terminal, `${name} is not in the list any more`);
    }
    for (const [name, state] of states) shown.set(name, state);
    if (changed.length > 0) {
      await write(terminal.stdout, textOf(terminal, format, { ...answer, items: changed }, isFirst));
      isFirst = false;
    }
  }
}

/** All that is news when it changes. */
function stateOf<T>({ columns }: Answer<T>, item: T): string {
  return columns
    .filter(({ ticks }) => ticks !== true)
    .map(({ cell }) => cell(item))
    .join('\u0000');
}

/** Each row stands for itself: a line, or a document. */
function textOf<T>(terminal: Terminal, format: OutputFormat, answer: Answer<T>, withTitles: boolean): string {
  const { items, nameOf } = answer;
  const jsonOf = answer.itemJson ?? ((item: T): unknown => item);
  switch (format) {
    case 'json':
      return items.map((item) => `${jsonText(jsonOf(item))}\n`).join('');
    case 'yaml':
      return items.map((item) => `---\n${yamlText(jsonOf(item))}`).join('');
    case 'name':
      return items.map((item) => `${nameOf(item)}\n`).join('');
    case 'table':
    case 'wide': {
      const table = tableOf(terminal, format, answer);
      return `${withTitles ? table : table.slice(table.indexOf('\n') + 1)}\n`;
    }
    default:
      return unreachable(format);
  }
}
