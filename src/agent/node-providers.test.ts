import { describe, expect, it } from 'vitest';

import { parseConfig } from './config.ts';
import { processHost } from './node-providers.ts';

const REQUIRED = { name: 'n1', data_dir: '/data', listen: '127.0.0.1:7101', http: '127.0.0.1:8101' };

describe('what a node made here has in common with this one', () => {
  it('is said in a file that a node can read, and means the same there', () => {
    const config = parseConfig({
      ...REQUIRED,
      peers: 'n1=10.0.0.1:7101',
      advertise: '10.0.0.1:7101',
      capacity: 'cpu=4,memory=8Gi',
      labels: 'zone=a',
      auth: true,
      drivers: 'process',
      lease_reads: true,
      insecure: true,
      log_level: 'warn',
      policy: {
        mounts: ['/a', { source: '/b', read_only: true }],
        host_network: true,
        users: ['1000:1000'],
        capabilities: ['NET_RAW'],
        devices: ['/dev/null'],
        registries: { 'docker.io': {}, 'registry.example.com': { credentials: '/etc/registry.json' } },
        log_limits: { max_file_bytes: '1Mi', max_files: 7 },
        image_limits: { max_age: '3d', max_bytes: '5Gi' },
      },
    });
    const host = processHost(config, 'cluster-a');
    expect(host).toMatchObject({
      clusterId: 'cluster-a',
      dataDirectory: '/data',
      hosts: { listen: '127.0.0.1', advertise: '10.0.0.1', http: '127.0.0.1' },
      capacity: { cpuMillis: 4000, memoryBytes: 8 * 2 ** 30 },
      labels: { zone: 'a' },
    });
    const written: unknown = JSON.parse(JSON.stringify(host.settings));
    const made = parseConfig({ ...REQUIRED, join: '10.0.0.1:7101', ...(written as object) });
    for (const key of ['auth', 'drivers', 'leaseReads', 'insecure', 'logLevel', 'policy'] as const)
      expect(made[key]).toEqual(config[key]);
  });

  it('leaves to each what the settings leave open', () => {
    const config = parseConfig({ ...REQUIRED, peers: 'n1=127.0.0.1:7101' });
    const made = parseConfig({
      ...REQUIRED,
      join: '127.0.0.1:7101',
      ...processHost(config, 'cluster-a').settings,
    });
    expect(made).toMatchObject({ drivers: null, auth: false, policy: config.policy });
  });
});
