/** After the faults: everything runs again, all tasks come to their end, and the nodes stop in order. */
import { setTimeout as delay } from 'node:timers/promises';

import { OWNED_LABEL } from '../../src/agent/drivers/docker/naming.ts';
import { messageOf } from '../../src/lib/errors.ts';
import { limits } from '../../src/lib/limits.ts';
import { FINAL_STATUSES, type TaskJson } from '../support/api.ts';
import type { TestCluster } from '../support/cluster.ts';
import type { DockerBed } from '../support/docker-bed/docker-bed.ts';
import type { FoundProcess } from '../support/processes.ts';
import { waitFor, within } from '../support/wait.ts';
import type { Caller } from './caller.ts';
import type { Evidence, Finding } from './judges.ts';
import type { Nemesis } from './nemesis.ts';

const FINAL_TIMEOUT_MS = 60_000;
const LEAVE_TIMEOUT_MS = 15_000;
const LOOK_TIMEOUT_MS = 20_000;
const AGREEMENT_SLACK_MS = 5000;
const AGREEMENT_PAUSE_MS = 500;

export interface Settling {
  readonly cluster: TestCluster;
  readonly caller: Caller;
  readonly nemesis: Nemesis;
  readonly bed: DockerBed | null;
  readonly findings: Finding[];
}

/** @returns what every node shows once all tasks are over, or after a while */
export async function settle(parts: Settling): Promise<Evidence['final']> {
  const { cluster, nemesis, findings } = parts;
  await nemesis.heal();
  try {
    await untilOver(parts);
  } catch (error) {
    const left = taskProcesses(cluster).map(({ pid, commandLine }) => `${pid} ${commandLine}`);
    findings.push({
      judge: 'end',
      message: `${messageOf(error)}; ${left.length} task processes: ${left.join('; ')}`,
    });
  }
  return await finalLooks(parts);
}

async function untilOver({ cluster, caller, bed }: Settling): Promise<void> {
  const [first] = cluster.nodes;
  if (first === undefined) throw new Error('a cluster has nodes');
  await waitFor(
    'all tasks are over',
    async () => (await caller.look(first.api, 'end', LOOK_TIMEOUT_MS)).every(isOver),
    { timeoutMs: FINAL_TIMEOUT_MS, intervalMs: 250 },
  );
  await waitFor('all nodes are AVAILABLE', async () =>
    (await first.api.nodes()).every(({ status }) => status === 'AVAILABLE'),
  );
  await waitFor('no task runs any more', () => taskProcesses(cluster).length === 0, {
    timeoutMs: LEAVE_TIMEOUT_MS,
  });
  if (bed === null) return;
  await waitFor('no container is left', async () => !(await bed.engine.api.list()).some(isOwned), {
    timeoutMs: LEAVE_TIMEOUT_MS,
  });
}

/**
 * What every node shows, once they agree that all is over. A write whose caller has given up may still be sent on by a node
 * and come between two looks, for as long as a route takes; whoever differs after that is judged.
 */
async function finalLooks({ cluster, caller }: Settling): Promise<Evidence['final']> {
  const deadlineMs = performance.now() + limits.routeTimeoutMs + AGREEMENT_SLACK_MS;
  for (;;) {
    const final: Record<string, readonly TaskJson[]> = {};
    for (const { name, api } of cluster.nodes) final[name] = await caller.look(api, 'end', LOOK_TIMEOUT_MS);
    const shown = new Set(Object.values(final).map((tasks) => JSON.stringify(tasks)));
    const areOver = Object.values(final).every((tasks) => tasks.every(isOver));
    if ((shown.size === 1 && areOver) || performance.now() > deadlineMs) return final;
    await delay(AGREEMENT_PAUSE_MS);
  }
}

/** A stop in order leaves nothing behind. */
export async function leave({ cluster, nemesis, findings }: Settling): Promise<void> {
  const wrong = await within(nemesis.stop(), LEAVE_TIMEOUT_MS, ['not all have stopped in time']);
  findings.push(...[...nemesis.unexpected, ...wrong].map(aboutProcesses));
  try {
    await waitFor('all processes are gone', () => cluster.processes().length === 0, {
      timeoutMs: LEAVE_TIMEOUT_MS,
    });
  } catch {
    findings.push(
      ...cluster.processes().map((left) => aboutProcesses(`left behind: ${left.pid} ${left.commandLine}`)),
    );
  }
}

function taskProcesses(cluster: TestCluster): readonly FoundProcess[] {
  return cluster
    .processes()
    .filter(({ commandLine }) => !/\/(agent|watchdog)\/main\.(ts|js)/.test(commandLine));
}

function aboutProcesses(message: string): Finding {
  return { judge: 'processes', message };
}

function isOwned({ Labels }: { readonly Labels: object }): boolean {
  return OWNED_LABEL in Labels;
}

function isOver({ status }: TaskJson): boolean {
  return FINAL_STATUSES.has(status);
}
