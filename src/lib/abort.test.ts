import { expect, it } from 'vitest';

import { onAbort } from './abort.ts';

it('tells those who still listen, each as often as it listens', () => {
  const controller = new AbortController();
  const told: string[] = [];
  const tell = (): void => void told.push('a');
  onAbort(controller.signal, tell);
  onAbort(controller.signal, tell);
  onAbort(controller.signal, () => void told.push('gone'))();
  onAbort(controller.signal, () => void told.push('b'));
  expect(told).toEqual([]);
  controller.abort();
  expect(told).toEqual(['a', 'a', 'b']);
});
