import { describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { hashOfSecret, parseJoinToken } from '../lib/join-token.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { MemoryCluster } from '../scheduler/testing/memory-cluster.ts';
import { ScalingJoinTokens } from './scaling-join-tokens.ts';

const VALID_MS = 600_000;

function begin() {
  const clock = new VirtualClock();
  const cluster = new MemoryCluster(() => clock.wallMs());
  cluster.lead({ name: 'n1', address: '' });
  const heartbeat = { intervalMs: 1, warningMs: 2, timeoutMs: 3 };
  cluster.execute({
    type: 'initCluster',
    clusterId: 'c',
    epoch: 1,
    config: { heartbeat },
    term: cluster.term,
  });
  const tokensOf = (leader: string): ScalingJoinTokens => {
    if (cluster.leader?.name !== leader) cluster.lead({ name: leader, address: '' });
    return new ScalingJoinTokens({ replica: cluster.replica(leader), tls: null, clock });
  };
  const kept = () => [...cluster.state.joinTokens.values()];
  return { cluster, tokensOf, kept };
}

describe('the join token of a node that is asked for', () => {
  it('is good for its name, once, and kept as a hash only', async () => {
    const { tokensOf, kept } = begin();
    const { id, token } = await tokensOf('n1').make('auto-1', VALID_MS);
    const { secret } = parseJoinToken(token);
    expect(kept()).toMatchObject([
      { id, node: 'auto-1', uses: 1, createdBy: 'autoscaler', secretHash: hashOfSecret(secret) },
    ]);
    const [row] = kept();
    expect((row?.expiresAtMs ?? 0) - (row?.createdAtMs ?? 0)).toBe(VALID_MS);
  });

  it('is the same one each time that a leader asks a provider, and another one for another node', async () => {
    const { tokensOf, kept } = begin();
    const tokens = tokensOf('n1');
    const first = await tokens.make('auto-1', VALID_MS);
    expect(await tokens.make('auto-1', VALID_MS)).toEqual(first);
    expect(await tokens.make('auto-2', VALID_MS)).not.toEqual(first);
    expect(kept()).toHaveLength(2);
  });

  it('is made anew where an operator has deleted it', async () => {
    const { cluster, tokensOf, kept } = begin();
    const tokens = tokensOf('n1');
    const { id } = await tokens.make('auto-1', VALID_MS);
    cluster.execute({ type: 'deleteJoinToken', id, idempotency: null });
    const again = await tokens.make('auto-1', VALID_MS);
    expect(again.id).not.toBe(id);
    expect(kept().map((token) => token.id)).toEqual([again.id]);
  });

  it('goes with those that leaders before have made for it, and with no other', async () => {
    const { cluster, tokensOf, kept } = begin();
    await tokensOf('n1').make('auto-1', VALID_MS);
    const tokens = tokensOf('n2');
    await tokens.make('auto-1', VALID_MS);
    await tokens.make('auto-2', VALID_MS);
    const asked = {
      type: 'createJoinToken',
      principal: 'ann',
      uses: 1,
      node: 'auto-1',
      secretHash: 'h',
    } as const;
    cluster.execute({ ...asked, validMs: VALID_MS, idempotency: null });
    expect(kept()).toHaveLength(4);
    await tokens.removeOf('auto-1');
    expect(kept().map(({ node, createdBy }) => `${node} ${createdBy}`)).toEqual([
      'auto-2 autoscaler',
      'auto-1 ann',
    ]);
    await tokens.removeOf('auto-1');
    expect(kept()).toHaveLength(2);
  });

  it('is an error where there are too many', async () => {
    const { tokensOf } = begin();
    const tokens = tokensOf('n1');
    for (let made = 0; made < 100; made += 1) await tokens.make(`auto-${made}`, VALID_MS);
    await expect(tokens.make('one-more', VALID_MS)).rejects.toThrow(JarvisError);
    // Those that there are can be told again.
    await tokens.make('auto-99', VALID_MS);
  });
});
