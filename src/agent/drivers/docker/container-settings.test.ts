import { describe, expect, it } from 'vitest';

import { DEFAULT_POLICY } from '../../../model/policy.ts';
import { attemptSpec, containerSpec } from '../driver-contract.test-kit.ts';
import { containerSettings } from './container-settings.ts';
import { DEFAULT_IMAGE_LIMITS } from './options.ts';
import type { AttemptSpec } from '../driver.ts';

const MIB = 1024 * 1024;
const LEAST = attemptSpec({ command: [], env: {}, container: containerSpec() });

function settingsOf(spec: AttemptSpec, policy: { capabilities?: string[]; devices?: string[] } = {}) {
  return containerSettings({
    spec,
    owner: { node: 'n1', incarnation: '1f2e3d4c-aaaa', dataDirectory: '/d' },
    policy: {
      shared: DEFAULT_POLICY,
      capabilities: [],
      devices: [],
      credentialFiles: new Map(),
      logLimits: { maxFileBytes: 1, maxFiles: 1 },
      imageLimits: DEFAULT_IMAGE_LIMITS,
      ...policy,
    },
    imageId: 'sha256:1',
    cgroupParent: '/group',
    exchangeDirectory: '/d/exchange',
    mounts: spec.container?.mounts ?? [],
  });
}

describe('containerSettings', () => {
  it('leaves to the image what the task does not say', () => {
    const settings = settingsOf(LEAST);
    expect(settings).not.toHaveProperty('Cmd');
    expect(settings).not.toHaveProperty('User');
    expect(settings).not.toHaveProperty('WorkingDir');
    expect(settings).not.toHaveProperty('Entrypoint');
  });

  it('takes away what nobody gave', () => {
    expect(settingsOf(LEAST).HostConfig).toMatchObject({
      Privileged: false,
      CapDrop: ['ALL'],
      CapAdd: [],
      SecurityOpt: ['no-new-privileges'],
      NetworkMode: 'bridge',
      IpcMode: 'private',
      Devices: [],
      RestartPolicy: { Name: 'no' },
      CgroupParent: '/group',
    });
    const { HostConfig } = settingsOf(LEAST, { capabilities: ['CHOWN'], devices: ['/dev/fuse'] });
    expect(HostConfig).toMatchObject({
      CapAdd: ['CHOWN'],
      Devices: [{ PathOnHost: '/dev/fuse', PathInContainer: '/dev/fuse', CgroupPermissions: 'rwm' }],
    });
  });

  it('sets no limit that the task does not have, and exactly those that it has', () => {
    const { HostConfig: none } = settingsOf(LEAST);
    for (const limit of ['Memory', 'MemorySwap', 'CpuQuota', 'PidsLimit'])
      expect(none).not.toHaveProperty(limit);
    const limits = { cpuMillis: 10, memoryBytes: 6 * MIB, pids: 1 };
    expect(settingsOf({ ...LEAST, limits }).HostConfig).toMatchObject({
      CpuPeriod: 100_000,
      CpuQuota: 1000,
      Memory: 6 * MIB,
      MemorySwap: 6 * MIB,
      MemoryReservation: 6 * MIB,
      PidsLimit: 1,
    });
    const tiny = { ...LEAST, resources: { cpuMillis: 1, memoryBytes: MIB } };
    expect(settingsOf(tiny).HostConfig).toMatchObject({ CpuShares: 2, MemoryReservation: MIB });
  });

  it('bears the labels of the task, and has the last word about its own', () => {
    const labels = { team: 'data', 'io.jarvis.task': 'another' };
    const { Labels } = settingsOf({ ...LEAST, container: containerSpec({ labels }) });
    expect(Labels).toMatchObject({ team: 'data', 'io.jarvis.task': LEAST.taskId });
  });

  it('gives the environment of the task, and has the last word about its own names', () => {
    const env = { A: 'x=y', B: 'two\nlines', JARVIS_RESULT_FILE: '/etc/passwd' };
    const { Env } = settingsOf({ ...LEAST, env });
    expect(Env).toContain('A=x=y');
    expect(Env).toContain('B=two\nlines');
    expect(Env?.filter((line) => line.startsWith('JARVIS_RESULT_FILE='))).toEqual([
      'JARVIS_RESULT_FILE=/run/jarvis/result.json',
    ]);
  });

  it('mounts as binds, which never make a directory on the host', () => {
    const mounts = [{ source: '/srv/data', target: '/data', readOnly: true }];
    const { HostConfig } = settingsOf({ ...LEAST, container: containerSpec({ mounts }) });
    expect(HostConfig).not.toHaveProperty('Binds');
    expect(HostConfig?.Mounts).toMatchObject([
      { Type: 'bind', Source: '/d/exchange', Target: '/run/jarvis', ReadOnly: false },
      { Type: 'bind', Source: '/srv/data', Target: '/data', ReadOnly: true },
    ]);
  });
});
