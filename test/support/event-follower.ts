/** `jarvisctl events -f` beside a test: every event as it comes, over whatever happens to the nodes meanwhile. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { onTestFinished } from 'vitest';

import type { TestCluster } from './cluster.ts';
import { programEnvironment, programPath } from './program.ts';
import { waitFor } from './wait.ts';

export interface EventJson {
  readonly index: number;
  readonly position: number;
  readonly time: string;
  readonly kind: string;
  readonly id: string;
  readonly name: string;
  readonly old_status: string | null;
  readonly new_status: string | null;
  readonly reason: string | null;
}

export interface EventFollower {
  readonly events: readonly EventJson[];
  /** Resolves once one of them is so. */
  until(what: string, condition: (event: EventJson) => boolean): Promise<EventJson>;
}

/** From the oldest that is kept on. Ends with the test. */
export function followEvents(cluster: TestCluster, more: readonly string[] = []): EventFollower {
  const events: EventJson[] = [];
  const args = ['events', '--follow', '--since', 'oldest', '-o', 'json', ...more];
  const child = spawn(process.execPath, [programPath('jarvisctl'), ...args], {
    env: programEnvironment('/nonexistent', { JARVIS_PEERS: cluster.peers() }),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    events.push(...lines.map((line) => JSON.parse(line) as EventJson));
  });
  const ended = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    events,
    until: (what, condition) => waitFor(`the event that ${what}`, () => events.find(condition) ?? null),
  };
}

/** All that a node keeps, by itself. */
export async function eventsOf(
  cluster: TestCluster,
  name: string,
  since = 'oldest',
): Promise<readonly EventJson[]> {
  const answer = await cluster.node(name).api.call('GET', `/events?since=${since}&follow=false`, null);
  if (answer.status !== 200) throw new Error(`GET /events on ${name}: ${answer.status} ${answer.text}`);
  const lines = answer.text.split('\n').filter((line) => line.startsWith('data: '));
  return lines.map((line) => JSON.parse(line.slice('data: '.length)) as EventJson);
}

/** Faults: events out of order or told twice, and statuses that do not follow from the one before. */
export function faultsOf(events: readonly EventJson[]): readonly string[] {
  const faults: string[] = [];
  const statuses = new Map<string, string | null>();
  for (const [at, event] of events.entries()) {
    const before = events[at - 1];
    if (before !== undefined && !isAfter(event, before))
      faults.push(`${JSON.stringify(event)} comes too late`);
    if (event.kind === 'alert') continue;
    const object = `${event.kind}/${event.id}`;
    if ((statuses.get(object) ?? null) !== event.old_status)
      faults.push(`${JSON.stringify(event)} follows ${statuses.get(object) ?? 'nothing'}`);
    statuses.set(object, event.new_status);
  }
  return faults;
}

function isAfter(event: EventJson, before: EventJson): boolean {
  return (
    event.index > before.index || (event.index === before.index && event.position === before.position + 1)
  );
}
