import { execFileSync } from 'node:child_process';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { systemClock } from '../../../lib/clock.ts';
import type { Clock } from '../../../lib/clock.ts';
import { VirtualClock } from '../../../lib/testing/virtual-clock.ts';
import type { AwsScaling } from '../../../model/autoscaling.ts';
import { CLUSTER_ID, describeProvider, instanceRequest } from '../provider-contract.test-kit.ts';
import { AwsProvider } from './aws-provider.ts';
import { Ec2Server } from './ec2-server.test-kit.ts';
import { userDataOf } from './user-data.ts';

const never = new AbortController().signal;
const SETTINGS: AwsScaling = {
  region: 'eu-central-1',
  instanceType: 'm7i.large',
  imageId: 'ami-1',
  subnetId: 'subnet-1',
  securityGroupIds: ['sg-1', 'sg-2'],
  keyName: 'ops',
  instanceProfile: 'jarvis-node',
};

function providerOf(
  server: Ec2Server,
  changes: {
    readonly clusterId?: string;
    readonly settings?: AwsScaling | null;
    readonly clock?: Clock;
  } = {},
): AwsProvider {
  const { clusterId = CLUSTER_ID, settings = SETTINGS, clock = systemClock } = changes;
  return new AwsProvider({
    clusterId,
    settings: () => settings,
    clock,
    client: {
      endpoint: server.endpoint,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    },
  });
}

describeProvider('aws', async () => {
  const server = await Ec2Server.start();
  return {
    provider: providerOf(server),
    again: () => providerOf(server),
    stranger: () => providerOf(server, { clusterId: 'cluster-b' }),
    end: async (id) => {
      const machine = server.machines.get(id);
      if (machine !== undefined) machine.state = 'terminated';
    },
    leftovers: async () =>
      [...server.machines.values()].filter(({ state }) => state !== 'terminated').map(({ id }) => id),
    // User data is for those with the right to read it.
    said: async () => JSON.stringify([...server.machines.values()].map(({ tags }) => [...tags])),
    dispose: () => server.stop(),
  };
});

describe('aws', () => {
  let server: Ec2Server;
  beforeEach(async () => {
    server = await Ec2Server.start();
  });
  afterEach(() => server.stop());

  it('asks for what the settings say, with its tags', async () => {
    const { id } = await providerOf(server).create(instanceRequest(), never);
    const { asked, tags } = server.machines.get(id) ?? { asked: new Map(), tags: new Map() };
    expect(Object.fromEntries(asked)).toMatchObject({
      MinCount: '1',
      MaxCount: '1',
      InstanceType: 'm7i.large',
      ImageId: 'ami-1',
      SubnetId: 'subnet-1',
      'SecurityGroupId.1': 'sg-1',
      'SecurityGroupId.2': 'sg-2',
      KeyName: 'ops',
      'IamInstanceProfile.Name': 'jarvis-node',
      InstanceInitiatedShutdownBehavior: 'terminate',
      ClientToken: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(Object.fromEntries(tags)).toEqual({
      'jarvis:cluster': CLUSTER_ID,
      'jarvis:token': 'token-1',
      'jarvis:node': 'auto-1',
      Name: 'auto-1',
    });
    const script = Buffer.from(String(asked.get('UserData')), 'base64').toString();
    expect(script).toBe(userDataOf(instanceRequest()));
  });

  it.each([
    ['RequestLimitExceeded', 503, 'throttled'],
    ['VcpuLimitExceeded', 400, 'quota'],
    ['InstanceLimitExceeded', 400, 'quota'],
    ['InsufficientInstanceCapacity', 500, 'capacity'],
    ['UnauthorizedOperation', 403, 'denied'],
    ['AuthFailure', 401, 'denied'],
    ['InvalidAMIID.NotFound', 400, 'invalid'],
    ['MissingParameter', 400, 'invalid'],
    ['InternalError', 500, 'unavailable'],
    ['ServiceUnavailable', 503, 'unavailable'],
  ])('takes %s for what it is', async (code, status, kind) => {
    server.fail('RunInstances', { status, code });
    const refused = providerOf(server).create(instanceRequest(), never);
    await expect(refused).rejects.toMatchObject({
      kind,
      message: `aws: RunInstances: ${code}: the message of ${code}`,
    });
    expect(server.machines.size).toBe(0);
    // Asked once: who waits how long is the autoscaler's to say.
    expect(server.calls).toEqual(['DescribeInstances', 'RunInstances']);
  });

  it('says what is wrong with lists and ends, too', async () => {
    const provider = providerOf(server);
    const throttled = { status: 503, code: 'RequestLimitExceeded' };
    server.fail('DescribeInstances', throttled, throttled);
    server.fail('TerminateInstances', throttled);
    await expect(provider.list(never)).rejects.toMatchObject({ kind: 'throttled' });
    await expect(provider.create(instanceRequest(), never)).rejects.toMatchObject({ kind: 'throttled' });
    await expect(provider.terminate('i-0123456789abcdef0', never)).rejects.toMatchObject({
      kind: 'throttled',
    });
  });

  it('makes no more than the quota allows, and the rest once there is room', async () => {
    server.quota = 2;
    const provider = providerOf(server);
    const asked = ['t1', 't2', 't3'].map((clientToken) =>
      provider.create(instanceRequest({ clientToken, node: clientToken }), never),
    );
    const outcomes = await Promise.allSettled(asked);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { kind: 'quota' } });
    server.quota = 3;
    for (const clientToken of ['t1', 't2', 't3'])
      await provider.create(instanceRequest({ clientToken, node: clientToken }), never);
    expect(server.machines.size).toBe(3);
  });

  it('makes one, where the answer was lost and the lists are late', async () => {
    server.fail('RunInstances', { status: 500, code: 'InternalError', isDone: true });
    const provider = providerOf(server);
    await expect(provider.create(instanceRequest(), never)).rejects.toMatchObject({ kind: 'unavailable' });
    const [made = ''] = server.machines.keys();
    server.unknown.add(made);
    expect(await provider.create(instanceRequest(), never)).toMatchObject({ id: made, node: 'auto-1' });
    // Another leader asks with another join token.
    const other = instanceRequest({ joinToken: null });
    await expect(providerOf(server).create(other, never)).rejects.toMatchObject({
      kind: 'unavailable',
      message: 'aws: token-1 was made and is not listed yet',
    });
    server.unknown.clear();
    expect(await providerOf(server).create(other, never)).toMatchObject({ id: made });
    expect(server.machines.size).toBe(1);
  });

  it('does not take for gone what EC2 does not know yet', async () => {
    const clock = new VirtualClock();
    const provider = providerOf(server, { clock });
    const { id } = await provider.create(instanceRequest(), never);
    server.unknown.add(id);
    await expect(provider.terminate(id, never)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(server.machines.get(id)?.state).not.toBe('terminated');
    await clock.advance(300_000);
    await provider.terminate(id, never);
  });

  it('lists all pages, and no end of them', async () => {
    const provider = providerOf(server);
    for (const clientToken of ['t1', 't2', 't3', 't4', 't5'])
      await provider.create(instanceRequest({ clientToken, node: clientToken }), never);
    server.pageSize = 2;
    server.calls.length = 0;
    expect((await provider.list(never)).map(({ node }) => node)).toEqual(['t1', 't2', 't3', 't4', 't5']);
    expect(server.calls).toHaveLength(3);
    // Half a list is none.
    server.faults.set('DescribeInstances', []);
    server.isEndless = true;
    await expect(provider.list(never)).rejects.toMatchObject({
      kind: 'unavailable',
      message: 'aws: DescribeInstances goes on after 100 pages',
    });
  });

  it('shows in which state it is', async () => {
    const provider = providerOf(server);
    const { id } = await provider.create(instanceRequest(), never);
    const machine = server.machines.get(id);
    if (machine === undefined) throw new Error('it was made');
    for (const [state, shown] of [
      ['pending', 'pending'],
      ['running', 'running'],
      ['shutting-down', 'stopping'],
      ['stopped', 'stopping'],
      ['terminated', 'gone'],
    ] as const) {
      machine.state = state;
      expect(await provider.list(never)).toMatchObject([{ id, state: shown }]);
    }
  });

  it('needs settings, with an image', async () => {
    const kind = 'invalid';
    const none = providerOf(server, { settings: null });
    await expect(none.create(instanceRequest(), never)).rejects.toMatchObject({ kind });
    await expect(none.list(never)).rejects.toMatchObject({ kind });
    const imageless = providerOf(server, { settings: { ...SETTINGS, imageId: null } });
    await expect(imageless.create(instanceRequest(), never)).rejects.toMatchObject({
      kind,
      message: 'autoscaling.aws.image_id is required: an image that has jarvisd',
    });
  });
});

describe('the script of a new machine', () => {
  it('is a shell script, with the token in a file of its own and no more', () => {
    const labels = { pool: 'auto', note: 'a "b" $c `d` \\e' };
    const script = userDataOf(instanceRequest({ joinToken: 'jarvisjoin_a_b', labels }));
    execFileSync('sh', ['-n'], { input: script });
    expect(script).toContain(
      "cat > /etc/jarvis/join-token <<'END_OF_FILE'\njarvisjoin_a_b\nEND_OF_FILE\nchmod 600 /etc/jarvis/join-token",
    );
    expect(script.split('jarvisjoin_a_b')).toHaveLength(2);
    const lines = script.split('\n').filter((line) => line.startsWith('JARVISD_'));
    const read = execFileSync('sh', ['-c', 'set -a; eval "$(cat)"; env | grep ^JARVISD_ | sort'], {
      input: lines.join('\n'),
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    });
    expect(read.trimEnd().split('\n')).toEqual([
      'JARVISD_CAPACITY=cpu=500m,memory=67108864',
      'JARVISD_JOIN=127.0.0.1:7101',
      'JARVISD_JOIN_TOKEN_FILE=/etc/jarvis/join-token',
      'JARVISD_LABELS=pool=auto,note=a "b" $c `d` \\e',
      'JARVISD_NAME=auto-1',
    ]);
  });

  it('leaves out what is not asked for, and refuses what cannot be said', () => {
    const capacity = { cpuMillis: null, memoryBytes: null };
    const script = userDataOf(instanceRequest({ joinToken: null, capacity, labels: {} }));
    expect(script).not.toMatch(/TOKEN_FILE|CAPACITY|LABELS/);
    expect(() => userDataOf(instanceRequest({ labels: { a: 'b,c=d' } }))).toThrow('label a is "b,c=d"');
    const join = Array.from({ length: 2000 }, () => '127.0.0.1:7101');
    expect(() => userDataOf(instanceRequest({ join }))).toThrow('allowed: 16384');
  });
});
