import { describe, expect, it } from 'vitest';

import type { NodePolicy } from './policy.ts';
import { DEFAULT_POLICY, violationsOf, violationsOfNeeds } from './policy.ts';
import type { ContainerSpec } from './task.ts';

function forbidden(changes: Partial<ContainerSpec>, policy: Partial<NodePolicy> = {}): string[] {
  const container: ContainerSpec = {
    image: 'python:3.9',
    user: null,
    mounts: [],
    network: 'bridge',
    pullPolicy: 'always',
    ...changes,
  };
  return violationsOf(container, { ...DEFAULT_POLICY, ...policy }).map(
    ({ path, message }) => `${path.join('.')} ${message}`,
  );
}

function mount(source: string, readOnly: boolean): Pick<ContainerSpec, 'mounts'> {
  return { mounts: [{ source, target: '/data', readOnly }] };
}

describe('a policy', () => {
  it('allows by default what touches nothing of the node', () => {
    expect(forbidden({})).toEqual([]);
    expect(forbidden({ user: 'root', network: 'none', image: 'localhost:5000/a' })).toEqual([]);
  });

  it('names everything that it forbids, and what it allows', () => {
    const policy = { mounts: [{ source: '/srv', readOnly: true }], users: ['app'], registries: [] };
    expect(forbidden({ ...mount('/etc', true), network: 'host', user: 'root' }, policy)).toEqual([
      'mounts.0 "/etc" is forbidden by policy.mounts, which allows /srv',
      'network host is forbidden by policy.host_network',
      'user "root" is forbidden by policy.users, which allows app',
      'image docker.io is forbidden by policy.registries, which allows none',
    ]);
    expect(forbidden({}, { users: ['app'] })).toEqual([
      "user the image's own user is forbidden by policy.users, which allows app",
    ]);
  });

  it('says of a command only who it may be', () => {
    const closed = { ...DEFAULT_POLICY, users: ['app'], registries: [] };
    const ofUser = (user: string | null) =>
      violationsOfNeeds({ registry: null, user, cgroups: false }, closed);
    expect(ofUser('app')).toEqual([]);
    // As the node itself: whoever lets it run commands wants that.
    expect(ofUser(null)).toEqual([]);
    expect(violationsOfNeeds(null, closed)).toEqual([]);
    expect(ofUser('root')).toEqual([
      { path: ['user'], message: '"root" is forbidden by policy.users, which allows app' },
    ]);
  });

  it('names no more than fits a message', () => {
    const users = Array.from({ length: 12 }, (_, at) => `u${at}`);
    expect(forbidden({ user: 'root' }, { users })).toEqual([expect.stringMatching(/u8, u9 and 2 more$/)]);
  });

  it.each([
    ['/srv', false, true],
    ['/srv/a', false, true],
    ['/srvx', false, false],
    ['/', false, false],
    ['/ro/a', true, true],
    ['/ro/a', false, false],
    ['/ro/rw/a', false, true],
  ])('of mounts: %s, read only %s: %s', (source, readOnly, isAllowed) => {
    const mounts = [
      { source: '/srv', readOnly: false },
      { source: '/ro', readOnly: true },
      { source: '/ro/rw', readOnly: false },
    ];
    expect(forbidden(mount(source, readOnly), { mounts }).length === 0).toBe(isAllowed);
  });
});
