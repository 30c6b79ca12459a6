import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { ROOT } from '../sim/mutate.ts';
import { JUDGES } from './judges.ts';
import { PLANTS } from './plants.ts';

describe('every plant', () => {
  it.each(PLANTS)('$name has its places in the sources', ({ edits }) => {
    const places = edits.map(
      ({ file, find }) => readFileSync(path.join(ROOT, file), 'utf8').split(find).length - 1,
    );
    expect(places).toEqual(edits.map(() => 1));
  });

  it.each(PLANTS)('$name is for judges that there are', ({ judges }) => {
    const known = new Set([...Object.keys(JUDGES), 'run', 'end', 'clients', 'processes']);
    expect(judges.filter((name) => !known.has(name))).toEqual([]);
  });
});
