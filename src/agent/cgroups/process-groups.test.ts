import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { homeOf, parseMounts } from './hierarchies.ts';
import type { GroupLimits, ProcessGroups, Removed } from './process-groups.ts';
import { findProcessGroups } from './process-groups.ts';

const UNLIMITED: GroupLimits = { cpuMillis: null, memoryBytes: null, pids: null };
const OTHER_USER = 65_534;
const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');

/** Of this machine, by one version alone. */
function groupsOf(version: 1 | 2): ProcessGroups | null {
  const type = version === 1 ? ' - cgroup ' : ' - cgroup2 ';
  return findProcessGroups(mounts.filter((line) => line.includes(type)).join('\n'));
}

function failing(): never {
  throw new Error('no');
}

function takeMemory(): Buffer {
  return Buffer.alloc(64 << 20, 1);
}

function failureOf(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

async function removed(groups: ProcessGroups, group: string): Promise<Removed> {
  for (let tries = 0; tries < 500; tries += 1) {
    const found = groups.remove(group);
    if (found !== null) return found;
    await delay(5);
  }
  throw new Error(`${group} does not become empty`);
}

for (const version of [1, 2] as const) {
  const available = groupsOf(version);
  describe.skipIf(available === null)(`process groups of version ${version}, as this kernel has them`, () => {
    const groups = available as ProcessGroups;
    let group: string;
    beforeEach(() => {
      group = groups.groupOf(`jarvis-test-${process.pid}-${randomBytes(4).toString('hex')}`);
    });
    afterEach(async () => {
      await groups.kill(group);
      await removed(groups, group);
    });

    function run(script: string, limits = UNLIMITED): ChildProcess {
      return groups.enclose(group, limits, () => spawn('sh', ['-c', script], { stdio: 'ignore' }));
    }

    it('is what it says', () => {
      expect(groups.version).toBe(version);
    });

    it('encloses what is spawned, and not this process', async () => {
      const child = run('sleep 1000');
      const membership = readFileSync(`/proc/${child.pid}/cgroup`, 'utf8');
      expect(membership).toContain(group);
      expect(readFileSync('/proc/self/cgroup', 'utf8')).not.toContain(group);
      expect(groups.isOccupied(group)).toBe(true);
      expect(groups.remove(group)).toBeNull();
      await groups.kill(group);
      expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
      expect(await removed(groups, group)).toEqual({ outOfMemory: false });
      expect(groups.isOccupied(group)).toBe(false);
    });

    it('leaves it when nothing could be spawned', async () => {
      expect(() => groups.enclose(group, UNLIMITED, failing)).toThrow('no');
      expect(readFileSync('/proc/self/cgroup', 'utf8')).not.toContain(group);
      expect(groups.remove(group)).not.toBeNull();
    });

    it('never encloses anything in a group that is there already', () => {
      run('true');
      expect(() => run('true')).toThrow(/cannot make the control group.*EEXIST/);
    });

    it('kills what left its session and cleared its environment', async () => {
      const child = run('env -i setsid sh -c "while :; do sleep 0.01; done" & exit 3');
      expect(await once(child, 'exit')).toEqual([3, null]);
      expect(groups.isOccupied(group)).toBe(true);
      await groups.kill(group);
      await removed(groups, group);
    });

    it('kills what is gone again before it could be killed by its number', async () => {
      await once(run('f() { sleep 0.001; f & exit; }; f'), 'exit');
      expect(groups.isOccupied(group)).toBe(true);
      for (let rounds = 0; groups.isOccupied(group); rounds += 1) {
        expect(rounds).toBeLessThan(50);
        await groups.kill(group);
        await delay(1);
      }
      expect(await removed(groups, group)).toEqual({ outOfMemory: false });
    });

    it('kills what has been frozen in a group of its own below', async () => {
      const freezer = parseMounts(mounts.join('\n')).find(
        (each) => each.version === version && (version === 2 || each.controllers.includes('freezer')),
      );
      const below = path.join(freezer?.folder ?? '', group, 'below');
      const child = run('sleep 1000');
      mkdirSync(below);
      writeFileSync(path.join(below, 'cgroup.procs'), String(child.pid));
      const [file, value] = version === 1 ? ['freezer.state', 'FROZEN'] : ['cgroup.freeze', '1'];
      writeFileSync(path.join(below, file), value);
      await delay(20);
      await groups.kill(group);
      expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
      await removed(groups, group);
    });

    it('finds it by its name', () => {
      run('sleep 1000');
      const name = path.basename(group);
      expect(groups.groupsBeginning(name.slice(0, -2))).toEqual([group]);
      expect(groups.groupsBeginning(`${name}x`)).toEqual([]);
    });

    it('has nothing against what is not there', async () => {
      await groups.kill(group);
      expect(groups.isOccupied(group)).toBe(false);
      expect(groups.remove(group)).toEqual({ outOfMemory: false });
    });

    it.skipIf(available?.limitable.has('memory') !== true)(
      'says that it took too much before it was limited',
      () => {
        const limits = { ...UNLIMITED, memoryBytes: 6 << 20 };
        const failure = failureOf(() => groups.enclose(group, limits, takeMemory));
        expect(failure).toMatchObject({ name: 'GroupFailure', outOfMemory: true });
      },
    );

    it.skipIf(available?.limitable.size === 3)('refuses to start what it cannot limit', () => {
      const limits = { cpuMillis: 500, memoryBytes: 64 * 1024 * 1024, pids: 10 };
      expect(() => run('true', limits)).toThrow('this node has no control groups that enforce limits.');
    });
  });
}

/** Prints where it makes groups, and that it can kill and remove them. */
const DELEGATE = `
  const { spawn } = await import('node:child_process');
  const { findProcessGroups } = await import(process.argv[1]);
  const groups = findProcessGroups(process.argv[2]);
  const group = groups.groupOf('attempt');
  const unlimited = { cpuMillis: null, memoryBytes: null, pids: null };
  groups.enclose(group, unlimited, () => spawn('sh', ['-c', 'env -i setsid sleep 1000 & exec sleep 1000']));
  await groups.kill(group);
  while (groups.remove(group) === null) await new Promise((resolve) => setTimeout(resolve, 1));
  console.log(group);
`;

const unified = groupsOf(2);
describe.skipIf(unified === null || process.getuid?.() !== 0)('a part of the tree of version 2', () => {
  const type2 = mounts.filter((line) => line.includes(' - cgroup2 ')).join('\n');
  const folder = parseMounts(type2)[0]?.folder ?? '';
  const name = `jarvis-test-${process.pid}-${randomBytes(4).toString('hex')}`;
  afterEach(() => {
    unified?.remove(`/${name}`);
  });

  it.each(['/service', ''])(
    'that another user was given, and is in as its %j, will do for it',
    async (leaf) => {
      const part = path.join(folder, name);
      if (leaf !== '') mkdirSync(part);
      const script = ['--input-type=module', '-e', DELEGATE];
      const module = new URL('process-groups.ts', import.meta.url).href;
      const child = unified?.enclose(`/${name}${leaf}`, UNLIMITED, () => {
        for (const inside of new Set([part, path.join(folder, name, leaf)])) {
          chownSync(inside, OTHER_USER, OTHER_USER);
          for (const file of readdirSync(inside)) chownSync(path.join(inside, file), OTHER_USER, OTHER_USER);
        }
        return spawn(process.execPath, [...script, module, type2], {
          uid: OTHER_USER,
          gid: OTHER_USER,
          stdio: ['ignore', 'pipe', 'inherit'],
        });
      });
      const output: Buffer[] = [];
      child?.stdout.on('data', (chunk: Buffer) => output.push(chunk));
      expect(await once(child ?? process, 'close')).toEqual([0, null]);
      expect(Buffer.concat(output).toString()).toBe(`/${name}/attempt\n`);
    },
  );
});

describe('process groups of version 2 in plain directories', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'jarvis-cgroups-'));
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  function mounted(): string {
    return `30 25 0:26 / ${root} rw,nosuid - cgroup2 cgroup2 rw`;
  }

  function read(file: string): string {
    return readFileSync(path.join(root, file), 'utf8');
  }

  it('limits once the child is enclosed, and never counts this process', () => {
    writeFileSync(path.join(root, 'cgroup.subtree_control'), 'cpu memory pids\n');
    mkdirSync(path.join(root, 'home'));
    const groups = findProcessGroups(mounted(), '0::/home\n');
    let during = '';
    // A kernel's group has this file from the beginning, where swap is counted.
    groups?.enclose('/a', { cpuMillis: 1500, memoryBytes: 64 << 20, pids: 20 }, () => {
      during = read('a/pids.max');
      writeFileSync(path.join(root, 'a/memory.swap.max'), 'max');
      expect(existsSync(path.join(root, 'a/memory.max'))).toBe(false);
    });
    expect(Number(during)).toBeGreaterThan(20);
    expect(read('a/pids.max')).toBe('20');
    expect(read('a/cpu.max')).toBe('150000 100000');
    expect(read('a/cpu.weight')).toBe('10');
    expect(read('a/memory.max')).toBe(String(64 << 20));
    expect(read('a/memory.swap.max')).toBe('0');
    // In and out again.
    expect(read('a/cgroup.procs')).toBe('0');
    expect(read('home/cgroup.procs')).toBe('0');
  });

  it('says that the kernel was out of memory', () => {
    writeFileSync(path.join(root, 'cgroup.subtree_control'), '');
    const groups = findProcessGroups(mounted(), '0::/\n');
    expect(groups?.remove('/a')).toEqual({ outOfMemory: false });
    expect([...(groups?.limitable ?? ['x'])]).toEqual([]);
  });
});

describe('where this process is', () => {
  const [one, two, part] = parseMounts(
    [
      '30 25 0:26 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer',
      '31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
      '32 25 0:28 /docker/a /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids',
    ].join('\n'),
  );

  it('is found by the controllers of the hierarchy', () => {
    const membership = '9:pids:/docker/a/b:c\n6:cpu,freezer:/x\n1:name=systemd:/\n0::/y\n';
    expect(one && homeOf(one, membership)).toBe('/sys/fs/cgroup/freezer/x');
    expect(two && homeOf(two, membership)).toBe('/sys/fs/cgroup/unified/y');
    expect(part && homeOf(part, membership)).toBe('/sys/fs/cgroup/pids/b:c');
  });

  it('is nowhere where that part is not mounted', () => {
    expect(part && homeOf(part, '9:pids:/other\n')).toBeNull();
    expect(part && homeOf(part, '8:memory:/docker/a\n')).toBeNull();
  });
});
