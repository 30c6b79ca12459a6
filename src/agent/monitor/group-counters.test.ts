import { describe, expect, it } from 'vitest';

import { NO_COUNTERS } from '../drivers/attempt-counters.ts';
import { FakeTree } from './fake-tree.test-kit.ts';
import { GroupHierarchies } from './group-counters.ts';

const MIB = 1024 * 1024;

describe('a control group of version 2', () => {
  it('tells all that it counts', () => {
    const tree = new FakeTree();
    tree.write({
      'base/job/cpu.stat': 'usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n',
      'base/job/memory.current': `${100 * MIB}\n`,
      'base/job/memory.stat': `anon 1\nfile 2\ninactive_file ${30 * MIB}\nactive_file 3\n`,
      'base/job/memory.max': `${256 * MIB}\n`,
      'base/job/io.stat':
        '8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=7 rios=1\n',
      'base/job/pids.current': '4\n',
      'base/job/cgroup.procs': '12\n',
      'base/job/inner/cgroup.procs': '13\n14\n',
    });
    const group = new GroupHierarchies(tree.mountinfo(2)).find('/base/job');
    expect(group?.read()).toEqual({
      ...NO_COUNTERS,
      cpuUs: 1500,
      memoryBytes: 70 * MIB,
      memoryLimitBytes: 256 * MIB,
      pids: 4,
      readBytes: 15,
      writtenBytes: 27,
    });
    expect(group?.processes()).toEqual([12, 13, 14]);
  });

  it('tells no more than it counts, and no limit where there is none', () => {
    const tree = new FakeTree();
    tree.write({ 'job/cpu.stat': 'usage_usec 7\n', 'job/memory.max': 'max\n', 'job/cgroup.procs': '' });
    const hierarchies = new GroupHierarchies(tree.mountinfo(2));
    expect(hierarchies.find('/job')?.read()).toEqual({ ...NO_COUNTERS, cpuUs: 7 });
    expect(hierarchies.find('/other')).toBeNull();
  });

  it('has the limit that an engine sets on the one group below it, and not one of several', () => {
    const tree = new FakeTree();
    tree.write({
      'one/memory.max': 'max\n',
      'one/container/memory.max': '4096\n',
      'two/memory.max': '8192\n',
      'two/a/memory.max': '4096\n',
      'two/b/memory.max': '4096\n',
    });
    const hierarchies = new GroupHierarchies(tree.mountinfo(2));
    const limits = ['/one', '/two'].map((name) => hierarchies.find(name)?.read()?.memoryLimitBytes);
    expect(limits).toEqual([4096, 8192]);
  });

  it('is gone once it is removed', () => {
    const tree = new FakeTree();
    tree.write({ 'job/cpu.stat': 'usage_usec 7\n' });
    const group = new GroupHierarchies(tree.mountinfo(2)).find('/job');
    tree.remove('job');
    expect(group?.read()).toBeNull();
  });
});

describe('a control group of version 1', () => {
  const ALL = ['freezer', 'cpu', 'cpuacct', 'memory', 'blkio', 'pids'];

  it('tells all that its hierarchies count', () => {
    const tree = new FakeTree();
    tree.write({
      'freezer/job/cgroup.procs': '12\n',
      'cpuacct/job/cpuacct.usage': '2500000\n',
      'memory/job/memory.usage_in_bytes': `${100 * MIB}\n`,
      'memory/job/memory.stat': `inactive_file 1\ntotal_inactive_file ${40 * MIB}\n`,
      'memory/job/memory.limit_in_bytes': '9223372036854771712\n',
      'blkio/job/blkio.throttle.io_service_bytes_recursive':
        '8:0 Read 100\n8:0 Write 30\n8:0 Total 130\n8:16 Read 1\n8:16 Write 2\nTotal 133\n',
      'pids/job/pids.current': '2\n',
    });
    expect(new GroupHierarchies(tree.mountinfo(1, ALL)).find('/job')?.read()).toEqual({
      ...NO_COUNTERS,
      cpuUs: 2500,
      memoryBytes: 60 * MIB,
      pids: 2,
      readBytes: 101,
      writtenBytes: 32,
    });
  });

  it('need not be in all hierarchies', () => {
    const tree = new FakeTree();
    tree.write({ 'freezer/job/cgroup.procs': '12\n', 'memory/job/memory.limit_in_bytes': '4096\n' });
    const group = new GroupHierarchies(tree.mountinfo(1, ALL)).find('/job');
    expect(group?.read()).toEqual({ ...NO_COUNTERS, memoryLimitBytes: 4096 });
    expect(group?.processes()).toEqual([12]);
  });

  it('that holds only processes is there, and tells nothing', () => {
    const tree = new FakeTree();
    tree.write({ 'freezer/job/cgroup.procs': '12\n' });
    const group = new GroupHierarchies(tree.mountinfo(1, ALL)).find('/job');
    expect(group?.read()).toEqual(NO_COUNTERS);
    tree.remove('freezer/job');
    expect(group?.read()).toBeNull();
  });

  it('counts what is below it where the kernel does not', () => {
    const tree = new FakeTree();
    tree.write({
      'memory/job/memory.usage_in_bytes': '0\n',
      'memory/job/container/memory.usage_in_bytes': '70\n',
      'memory/job/container/memory.stat': 'total_inactive_file 20\n',
    });
    expect(new GroupHierarchies(tree.mountinfo(1, ALL)).find('/job')?.read()?.memoryBytes).toBe(50);
  });
});
