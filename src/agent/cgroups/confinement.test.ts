import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { allowedCpus, Confinement } from './confinement.ts';

const MACHINE = { cpuMillis: 4000, memoryBytes: 8 << 20 };
const PREFIX = 'jarvis-process-0123-';
/** What version 1 says where there is no limit. */
const NO_LIMIT = '9223372036854771712';

function confinement(mounts: readonly string[], membership: string, nowMs = () => 0): Confinement {
  const options = { prefixes: [PREFIX], machine: MACHINE, mountinfo: mounts.join('\n') };
  return new Confinement({ ...options, membership: () => membership, nowMs });
}

/** Files that look like those of the kernel. */
describe('confinement', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'jarvis-confinement-'));
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  function write(file: string, content: string): void {
    const full = path.join(root, file);
    mkdirSync(path.dirname(full), { recursive: true });
    writeFileSync(full, `${content}\n`);
  }

  function mount(type: 'cgroup' | 'cgroup2', name: string, of = '/'): string {
    mkdirSync(path.join(root, name), { recursive: true });
    return `30 25 0:26 ${of} ${path.join(root, name)} rw,nosuid - ${type} ${type} rw,${name}`;
  }

  it('is the tightest of the own group and those above, of version 2', async () => {
    const found = confinement([mount('cgroup2', 'only')], '0::/a/b/c\n');
    write('only/a/cpu.max', '150000 100000');
    write('only/a/cpu.stat', 'usage_usec 900\nuser_usec 1');
    write('only/a/b/cpu.max', 'max 100000');
    write('only/a/b/c/cpu.max', '300000 100000');
    write('only/a/b/memory.max', '4194304');
    write('only/a/b/memory.current', '3000');
    write('only/a/b/memory.stat', 'anon 5\ninactive_file 1000\nactive_file 7');
    write('only/a/b/c/memory.max', 'max');
    expect(found.bounds()).toEqual({ cpuMillis: 1500, memoryBytes: 4 << 20 });
    const { cpu, memoryBytes } = await found.measure();
    expect(memoryBytes).toBe(2000);
    expect(cpu?.quotaMillis).toBe(1500);
    expect(cpu).toMatchObject({ usedUs: 900, outsideMillis: 0 });
  });

  it('counts attempts whose groups are outside, and those inside once', async () => {
    let nowMs = 0;
    const found = confinement([mount('cgroup2', 'only')], '0::/node/daemon\n', () => nowMs);
    write('only/node/cpu.max', '50000 100000');
    write('only/node/cpu.stat', 'usage_usec 10');
    write(`only/node/${PREFIX}in/cpu.stat`, 'usage_usec 7');
    write(`only/${PREFIX}out/cpu.stat`, 'usage_usec 20');
    write('only/jarvis-process-other/cpu.stat', 'usage_usec 40');
    write(`only/jarvis.slice/${PREFIX}slice/cpu.stat`, 'usage_usec 80');
    // It has ended since it was found.
    mkdirSync(path.join(root, `only/${PREFIX}gone`));
    // What they have used so far is no rate.
    expect((await found.measure()).cpu).toMatchObject({ usedUs: 10, outsideMillis: 0 });
    nowMs = 2000;
    write('only/node/cpu.stat', 'usage_usec 500010');
    write('only/jarvis-process-other/cpu.stat', 'usage_usec 400040');
    write(`only/node/${PREFIX}in/cpu.stat`, 'usage_usec 300007');
    write(`only/${PREFIX}out/cpu.stat`, 'usage_usec 100020');
    write(`only/jarvis.slice/${PREFIX}slice/cpu.stat`, 'usage_usec 40080');
    // Begun since: all that it has used.
    write(`only/${PREFIX}new/cpu.stat`, 'usage_usec 60000');
    expect((await found.measure()).cpu).toMatchObject({ usedUs: 500_010, outsideMillis: 100 });
    nowMs = 4000;
    rmSync(path.join(root, `only/${PREFIX}out`), { recursive: true });
    expect((await found.measure()).cpu).toMatchObject({ usedUs: 500_010, outsideMillis: 0 });
  });

  it('is counted by another hierarchy of version 1', async () => {
    const mounts = [
      mount('cgroup', 'cpu'),
      mount('cgroup', 'cpuacct'),
      mount('cgroup', 'memory'),
      mount('cgroup2', 'unified'),
    ];
    const found = confinement(mounts, '4:memory:/n1\n2:cpuacct:/n1\n1:cpu:/n1\n0::/\n');
    write('cpu/cpu.cfs_quota_us', '-1');
    write('cpu/cpu.cfs_period_us', '100000');
    write('cpu/n1/cpu.cfs_quota_us', '20000');
    write('cpu/n1/cpu.cfs_period_us', '50000');
    write('cpuacct/n1/cpuacct.usage', '5000000');
    write('memory/memory.limit_in_bytes', NO_LIMIT);
    write('memory/n1/memory.limit_in_bytes', '1048576');
    write('memory/n1/memory.usage_in_bytes', '4096');
    write('memory/n1/memory.stat', 'inactive_file 1\ntotal_inactive_file 96');
    write(`memory/${PREFIX}out/memory.usage_in_bytes`, '500');
    expect(found.bounds()).toEqual({ cpuMillis: 400, memoryBytes: 1 << 20 });
    const { cpu, memoryBytes, memoryLimitBytes } = await found.measure();
    expect(cpu).toMatchObject({ usedUs: 5000, outsideMillis: 0 });
    expect(memoryBytes).toBe(4500);
    expect(memoryLimitBytes).toBe(found.bounds().memoryBytes);
  });

  it('is bounded, but not measured, where the whole machine is counted in the same group', async () => {
    const found = confinement(
      [mount('cgroup', 'cpu'), mount('cgroup', 'cpuacct')],
      '2:cpuacct:/\n1:cpu:/n1\n',
    );
    write('cpu/n1/cpu.cfs_quota_us', '20000');
    write('cpu/n1/cpu.cfs_period_us', '50000');
    write('cpuacct/cpuacct.usage', '5000000');
    expect(found.bounds().cpuMillis).toBe(400);
    expect((await found.measure()).cpu).toBeNull();
  });

  it('is the root of what is mounted in a container', async () => {
    const found = confinement([mount('cgroup2', 'only', '/docker/abc')], '0::/docker/abc\n');
    write('only/cpu.max', '50000 100000');
    write('only/cpu.stat', 'usage_usec 10');
    write(`only/${PREFIX}in/cpu.stat`, 'usage_usec 7');
    expect(found.bounds().cpuMillis).toBe(500);
    expect((await found.measure()).cpu).toMatchObject({ usedUs: 10, outsideMillis: 0 });
  });

  it('is the same scope for nodes in the same group, and another in another', async () => {
    write('only/a/cpu.max', '50000 100000');
    write('only/a/cpu.stat', 'usage_usec 10');
    write('only/b/cpu.max', '50000 100000');
    write('only/b/cpu.stat', 'usage_usec 10');
    const scopes = await Promise.all(
      ['/a', '/a/below', '/b'].map(
        async (group) =>
          (await confinement([mount('cgroup2', 'only')], `0::${group}\n`).measure()).cpu?.scope,
      ),
    );
    expect(scopes[0]).toBeDefined();
    expect(scopes[0]).toBe(scopes[1]);
    expect(scopes[0]).not.toBe(scopes[2]);
  });

  it.each([
    ['the quota is more than the machine', '900000 100000', String(16 << 20)],
    ['there is no quota', 'max 100000', 'max'],
  ])('is none where %s', async (_case, quota, limit) => {
    const found = confinement([mount('cgroup2', 'only')], '0::/a\n');
    write('only/a/cpu.max', quota);
    write('only/a/memory.max', limit);
    expect(found.bounds()).toEqual({ cpuMillis: null, memoryBytes: null });
    expect(await found.measure()).toEqual({ cpu: null, memoryBytes: null, memoryLimitBytes: null });
  });

  it('is none where there are no control groups', async () => {
    expect(confinement([], '').bounds()).toEqual({ cpuMillis: null, memoryBytes: null });
    // What it is in is outside of what is mounted.
    const found = confinement([mount('cgroup2', 'only', '/docker/abc')], '0::/../def\n');
    expect(await found.measure()).toEqual({ cpu: null, memoryBytes: null, memoryLimitBytes: null });
  });
});

describe('the processors that may be used', () => {
  it.each([
    ['0-3,5\n', 5],
    ['2\n', 1],
    ['\n', 8],
    ['odd\n', 8],
  ])('are counted in %j', (list, count) => {
    expect(allowedCpus(8, `Name:\tnode\nCpus_allowed_list:\t${list}Mems:\t0\n`)).toBe(count);
  });

  it('are all where nothing is said', () => {
    expect(allowedCpus(8, '')).toBe(8);
  });
});
