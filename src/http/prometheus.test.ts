import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

let cluster: TestCluster;
let server: HttpServer;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  const operations = testOperations(cluster, 'n2', { remotes: inProcessRemotes(new Map()) });
  server = createHttpServer({
    operations,
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
  });
});

afterEach(async () => {
  await server.close(0);
});

async function targets(): Promise<unknown> {
  const response = await server.app.inject({ method: 'GET', url: '/prometheus/targets' });
  expect(response.statusCode).toBe(200);
  expect(response.headers['content-type']).toMatch(/^application\/json/);
  return response.json();
}

describe('the targets of Prometheus', () => {
  it('are none before there are nodes', async () => {
    expect(await targets()).toEqual([]);
  });

  it('are the HTTP addresses of all nodes, with their names, versions and labels, also without a leader', async () => {
    cluster.register('n1', 'host-1:7101', { http: 'host-1:8101', labels: [['topology.zone/a-b', 'x']] });
    cluster.register('n2', 'host-2:7101', { http: 'host-2:8101' });
    cluster.lead(null);
    expect(await targets()).toEqual([
      {
        targets: ['host-1:8101'],
        labels: {
          __meta_jarvis_node: 'n1',
          __meta_jarvis_version: '0',
          __meta_jarvis_label_topology_zone_a_b: 'x',
        },
      },
      {
        targets: ['host-2:8101'],
        labels: {
          __meta_jarvis_node: 'n2',
          __meta_jarvis_version: '0',
          __meta_jarvis_label_zone: 'a',
        },
      },
    ]);
  });

  it.each([
    ['0.0.0.0:8101', '10.0.0.7:7101', '10.0.0.7:8101'],
    ['[::]:8101', '[fd00::7]:7101', '[fd00::7]:8101'],
    ['[fd00::9]:8101', '10.0.0.7:7101', '[fd00::9]:8101'],
  ])('of a node that listens on %s and is known as %s is %s', async (http, address, expected) => {
    cluster.register('n1', address, { http });
    expect(await targets()).toMatchObject([{ targets: [expected] }]);
  });
});
