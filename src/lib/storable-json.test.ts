import { expect, it } from 'vitest';

import { isStorable } from './storable-json.ts';

it('tells how deep lists and objects stand within each other', () => {
  for (const flat of [null, 1, 'text', true]) expect(isStorable(flat, 0)).toBe(true);
  expect(isStorable([], 0)).toBe(false);
  expect(isStorable([{ a: [], b: 1 }, 2], 2)).toBe(false);
  expect(isStorable([{ a: [], b: 1 }, 2], 3)).toBe(true);
  const deep: unknown = JSON.parse('['.repeat(2048) + ']'.repeat(2048));
  expect(isStorable(deep, 2047)).toBe(false);
  expect(isStorable(deep, 2048)).toBe(true);
});

it('tells where there is a key that would change an object itself, or a number that is none, however deep', () => {
  for (const json of ['{"__proto__":1}', '[{"a":[{"__proto__":{}}]}]', '{"constructor":{"__proto__":null}}'])
    expect(isStorable(JSON.parse(json), 10)).toBe(false);
  for (const json of ['1e999', '[[-1e999]]', '{"a":{"b":1e400}}'])
    expect(isStorable(JSON.parse(json), 10)).toBe(false);
  for (const json of ['{"constructor":1,"prototype":2}', '["__proto__"]', '{"a":"__proto__"}'])
    expect(isStorable(JSON.parse(json), 10)).toBe(true);
});
