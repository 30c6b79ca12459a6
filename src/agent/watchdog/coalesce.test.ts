import { expect, it } from 'vitest';

import { coalesce } from './coalesce.ts';

it('shares the next run among all who come during one, and never runs two at once', async () => {
  const runs: PromiseWithResolvers<number>[] = [];
  const call = coalesce(() => {
    const run = Promise.withResolvers<number>();
    runs.push(run);
    return run.promise;
  });
  const first = call();
  const second = call();
  const third = call();
  expect(runs.length).toBe(1);
  runs[0]?.reject(new Error('disk full'));
  await expect(first).rejects.toThrow('disk full');
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  expect(runs.length).toBe(2);
  const fourth = call();
  runs[1]?.resolve(2);
  expect(await Promise.all([second, third])).toEqual([2, 2]);
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  runs[2]?.resolve(3);
  expect(await fourth).toBe(3);
  const fifth = call();
  expect(runs.length).toBe(4);
  runs[3]?.resolve(4);
  expect(await fifth).toBe(4);
});
