import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { ROLES } from '../model/token.ts';
import { PERMISSIONS, type Operation } from './permissions.ts';

const PAGE = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8');

describe('the table of roles in docs/security.md', () => {
  it.each(ROLES)('says what %s is for', (role) => {
    const row = new RegExp(`^\\| ${role} +\\| (.*) \\|$`, 'm').exec(PAGE)?.[1] ?? '';
    const named = [...row.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
    const operations = Object.keys(PERMISSIONS) as Operation[];
    const expected = operations.filter((name) => PERMISSIONS[name].role === role);
    expect(new Set(named)).toEqual(new Set<string>(expected));
    expect(named.length).toBe(expected.length);
  });
});
