import { expect, it } from 'vitest';

import { LineStamps } from './line-stamps.ts';

function time(ms: number): string {
  return `1970-01-01T00:00:00.00${ms}Z`;
}

it('puts the time of its first byte in front of each line, of each stream', () => {
  const stamps = new LineStamps();
  const at = (stream: string, ms: number, text: string): string =>
    stamps.stamped({ stream, at_ms: ms, data: Buffer.from(text) }).data.toString();
  expect(at('stdout', 1, 'a\nb')).toBe(`${time(1)} a\n${time(1)} b`);
  expect(at('stderr', 2, 'err\n')).toBe(`${time(2)} err\n`);
  expect(at('stdout', 3, 'b\n\nc\n')).toBe(`b\n${time(3)} \n${time(3)} c\n`);
  expect(at('stdout', 4, '')).toBe('');
  expect(at('stdout', 5, 'd')).toBe(`${time(5)} d`);
  // Bytes that are no text stay as they are.
  const bytes = Buffer.from([0xff, 0x0a, 0xfe]);
  const { data } = new LineStamps().stamped({ stream: 'stdout', at_ms: 6, data: bytes });
  expect(data).toEqual(
    Buffer.concat([
      Buffer.from(`${time(6)} `),
      bytes.subarray(0, 2),
      Buffer.from(`${time(6)} `),
      bytes.subarray(2),
    ]),
  );
});
