/** docs/contract.md names every call with its role, and every code with its status. */
import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { ERROR_CODES } from '../lib/errors.ts';
import { PERMISSIONS } from '../operations/permissions.ts';
import { operationOf } from './authentication.ts';
import type { Route } from './route.ts';
import { ROUTES } from './routes/table.ts';

const PAGE = readFileSync(new URL('../../docs/contract.md', import.meta.url), 'utf8');

function roleOf({ operation, isPublic }: Route): string {
  if (isPublic === true) return 'none';
  const named = operationOf(operation);
  return named === null ? `no role for ${operation}` : PERMISSIONS[named].role;
}

describe('docs/contract.md', () => {
  it('lists the calls of the API with the least role of each', () => {
    const listed = [...PAGE.matchAll(/^\| `([A-Z]+ \/\S*)` +\| (\w+) +\|/gm)].map(
      ([, call, role]) => `${call} ${role}`,
    );
    const there = ROUTES.map(
      (route) => `${route.method} ${route.path.replaceAll(/:(\w+)/g, '{$1}')} ${roleOf(route)}`,
    );
    expect(listed.toSorted()).toEqual(there.toSorted());
  });

  it('lists the codes of failures with the status of each', () => {
    const listed = [...PAGE.matchAll(/^\| (`[a-z_]+`.*?) +\| (\d{3}) +\|$/gm)].flatMap(
      ([, codes = '', status]) =>
        [...codes.matchAll(/`([a-z_]+)`/g)]
          .map(([, code]) => code ?? '')
          .filter((code) => code in ERROR_CODES)
          .map((code) => [code, Number(status)] as const),
    );
    const there = Object.entries(ERROR_CODES).map(([code, { http }]) => [code, http] as const);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(there));
  });
});
