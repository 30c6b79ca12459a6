import { describe, expect, it } from 'vitest';

import { FakeTree } from './fake-tree.test-kit.ts';
import { MONITOR_LIMITS } from './limits.ts';
import { ProcessCounters, unitsOf } from './process-counters.ts';

const { pageBytes, ticksPerSecond } = unitsOf(Buffer.alloc(0));

/** proc_pid_stat(5). */
function stat(fields: {
  readonly name?: string;
  readonly ticks: readonly [number, number, number, number];
  readonly threads: number;
  readonly pages: number;
}): string {
  const { name = 'sh', ticks, threads, pages } = fields;
  return `12 (${name}) S 1 12 12 0 -1 4194560 1 2 3 4 ${ticks.join(' ')} 20 0 ${threads} 0 5000 9 ${pages} 18 1 1\n`;
}

const IO = 'rchar: 9\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\n';

describe('processes', () => {
  it('are added up, with what they have waited for', () => {
    const tree = new FakeTree();
    tree.write({
      '12/stat': stat({ ticks: [10, 20, 30, 40], threads: 2, pages: 5 }),
      '12/io': IO,
      '13/stat': stat({ name: 'a) S (b', ticks: [1, 0, 0, 0], threads: 1, pages: 1 }),
      '13/io': IO,
    });
    expect(new ProcessCounters(tree.root).read([12, 13, 14])).toEqual({
      cpuUs: (101 * 1e6) / ticksPerSecond,
      memoryBytes: 6 * pageBytes,
      memoryLimitBytes: null,
      pids: 3,
      readBytes: 8192,
      writtenBytes: 16_384,
      receivedBytes: null,
      transmittedBytes: null,
    });
  });

  it('that do not let themselves be looked at leave what they read and write untold', () => {
    const tree = new FakeTree();
    const text = stat({ ticks: [1, 1, 0, 0], threads: 1, pages: 1 });
    tree.write({ '12/stat': text, '13/stat': text, '13/io': IO });
    expect(new ProcessCounters(tree.root).read([12, 13])).toMatchObject({ pids: 2, readBytes: null });
  });

  it('are nothing where none runs any more', () => {
    expect(new ProcessCounters(new FakeTree().root).read([12])).toBeNull();
  });

  it('are looked at up to a bound', () => {
    const tree = new FakeTree();
    const text = stat({ ticks: [0, 0, 0, 0], threads: 1, pages: 0 });
    const count = MONITOR_LIMITS.processesOfAttempt + 5;
    tree.write(Object.fromEntries(Array.from({ length: count }, (_, at) => [`${at + 1}/stat`, text])));
    const pids = Array.from({ length: count }, (_, at) => at + 1);
    expect(new ProcessCounters(tree.root).read(pids)?.pids).toBe(MONITOR_LIMITS.processesOfAttempt);
  });

  it('have a network of their own only in another namespace', () => {
    const tree = new FakeTree();
    tree.link('self/ns/net', 'net:[1]');
    tree.link('12/ns/net', 'net:[1]');
    tree.link('13/ns/net', 'net:[2]');
    tree.write({
      '13/net/dev': 'a|b\n eth0: 100 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n lo: 9 1 0 0 0 0 0 0 9 1\n',
    });
    const counters = new ProcessCounters(tree.root);
    expect([12, 13, 14].map((pid) => counters.namespaceOf(pid))).toEqual([null, 'net:[2]', null]);
    expect(counters.network(13)).toEqual({ receivedBytes: 100, transmittedBytes: 20 });
  });

  it('of this machine are read', () => {
    const own = new ProcessCounters().read([process.pid]);
    expect(own?.memoryBytes).toBeGreaterThan(10 * 1024 * 1024);
    expect(own?.pids).toBeGreaterThan(1);
  });
});

describe('the units of the kernel', () => {
  it('are those that it tells each program', () => {
    const auxv = Buffer.alloc(48);
    [6n, 65_536n, 17n, 250n, 0n, 0n].forEach((value, at) => auxv.writeBigUInt64LE(value, at * 8));
    expect(unitsOf(auxv)).toEqual({ pageBytes: 65_536, ticksPerSecond: 250 });
  });
});
