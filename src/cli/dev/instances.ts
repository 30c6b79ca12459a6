/**
 * Nodes that the autoscaler has made as processes (docs/providers.md): they outlive the daemon that made them, and so would the cluster.
 * Their folders stay, so that the cluster finds out the next time that they have ended, and takes them off its lists.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { isAlive, processesOf, processWithArgument, type ProcessId } from '../../lib/node-processes.ts';
import { nodeDirectory } from './layout.ts';
import type { DevNode } from './layout.ts';

const LOOK_MS = 50;
/** For the kernel, after SIGKILL. */
const KILL_WAIT_MS = 2000;

/** Once the nodes that could make others have ended. @returns how many there were. Never takes much longer than `graceMs` */
export async function endInstances(
  directory: string,
  nodes: readonly Pick<DevNode, 'name'>[],
  graceMs: number,
): Promise<number> {
  const folders = nodes.map((node) => join(nodeDirectory(directory, node), 'instances'));
  const daemons = (await Promise.all(folders.map(daemonsBelow))).flat();
  for (const daemon of daemons) send(daemon, 'SIGTERM');
  await untilEnded(daemons, graceMs);
  // What did not end by itself, with whatever it began, and what was left by those that were killed.
  const left = (await Promise.all(folders.map(processesOf))).flat();
  for (const one of left) send(one, 'SIGKILL');
  await untilEnded(left, KILL_WAIT_MS);
  return daemons.length;
}

async function daemonsBelow(folder: string): Promise<readonly ProcessId[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const found = await Promise.all(names.map((name) => processWithArgument(join(folder, name, 'node.json'))));
  return found.filter((one) => one !== null);
}

function send(id: ProcessId, signal: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    // It has just ended.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function untilEnded(ids: readonly ProcessId[], limitMs: number): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (ids.some(isAlive) && performance.now() < endMs) await delay(LOOK_MS);
}
