import { expect, it } from 'vitest';

import { ByteBudget } from './byte-budget.ts';

it('gives what there is, and no more, to all of them together', () => {
  const budget = new ByteBudget(10);
  const [one, other] = [budget.hold(), budget.hold()];
  expect(one.take(6)).toBe(true);
  expect(other.take(5)).toBe(false);
  expect(other.take(4)).toBe(true);
  one.give(2);
  expect(other.take(2)).toBe(true);
  expect(budget.held).toBe(10);
});

it('has back all that one held when that one is closed, and only once', () => {
  const budget = new ByteBudget(10);
  const [one, other] = [budget.hold(), budget.hold()];
  one.take(6);
  other.take(4);
  one.close();
  one.close();
  one.give(6);
  expect(budget.held).toBe(4);
  expect(one.take(1)).toBe(false);
  other.give(100);
  expect(budget.held).toBe(0);
});
