import { describe, expect, it } from 'vitest';

import { addressesToTell } from './enter-cluster.ts';

const at = (name: string, address: string) => ({ name, address });

describe('a member that has moved', () => {
  it('finds the others also where all of them have moved before it, by what its settings say', () => {
    const asFounded = [at('n1', 'old1:1'), at('n2', 'old2:1'), at('n3', 'old3:1')];
    const peers = [at('n1', 'new1:1'), at('n2', 'old2:1'), at('n3', 'new3:1')];
    const config = { name: 'n3', peers, join: ['n4:1'], advertise: 'new3:1' };
    expect(addressesToTell(config, asFounded)).toEqual(['old1:1', 'old2:1', 'new1:1', 'n4:1', 'new3:1']);
  });
});
