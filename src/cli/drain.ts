/** Waits for a node that is drained, and says how far it is. */
import { setTimeout as delay } from 'node:timers/promises';

import type { Node } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import type { ClusterConnection } from './connection.ts';
import { clientLimits } from './limits.ts';
import { LiveLine } from './live-line.ts';
import { humanDuration } from './output/age.ts';
import type { Peers } from './peers.ts';
import type { Terminal } from './terminal.ts';

/**
 * Resolves with the node once nothing is left on it, or it is OFFLINE and nothing is on it, through outages and changes of
 * leader.
 * @throws JarvisError conflict where somebody has ended the drain; not_found where the node was removed
 */
export async function waitDrained(
  peers: Peers,
  name: string,
  { terminal, signal }: { readonly terminal: Terminal; readonly signal: AbortSignal },
): Promise<Node> {
  const line = new LiveLine(terminal);
  let last: Node | null = null;
  try {
    const states = peers.follow((peer, inner) => statesOf(peer, name, inner), signal);
    for await (const node of states) {
      last = node;
      if (!isSettled(node)) await line.show(...progressOf(node, Date.now()));
    }
  } finally {
    await line.clear();
  }
  if (last?.drain === undefined)
    throw new JarvisError('conflict', `node ${name}: somebody has ended the drain`);
  return last;
}

/** What there is to be told of a drain changes with the time, so it is asked for at intervals. */
async function* statesOf(
  peer: ClusterConnection,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<Node, void> {
  for (;;) {
    const node = await peer.getNode({ name }, signal);
    yield node;
    if (isSettled(node)) return;
    await delay(clientLimits.drainPollMs, undefined, { signal });
  }
}

function isSettled({ drain, status, active_tasks: tasks }: Node): boolean {
  return drain === undefined || drain.finished_at !== undefined || (status === 'OFFLINE' && tasks === 0);
}

/** In a sentence, and what of it is a step. */
export function progressOf({ name, status, drain }: Node, nowMs: number): [text: string, step: string] {
  const left = drain?.tasks_left ?? 0;
  const tasks = left === 1 ? '1 task' : `${left} tasks`;
  const step = `${status}/${left}/${drain?.overdue === true}`;
  if (status === 'OFFLINE') return [`node ${name} is OFFLINE, and ${tasks} wait for it`, step];
  if (left === 0) return [`node ${name} is empty, its logs are handed over`, step];
  if (drain?.overdue === true) return [`node ${name}: ${tasks} left, being stopped and moved`, step];
  const leftMs = Date.parse(drain?.deadline ?? '') - nowMs;
  return [`node ${name}: ${tasks} left, stopped and moved in ${humanDuration(leftMs)}`, step];
}
