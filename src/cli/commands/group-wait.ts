/** `jarvisctl batch wait` and `dag wait`: until they are over, and on a terminal how far they are meanwhile. */
import { setTimeout as delay } from 'node:timers/promises';

import { JarvisError } from '../../lib/errors.ts';
import type { ClusterConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { Deadline } from '../deadline.ts';
import { EXIT_FAILED } from '../exit-status.ts';
import { clientLimits } from '../limits.ts';
import { LiveBlock } from '../live-block.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { failureLines, progressLines } from '../output/group-progress.ts';
import type { Group } from '../output/groups.ts';
import { describeGroupEnd, groupAnswer, isOver } from '../output/groups.ts';
import type { Peers } from '../peers.ts';
import { eachTask, mapBounded } from '../task-arguments.ts';
import { printable, writeLine } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import type { Kind } from './group-kind.ts';

export async function waitForAll<T extends Group>(
  context: Context,
  peers: Peers,
  kind: Kind<T>,
  ids: readonly string[],
  options: OutputOptions & { readonly timeout?: number },
): Promise<void> {
  const { terminal } = context;
  using deadline = new Deadline(terminal.interrupted, options.timeout);
  await deadline.guard(
    async (signal) => {
      // First of all whether they exist and a peer answers: only what has begun well is waited for with patience.
      const found = await eachTask(context, ids, (id) =>
        peers.call((peer, inner) => kind.get(peer, { id }, inner), signal),
      );
      if (found.some((group) => !isOver(group))) await peers.learn(signal);
      const isTable = options.output === 'table' || options.output === 'wide';
      await using progress = new GroupProgress(terminal);
      const ended = await mapBounded(found, clientLimits.concurrentWatches, async (group) => {
        let last = group;
        const open: Parameters<Peers['follow']>[0] = (peer, inner) =>
          statesOf(kind, { peer, id: group.id, isSeen: progress.isSeen }, inner);
        const states = peers.follow(open, signal) as AsyncIterable<T>;
        if (!isOver(last))
          for await (const state of states) {
            last = state;
            await progress.update(state);
          }
        await progress.done(last);
        if (isTable) await writeLine(terminal.stdout, printable(describeGroupEnd(last)));
        return last;
      });
      const words = { toJson: kind.toJson, whenEmpty: '' };
      if (!isTable) await printAnswer(terminal, options.output, groupAnswer(terminal, ended, words));
      if (!ended.every(({ status }) => status === 'COMPLETED')) context.exitStatus ||= EXIT_FAILED;
    },
    () => `${ids.join(', ')}: not over yet`,
  );
}

/** Of all that are waited for, on a terminal. */
class GroupProgress implements AsyncDisposable {
  readonly #block: LiveBlock;
  readonly #groups = new Map<string, Group>();

  constructor(terminal: Terminal) {
    this.#block = new LiveBlock(terminal);
  }

  get isSeen(): boolean {
    return this.#block.isSeen;
  }

  async update(group: Group): Promise<void> {
    if (!this.isSeen || isOver(group)) return;
    this.#groups.set(group.id, group);
    await this.#draw();
  }

  /** What is over makes room for the line that says so, and for the others. What failed of a DAG stays to be seen. */
  async done(group: Group): Promise<void> {
    const isWatched = this.#groups.delete(group.id);
    if (isWatched && group.status === 'FAILED') await this.#block.leave(failureLines(group, Date.now()));
    else await this.#block.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#block.clear();
  }

  async #draw(): Promise<void> {
    const room = Math.max(1, Math.floor(this.#block.room / this.#groups.size));
    const nowMs = Date.now();
    await this.#block.draw([...this.#groups.values()].flatMap((group) => progressLines(group, room, nowMs)));
  }
}

interface Waited {
  readonly peer: ClusterConnection;
  readonly id: string;
  /** Somebody looks at how far it is, which changes more often than its status. */
  readonly isSeen: boolean;
}

/** Until it is over: asked for whenever its status changes, and now and then beside that. */
async function* statesOf<T extends Group>(
  kind: Kind<T>,
  waited: Waited,
  signal: AbortSignal,
): AsyncGenerator<T, void> {
  for await (const _ of waited.isSeen ? beats(signal) : occasions(kind, waited, signal)) {
    const group = await kind.get(waited.peer, { id: waited.id }, signal);
    yield group;
    if (isOver(group)) return;
  }
}

/** The first at once. */
async function* beats(signal: AbortSignal): AsyncGenerator<void, void> {
  for (;;) {
    yield;
    await delay(clientLimits.groupPollMs, undefined, { signal });
  }
}

/** The first at once. @throws JarvisError unavailable where the node that tells of them shuts down */
async function* occasions<T extends Group>(
  { command }: Kind<T>,
  { peer, id }: Waited,
  signal: AbortSignal,
): AsyncGenerator<void, void> {
  try {
    // A piece without events is a sign of life: what may have been missed is looked for then.
    for await (const _ of peer.watchEvents({ since: '', follow: true, kind: [command], id: [id] }, signal))
      yield;
  } catch (error) {
    if (!(error instanceof JarvisError && error.code === 'too_many')) throw error;
    // More follow the events of that node than it serves.
    yield* beats(signal);
  }
  throw new JarvisError('unavailable', `${peer.address} ended the stream of events`);
}
