import { mkdirSync, mkdtempSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Cgroups } from './cgroups.ts';

/** Directories that look like hierarchies: what the kernel makes of them is tested with real containers. */
describe('Cgroups', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'jarvis-cgroups-'));
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  function mounted(...hierarchies: readonly (readonly [type: string, name: string])[]): string {
    return hierarchies
      .map(([type, name]) => {
        mkdirSync(path.join(root, name), { recursive: true });
        return `30 25 0:26 / ${path.join(root, name)} rw,nosuid - ${type} ${type} rw,${name}`;
      })
      .join('\n');
  }

  it('finds none where none is mounted', () => {
    expect(Cgroups.find('22 1 8:1 / / rw - ext4 /dev/sda1 rw')).toBeNull();
  });

  it('takes version 1 where it is beside version 2', () => {
    expect(
      Cgroups.find(mounted(['cgroup', 'memory'], ['cgroup', 'freezer'], ['cgroup2', 'unified']))?.version,
    ).toBe(1);
    expect(Cgroups.find(mounted(['cgroup2', 'only']))?.version).toBe(2);
  });

  it('lists who is in a group and below it, in the hierarchy that freezes', () => {
    const cgroups = Cgroups.find(mounted(['cgroup', 'memory'], ['cgroup', 'freezer']));
    mkdirSync(path.join(root, 'freezer/attempt/inner'), { recursive: true });
    writeFileSync(path.join(root, 'freezer/attempt/cgroup.procs'), '11\n12\n');
    writeFileSync(path.join(root, 'freezer/attempt/inner/cgroup.procs'), '0\n13\n');
    expect(cgroups?.pids('/attempt')).toEqual([11, 12, 13]);
    expect(cgroups?.pids('/other')).toEqual([]);
  });

  it('removes a group everywhere, and says where it could not', () => {
    const cgroups = Cgroups.find(
      mounted(['cgroup', 'memory'], ['cgroup', 'freezer'], ['cgroup2', 'unified']),
    );
    for (const name of ['memory', 'freezer', 'unified'])
      mkdirSync(path.join(root, name, 'attempt-1/inner'), { recursive: true });
    writeFileSync(path.join(root, 'freezer/attempt-1/busy'), '');
    expect(cgroups?.namesBeginning('attempt-')).toEqual(['/attempt-1']);
    expect(cgroups?.remove('/attempt-1')).toBe(false);
    rmSync(path.join(root, 'freezer/attempt-1/busy'));
    expect(cgroups?.remove('/attempt-1')).toBe(true);
    expect(cgroups?.remove('/attempt-1')).toBe(true);
    expect(existsSync(path.join(root, 'unified/attempt-1'))).toBe(false);
  });
});
