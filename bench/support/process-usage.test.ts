import { describe, expect, it } from 'vitest';

import { cpuMsOf, parseCpuMs, parseKib, proportionalBytesOf, residentBytesOf } from './process-usage.ts';

describe('what a process has used', () => {
  it('is read from the fields behind a name that may hold anything', () => {
    const stat = '42 (a) R 1 (b) S 1 42 42 0 -1 4194304 9 0 0 0 7 5 3 2 20 0 11 0 99 1 2 3';
    expect(parseCpuMs(stat)).toBe(120);
    expect(() => parseCpuMs('42 (a) Z 1')).toThrow(/has no processor time/);
  });

  it('is found by the whole name of a line', () => {
    const text = 'Name:\tnode\nVmRSS:\t    1234 kB\nPss:  10 kB\nPss_Anon: 7 kB\n';
    expect(parseKib(text, 'VmRSS')).toBe(1234 * 1024);
    expect(parseKib(text, 'Pss')).toBe(10 * 1024);
    expect(() => parseKib(text, 'Rss')).toThrow(/there is no Rss/);
  });

  it.runIf(process.platform === 'linux')('is summed', () => {
    const [one, two] = [[process.pid], [process.pid, process.pid]];
    expect(cpuMsOf(two)).toBeGreaterThanOrEqual(cpuMsOf(one));
    expect(residentBytesOf(two)).toBeGreaterThan(residentBytesOf(one));
    expect(proportionalBytesOf(one)).toBeLessThanOrEqual(residentBytesOf(one) * 1.5);
    expect(() => cpuMsOf([2 ** 30])).toThrow(/ENOENT/);
  });
});
