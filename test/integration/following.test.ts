/** A change of leader is nobody's business: whoever runs, waits, follows or watches sees only what they asked for. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { startCli, type CliProcess } from '../support/cli-process.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor, within } from '../support/wait.ts';

const END_MS = 30_000;
const NAMES = ['n1', 'n2', 'n3'];

interface Row {
  readonly id: string;
  readonly status: string;
}

describe('jarvisctl while the leader that it talks to is killed', () => {
  it('run, wait, logs -f, events -f, --watch and a DAG that is waited for go on', async () => {
    const cluster = await startCluster();
    const flag = path.join(cluster.directory, 'go-on');
    const script = `echo first; while [ ! -e ${flag} ]; do sleep 0.05; done; echo second`;
    const run = startCli(['run', '--name', 'followed', '--', 'sh', '-c', `${script}; exit 7`], {
      env: { JARVIS_PEERS: cluster.peers() },
    });
    await run.until('the first line', (text) => text === 'first\n');
    const listed = await cluster.cli(['ls', '--name', 'followed', '-o', 'name']);
    const id = listed.stdout.trim();
    const spec = path.join(cluster.directory, 'dag.yaml');
    const command = JSON.stringify(['sh', '-c', script]);
    writeFileSync(
      spec,
      `{kind: Dag, name: d, tasks: [{id: a, command: ${command}}, {id: b, command: [echo], dependencies: [a]}]}`,
    );
    const dag = (await cluster.cli(['submit', '-f', spec, '-o', 'name'])).stdout.trim();

    // The tasks are to outlive the node whose end is looked at: one without any is to lead.
    const tasks = await waitFor('both run', async () => {
      const all = await cluster.api().tasks('&status=RUNNING');
      return all.length === 2 && all;
    });
    const leader = NAMES.find((name) => tasks.every(({ node }) => node !== name)) ?? '';
    await waitFor(`${leader} leads`, async () => {
      await cluster.cli(['cluster', 'transfer', leader]);
      return (await cluster.leader()).name === leader;
    });
    const peer = ['--peer', cluster.node(leader).settings.listen];

    // These say nothing once they are connected: one that comes so late that the leader is gone already asks another.
    const anyPeer = ['--peer', `${cluster.peers(leader)},${cluster.peers()}`];
    const wait = startCli(['wait', id, ...anyPeer]);
    const waitDag = startCli(['dag', 'wait', dag, ...anyPeer]);
    const logs = startCli(['logs', '-f', id, ...peer]);
    const events = startCli(['events', '-f', '--since', 'oldest', '--id', id, '-o', 'json', ...peer]);
    const watch = startCli(['get', id, '--watch', '-o', 'json', ...peer]);
    await logs.until('the first line', (text) => text === 'first\n');
    await watch.until('a row', (text) => text.includes('RUNNING'));
    await events.until('an event', (text) => text.includes('"RUNNING"'));

    await cluster.kill(leader);
    await cluster.leader({ not: leader });
    writeFileSync(flag, '');

    expect(await endOf('run', run)).toBe(7);
    expect(run.stdout).toBe('first\nsecond\n');
    expect(await endOf('wait', wait)).toBe(7);
    expect(await endOf('waitDag', waitDag)).toBe(0);
    expect(await endOf('logs', logs)).toBe(0);
    expect(logs.stdout).toBe('first\nsecond\n');
    await watch.until('the last row', (text) => text.includes('PERMANENTLY_FAILED'));
    await events.until('the last event', (text) => text.includes('PERMANENTLY_FAILED'));
    for (const cli of [watch, events]) {
      cli.interrupt();
      expect(await endOf('what follows', cli)).toBe(130);
    }
    const statuses = rowsOf(watch.stdout).map(({ status }) => status);
    expect(statuses).toEqual([...new Set(statuses)]);
    const told = events.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { index: number });
    expect(told.map(({ index }) => index)).toEqual(told.map(({ index }) => index).toSorted((a, b) => a - b));
    expect(new Set(events.stdout.trimEnd().split('\n')).size).toBe(told.length);
  });
});

/** Its exit status. @throws Error with what it wrote where it does not end */
async function endOf(what: string, cli: CliProcess): Promise<number | null> {
  const status = await within(cli.ended, END_MS, 'late' as const);
  if (status === 'late') throw new Error(`${what} has not ended: ${cli.stdout} ${cli.stderr}`);
  return status;
}

function rowsOf(text: string): readonly Row[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
}
