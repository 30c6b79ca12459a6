import { describe, expect, it } from 'vitest';

import { copylessNode, copylessNodes, type CopylessNodeRow } from './copyless-node.ts';

const row = (name: string): CopylessNodeRow => ({
  name,
  incarnation: `i-${name}`,
  address: `${name}:7101`,
  admittedAtMs: 0,
});
const state = { copylessNodes: new Map(['n3', 'n1', 'n2'].map((name) => [name, row(name)])) };
const peers = [{ incarnation: 'i-n2' }, { incarnation: 'i-n8' }];

describe('who works without a copy', () => {
  it('is whoever has a row and is no member, by name', () => {
    expect(copylessNodes(state, peers).map(({ name }) => name)).toEqual(['n1', 'n3']);
    expect(copylessNode(state, peers, 'n1')).toEqual(row('n1'));
    expect(copylessNode(state, peers, 'n2')).toBeNull();
    expect(copylessNode(state, peers, 'n8')).toBeNull();
  });
});
