/** Asks for what is used where that is shown beside something else: it must not keep anybody waiting, nor fail a command. */
import type { Node, NodeUsage, Task, TaskUsage } from '../generated/cluster.ts';
import { messageOf } from '../lib/errors.ts';
import { clientLimits } from './limits.ts';
import type { DemandingAttempt } from './output/resources.ts';
import type { Peers } from './peers.ts';
import { mapBounded } from './task-arguments.ts';
import { onOneLine } from './terminal.ts';

/** A sentence: why it is not known. */
type Answer<T> = { readonly usage: T } | { readonly why: string };

/** @param limit attempts at most */
export async function usageOfNode(
  peers: Peers,
  { name, status }: Node,
  limit: number,
  signal: AbortSignal,
): Promise<Answer<NodeUsage>> {
  // It would not answer, and whoever asked would wait for that.
  if (status === 'OFFLINE') return { why: `what ${name} uses is not known: it is OFFLINE` };
  return await soon(name, signal, (inner) =>
    peers.call((peer, signalOfCall) => peer.getNodeUsage({ name, limit }, signalOfCall), inner),
  );
}

/** Of one that runs. */
export async function usageOfTask(peers: Peers, id: string, signal: AbortSignal): Promise<Answer<TaskUsage>> {
  return await soon(id, signal, (inner) =>
    peers.call((peer, signalOfCall) => peer.getTaskUsage({ id }, signalOfCall), inner),
  );
}

/** The most demanding attempts of all nodes. */
export interface Demanding {
  readonly items: readonly DemandingAttempt[];
  /** There are more than those. */
  readonly areMore: boolean;
}

/**
 * By what every node says itself, those that do not answer left out.
 * @param of.running where the names of tasks are looked for
 */
export async function mostDemanding(
  peers: Peers,
  of: { readonly nodes: readonly Node[]; readonly running: readonly Task[]; readonly count: number },
  signal: AbortSignal,
): Promise<Demanding> {
  const { nodes, running, count } = of;
  const answers = await mapBounded(nodes, clientLimits.concurrentWatches, (node) =>
    usageOfNode(peers, node, count, signal),
  );
  const known = answers.flatMap((answer) => ('usage' in answer ? [answer.usage] : []));
  const tasks = new Map(running.map((task) => [task.id, task]));
  const items = known
    .flatMap(({ node, attempts }) =>
      attempts.map((usage) => ({ node, usage, task: tasks.get(usage.task_id) })),
    )
    .sort((a, b) => compare(a, b, 'cpu_cores') || compare(a, b, 'memory_bytes'))
    .slice(0, count);
  const total = known.reduce((sum, usage) => sum + usage.attempts_total, 0);
  return { items, areMore: total > items.length };
}

/** The highest first. */
function compare(a: DemandingAttempt, b: DemandingAttempt, by: 'cpu_cores' | 'memory_bytes'): number {
  return (b.usage[by] ?? 0) - (a.usage[by] ?? 0);
}

/** @throws where the signal is aborted */
async function soon<T>(
  what: string,
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<Answer<T>> {
  const timeout = AbortSignal.timeout(clientLimits.usageMs);
  try {
    return { usage: await ask(AbortSignal.any([signal, timeout])) };
  } catch (error) {
    signal.throwIfAborted();
    const why = timeout.aborted ? 'there is no answer in time' : messageOf(error);
    return { why: `what ${what} uses is not known: ${onOneLine(why)}` };
  }
}
