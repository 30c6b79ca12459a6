import { expect, it } from 'vitest';

import { isShallow } from './json-depth.ts';

it('tells how deep lists and objects stand within each other', () => {
  for (const flat of [null, 1, 'text', true]) expect(isShallow(flat, 0)).toBe(true);
  expect(isShallow([], 0)).toBe(false);
  expect(isShallow([{ a: [], b: 1 }, 2], 2)).toBe(false);
  expect(isShallow([{ a: [], b: 1 }, 2], 3)).toBe(true);
  const deep: unknown = JSON.parse('['.repeat(2048) + ']'.repeat(2048));
  expect(isShallow(deep, 2047)).toBe(false);
  expect(isShallow(deep, 2048)).toBe(true);
});
