import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { encodeRow } from './codec.ts';
import { createdKey } from './layout.ts';
import { Overlay } from './overlay.ts';

function put(overlay: Overlay, key: string, value: string, position: number | null = null): void {
  const name = `item/${key}`;
  const row = { key, value };
  const created = position === null ? null : createdKey({ index: 1, position });
  overlay.put({
    name,
    key,
    dirty: { row, encoded: encodeRow(name, row) },
    createdKey: created,
    orderedTable: null,
  });
}

function drop(overlay: Overlay, key: string, position: number | null = null): void {
  const created = position === null ? null : createdKey({ index: 1, position });
  overlay.put({
    name: `item/${key}`,
    key,
    dirty: { row: null, encoded: null },
    createdKey: created,
    orderedTable: null,
  });
}

function keys(overlay: Overlay, bound: string | null = null): readonly string[] {
  return [...overlay.createdBefore(bound, '')].map(({ key }) => key);
}

describe('the overlay', () => {
  it('hides the frozen layer by the active one, and forgets it once released', () => {
    const overlay = new Overlay();
    put(overlay, 'a', 'old');
    put(overlay, 'b', 'old');
    overlay.freeze();
    put(overlay, 'a', 'new');
    drop(overlay, 'b');
    expect(overlay.get('item/a')?.row).toEqual({ key: 'a', value: 'new' });
    expect(overlay.get('item/b')?.row).toBeNull();
    overlay.release();
    expect(overlay.get('item/a')?.row).toEqual({ key: 'a', value: 'new' });
    expect(overlay.get('item/b')?.row).toBeNull();
    expect(overlay.get('item/c')).toBeUndefined();
  });

  it('counts its bytes exactly: nothing is left when everything is released', () => {
    const overlay = new Overlay();
    put(overlay, 'a', 'x'.repeat(1000));
    const one = overlay.bytes;
    expect(one).toBeGreaterThan(1000);
    put(overlay, 'a', 'x'.repeat(1000));
    expect(overlay.bytes).toBe(one);
    put(overlay, 'a', '');
    expect(overlay.bytes).toBe(one - 1002);
    overlay.freeze();
    put(overlay, 'a', 'x'.repeat(1000));
    expect(overlay.bytes).toBe(one - 1002 + one);
    overlay.release();
    expect(overlay.bytes).toBe(one);
    expect(overlay.activeBytes).toBe(one);
  });

  it('lists by creation, newest first, over both layers, without what is gone', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ drop: fc.boolean(), freeze: fc.boolean(), which: fc.nat(100) }), {
          maxLength: 40,
        }),
        fc.nat(40),
        (steps, bound) => {
          const overlay = new Overlay();
          const alive = new Map<string, number>();
          let frozen = false;
          steps.forEach((step, position) => {
            const victim = [...alive.keys()][step.which];
            if (step.drop && victim !== undefined) {
              drop(overlay, victim, alive.get(victim) ?? null);
              alive.delete(victim);
            } else {
              put(overlay, `k${position}`, 'x', position);
              alive.set(`k${position}`, position);
            }
            if (step.freeze && !frozen) {
              overlay.freeze();
              frozen = true;
            }
          });
          const expected = [...alive].filter(([, position]) => position < bound).map(([key]) => key);
          expect(keys(overlay, createdKey({ index: 1, position: bound }))).toEqual(expected.reverse());
          expect(keys(overlay)).toEqual([...alive.keys()].reverse());
        },
      ),
    );
  });

  it('sorts what one command created in another order', () => {
    const overlay = new Overlay();
    for (const position of [2, 0, 1]) put(overlay, `k${position}`, 'x', position);
    expect(keys(overlay)).toEqual(['k2', 'k1', 'k0']);
  });
});
