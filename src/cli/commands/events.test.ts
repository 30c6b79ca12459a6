import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';

import { Event, type EventsPiece, type EventsRequest } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { CliProcess, runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
});
afterEach(() => cluster.stop());

function event(index: number, fields: Partial<Event> = {}): Event {
  return {
    ...Event.create({ index, position: 0, time: '2026-11-24T00:00:00.000Z', kind: 'task', id: 'task-1' }),
    name: 'job',
    old_status: 'PENDING',
    new_status: 'ASSIGNED',
    ...fields,
  };
}

function piece(events: readonly Event[], complete = false): EventsPiece {
  return { events: [...events], position: String(events.at(-1)?.index ?? 0), complete };
}

async function run(...args: readonly string[]) {
  return await runInProcess(['events', '--peer', cluster.address, ...args]);
}

describe('events', () => {
  it('prints a line for each, up to now', async () => {
    const fresh = event(3, { old_status: undefined, new_status: 'PENDING' });
    const gone = event(4, { kind: 'node', id: 'n1', name: 'n1', new_status: undefined, reason: 'removed' });
    const same = event(5, { old_status: 'RUNNING', new_status: 'RUNNING', reason: 'stopping' });
    cluster.eventsSince = () => [piece([fresh, gone]), piece([same], true)];
    const { stdout, stderr, status } = await run();
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout.split('\n')).toEqual([
      '2026-11-24T00:00:00.000Z task  job (task-1) - → PENDING',
      '2026-11-24T00:00:00.000Z node  n1 PENDING → -: removed',
      '2026-11-24T00:00:00.000Z task  job (task-1) RUNNING: stopping',
      '',
    ]);
    expect(cluster.requests('watchEvents')).toEqual([{ since: '', follow: false, kind: [], id: [] }]);
  });

  it('breaks lines between words on a terminal that is too narrow', async () => {
    const long = event(3, { name: 'a-rather-long-name-of-a-task', id: 'task-0123456789abcdefgh' });
    cluster.eventsSince = () => [piece([long], true)];
    const { stdout } = await runInProcess(['events', '--peer', cluster.address], { rows: 24 });
    expect(stdout).toBe(
      '2026-11-24T00:00:00.000Z task  a-rather-long-name-of-a-task\n' +
        '  (task-0123456789abcdefgh) PENDING → ASSIGNED\n',
    );
  });

  it('asks for what is wanted', async () => {
    cluster.eventsSince = () => [piece([], true)];
    await run('--since', '12.3', '--kind', 'alert,node', '--id', 'n1');
    expect(cluster.requests('watchEvents')).toEqual([
      { since: '12.3', follow: false, kind: ['alert', 'node'], id: ['n1'] },
    ]);
  });

  it('prints each as a line of JSON, a document of YAML, or its name', async () => {
    cluster.eventsSince = () => [piece([event(3), event(4, { reason: 'why' })], true)];
    const json = (await run('-o', 'json')).stdout.trim().split('\n');
    expect(json.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { index: 3, position: 0, reason: null },
      { index: 4, kind: 'task', id: 'task-1', old_status: 'PENDING', new_status: 'ASSIGNED', reason: 'why' },
    ]);
    const yaml = parseAllDocuments((await run('-o', 'yaml')).stdout);
    expect(yaml.map((document) => document.toJS() as unknown)).toMatchObject([{ index: 3 }, { index: 4 }]);
    expect((await run('-o', 'name')).stdout).toBe('task-1\ntask-1\n');
    expect((await run('-o', 'wide')).stdout).toMatch(/^3\.0 2026-/);
  });

  it('goes on where a broken stream ended, each event once', async () => {
    const all = [event(3), event(4), event(5), event(6)];
    cluster.eventsSince = ({ since }: EventsRequest) => {
      const rest = all.filter(({ index }) => index > Number(since || '0'));
      // Breaks off after every one.
      return [piece(rest.slice(0, 1), rest.length <= 1)];
    };
    const { stdout, status } = await run('-f', '-o', 'json');
    expect(status).toBe(0);
    const indexes = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as Event).index);
    expect(indexes).toEqual([3, 4, 5, 6]);
    expect(cluster.requests<EventsRequest>('watchEvents').map(({ since }) => since)).toEqual([
      '',
      '3',
      '4',
      '5',
    ]);
  });

  it('says what is wrong with a position that is kept no longer', async () => {
    cluster.eventsSince = () => {
      throw new JarvisError('compacted', 'events after position 3 are kept no longer');
    };
    expect(await run('--since', '3')).toEqual({
      stdout: '',
      stderr: 'jarvisctl: events after position 3 are kept no longer\n',
      status: 1,
    });
    expect(cluster.requests('watchEvents')).toHaveLength(1);
  });

  it('takes a time, or how long ago', async () => {
    cluster.eventsSince = () => [piece([], true)];
    await run('--since', '2026-12-01T00:00:00Z');
    await run('--since', '5m');
    const [time, ago] = cluster.requests<EventsRequest>('watchEvents').map(({ since }) => since);
    expect(time).toBe('2026-12-01T00:00:00.000Z');
    expect(Date.now() - Date.parse(ago ?? '')).toBeGreaterThanOrEqual(300_000);
    expect((await run('--since', 'yesterday')).status).toBe(2);
  });

  it('refuses a kind that there is not', async () => {
    const { stderr, status } = await run('--kind', 'tasks');
    expect(status).toBe(2);
    expect(stderr).toContain('Allowed: task, batch, dag, node, instance, cluster, alert');
  });

  it('ends quietly when it is interrupted', async () => {
    cluster.eventsSince = () => [piece([event(3)])];
    const process = new CliProcess(['events', '-f', '--peer', cluster.address]);
    await process.until(({ stdout }) => stdout.includes('job'));
    process.interrupt();
    expect(await process.result).toMatchObject({ status: 130 });
  });
});
