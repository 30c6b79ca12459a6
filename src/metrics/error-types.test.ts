import { expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { ErrorTypes } from './error-types.ts';

it('only so many types count for themselves, whatever the policy names', () => {
  const types = new ErrorTypes();
  const named = Array.from({ length: 1000 }, (_, at) => `Error${at}`);
  const labels = new Set(named.map((type) => types.label(type, named)));
  expect(labels.size).toBeLessThanOrEqual(limits.metricsErrorTypes);
  expect(labels).toContain('Other');
  expect(types.label('Timeout', [])).toBe('Timeout');
  // Once known it stays, also where the policy has changed: a counter must not end.
  expect(types.label('Error0', [])).toBe('Error0');
});
