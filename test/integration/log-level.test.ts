/** From which level on a node logs: changed through another node, seen in its own log, and recorded. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { TestCluster } from '../support/cluster.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { waitFor } from '../support/wait.ts';

const CHANGED = 'the level of this log is another one now';

type Line = Readonly<Record<string, unknown>>;

let cluster: TestCluster;
let token: string;
let leader: NodeProcess;
/** Everything is asked here. */
let follower: NodeProcess;
let other: NodeProcess;

beforeAll(async () => {
  cluster = await TestCluster.create({ env: { JARVISD_AUTH: 'true' } });
  try {
    await cluster.start();
    token = await waitFor('the token of the first admin', async () => {
      const file = cluster.nodes
        .map(({ settings }) => path.join(settings.dataDir, 'admin-token'))
        .find((each) => existsSync(each));
      return file !== undefined && readFileSync(file, 'utf8').trim();
    });
    for (const node of cluster.nodes) node.api.token = token;
    leader = await cluster.leader();
    [follower, other] = (await cluster.followers()) as [NodeProcess, NodeProcess];
  } catch (error) {
    process.stderr.write(cluster.logTails());
    throw error;
  }
});

afterAll(async () => {
  await cluster.dispose();
});

/** Complete ones. */
function linesOf(text: string): readonly Line[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1).trim();
  return whole === '' ? [] : whole.split('\n').map((line) => JSON.parse(line) as Line);
}

function logOf(node: NodeProcess): readonly Line[] {
  return linesOf(node.log());
}

function changesOf(node: NodeProcess): readonly Line[] {
  return logOf(node)
    .filter(({ msg }) => msg === CHANGED)
    .map(({ level, before, after }) => ({ level, before, after }));
}

function levelOf(node: NodeProcess): Promise<Line> {
  return follower.api.get<Line>(`/nodes/${node.name}/log-level`);
}

async function put(node: NodeProcess, body: object) {
  const answer = await follower.api.call('PUT', `/nodes/${node.name}/log-level`, JSON.stringify(body));
  return { status: answer.status, json: JSON.parse(answer.text) as Line };
}

async function cli(...words: readonly string[]) {
  return await cluster.cli(['node', 'log-level', ...words], {
    peer: follower.name,
    env: { JARVIS_TOKEN: token },
  });
}

describe('the level of the log of a node, asked of another', () => {
  it('is refused where it is none, and nothing changes', async () => {
    const { status, json } = await put(leader, { level: 'loud' });
    expect(status).toBe(422);
    expect(JSON.stringify(json)).toMatch(/loud/);
    expect(await levelOf(leader)).toMatchObject({ level: 'info', until: null });
    expect(changesOf(leader)).toEqual([]);
  });

  it('comes back by itself, and both changes stand in its log alone', async () => {
    const { stdout, status } = await cli(other.name, 'fatal', '--for', '1s', '-o', 'json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ node: other.name, level: 'fatal', configured: 'info' });
    await waitFor('the configured level', async () => (await levelOf(other))['level'] === 'info');
    expect(changesOf(other)).toEqual([
      { level: 'error', before: 'info', after: 'fatal' },
      { level: 'error', before: 'fatal', after: 'info' },
    ]);
    for (const node of [leader, follower]) expect(changesOf(node)).toEqual([]);
  });

  it('holds for loggers that were there before, and is recorded where it was asked for', async () => {
    expect(await put(leader, { level: 'debug', for: '10m' })).toMatchObject({
      status: 200,
      json: { node: leader.name, level: 'debug', configured: 'info' },
    });
    const table = await cli(leader.name);
    expect(table.stdout).toMatch(new RegExp(`${leader.name} +debug +info +\\d{4}-`));
    // The logger of the stream to a peer is a child, as old as the node.
    await other.end('SIGTERM');
    const line = await waitFor(
      'what the leader says of the peer at debug',
      () => logOf(leader).find(({ level, peer }) => level === 'debug' && peer === other.name) ?? null,
    );
    expect(line).toMatchObject({ node: leader.name });
    expect(logOf(follower).filter(({ level }) => level === 'debug')).toEqual([]);
    const file = path.join(follower.settings.dataDir, 'audit.log');
    const recorded = await waitFor('the record', () => {
      const found = linesOf(readFileSync(file, 'utf8')).filter(
        ({ operation, result }) => operation === 'setLogLevel' && result === 'ok',
      );
      return found.length >= 2 && found;
    });
    expect(recorded.map(({ target }) => target)).toEqual([other.name, leader.name]);
  });
});
