import { expect, it } from 'vitest';

import { systemClock } from '../../lib/clock.ts';
import { ChannelPool } from '../../rpc/channel.ts';
import { defaultSettings } from '../../spec/settings/settings.ts';
import { ClusterProviders } from './cluster-providers.ts';
import { MemoryProvider } from './memory-provider.test-kit.ts';

it('a provider is found by its name, and by whose machine it is', () => {
  const pool = new ChannelPool();
  const aws = new MemoryProvider({ name: 'aws', clusterId: 'cluster-a', clock: systemClock });
  const parts = {
    clusterId: 'cluster-a',
    pool,
    settings: () => defaultSettings(3).autoscaling,
    addressOf: (node: string) => (node === 'n1' ? '127.0.0.1:7101' : null),
  };
  const providers = new ClusterProviders({ ...parts, clouds: new Map([['aws', aws]]) });
  expect(providers.of('aws', null)).toBe(aws);
  expect(providers.of('command', null).name).toBe('command');
  expect(providers.of('process', 'n1').name).toBe('process');
  expect(providers.of('docker', 'n1').name).toBe('docker');
  expect(() => providers.of('process', 'n2')).toThrow(
    expect.objectContaining({
      kind: 'unavailable',
      message: 'process: the node n2 is not there, whose machine it is',
    }),
  );
  expect(() => providers.of('docker', null)).toThrow(expect.objectContaining({ kind: 'invalid' }));
  const fewer = new ClusterProviders({ ...parts, clouds: new Map() });
  expect(() => fewer.of('aws', null)).toThrow(expect.objectContaining({ kind: 'invalid' }));
  pool.close();
});
