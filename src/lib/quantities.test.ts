import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { JarvisError } from './errors.ts';
import {
  formatCpuMillis,
  formatDurationMs,
  formatMemoryBytes,
  parseBytesPerSecond,
  parseCpuMillis,
  parseDurationMs,
  parseMemoryBytes,
} from './quantities.ts';

describe('quantities', () => {
  it.each([
    ['500m', 500],
    ['2', 2000],
    ['0.1', 100],
    ['0.0001', 1],
    [1.5, 1500],
  ])('cpu %s is %d thousandths', (text, millis) => expect(parseCpuMillis(text)).toBe(millis));

  it.each([
    ['64Mi', 67_108_864],
    ['1G', 1e9],
    ['1048576', 1_048_576],
    ['0.5Ki', 512],
    ['4Pi', 2 ** 52],
  ])('memory %s is %d bytes', (text, bytes) => expect(parseMemoryBytes(text)).toBe(bytes));

  it.each([
    ['64MB/s', 64_000_000],
    ['64M/s', 64_000_000],
    ['100MiB/s', 104_857_600],
    ['100Mi', 104_857_600],
    ['65536B', 65_536],
    [65_536, 65_536],
  ])('rate %s is %d bytes per second', (text, bytes) =>
    expect(parseBytesPerSecond(text, 65_536)).toBe(bytes),
  );

  it.each(['', 'B/s', '/s', '65535', '64kB/s', '0', '-1MB/s', '64MB/h', '64MBs', '64MB/s/s', '5P/s', '1e9'])(
    'refuses %j as a rate',
    (text) =>
      expect(() => parseBytesPerSecond(text, 65_536)).toThrow(/^rate .* at least 64Ki and at most 4Pi/),
  );

  it.each([
    [30, 30_000],
    ['0.5', 500],
    ['500ms', 500],
    ['1h30m', 5_400_000],
    ['7d', 604_800_000],
    [0, 0],
  ])('duration %s is %d ms', (text, milliseconds) => expect(parseDurationMs(text)).toBe(milliseconds));

  it.each(['', '-1', '0', 'NaN', '1e9', '1.', 'Infinity', '1K', '5Mi ', '99999999999999999999', ' 1', '1m1'])(
    'refuses %j as cpu and memory, naming it',
    (text) => {
      expect(() => parseCpuMillis(text)).toThrow(JarvisError);
      expect(() => parseMemoryBytes(text)).toThrow(JarvisError);
    },
  );

  it.each(['', '-1s', '1x', '1h 3m', '11d11y', '1e3s', '4000d'])('refuses %j as a duration', (text) =>
    expect(() => parseDurationMs(text)).toThrow(/is not allowed/),
  );

  it('formats to what parses back to the same', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000_000 }), (n) => {
        expect(parseCpuMillis(formatCpuMillis(n))).toBe(n);
        expect(parseMemoryBytes(formatMemoryBytes(n * 1024))).toBe(n * 1024);
        expect(parseMemoryBytes(formatMemoryBytes(n))).toBe(n);
        expect(parseDurationMs(formatDurationMs(n))).toBe(n);
      }),
    );
  });

  it.each([
    [0, '0s'],
    [500, '500ms'],
    [5_400_000, '1h30m'],
    [604_800_000, '7d'],
    [90_061_001, '1d1h1m1s1ms'],
  ])('formats %d ms as %s', (durationMs, text) => expect(formatDurationMs(durationMs)).toBe(text));

  it('names the value, the longest by their beginning', () => {
    expect(() => parseCpuMillis('lots')).toThrow(/cpu "lots" is not allowed: a number of cores/);
    expect(() => parseMemoryBytes('9'.repeat(1e6))).toThrow(/^.{0,200}$/);
    expect(() => parseDurationMs('1\u009b2J\u001b[31m')).toThrow('"1?2J\\u001b[31m" is not allowed');
  });
});
