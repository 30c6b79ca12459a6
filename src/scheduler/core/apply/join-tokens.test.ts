import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import { TestCluster } from '../testing/test-cluster.ts';

const HOUR_MS = 3_600_000;

function made(
  changes: { readonly uses?: number; readonly node?: string | null; readonly validMs?: number } = {},
) {
  const cluster = TestCluster.formed();
  const { id } = cluster.done(creation(changes));
  return { cluster, id, using: (node: string, holder = node) => useOf(id, node, holder) };
}

function creation(
  changes: { readonly uses?: number; readonly node?: string | null; readonly validMs?: number } = {},
) {
  return {
    type: 'createJoinToken',
    secretHash: 'hash',
    principal: 'ada',
    validMs: HOUR_MS,
    uses: 1,
    node: null,
    idempotency: null,
    ...changes,
  } as const;
}

function useOf(id: string, node: string, holder: string, secretHash = 'hash') {
  return { type: 'useJoinToken', id, secretHash, node, holder } as const;
}

describe('a join token', () => {
  it('is a row that a restart keeps, with who asked for it, and until when it is good', () => {
    const { cluster, id } = made();
    expect(id).toMatch(/^join-[0-9a-z]{18}$/);
    expect(cluster.restored().joinTokens.get(id)).toEqual({
      id,
      secretHash: 'hash',
      createdAtMs: cluster.atMs,
      createdBy: 'ada',
      expiresAtMs: cluster.atMs + HOUR_MS,
      node: null,
      uses: 1,
      usedBy: [],
    });
  });

  it('lets one node in, which may ask again, and nobody else', () => {
    const { cluster, id, using } = made();
    cluster.done(using('n4', 'key'));
    cluster.atMs += HOUR_MS - 1;
    cluster.done(using('n4', 'key'));
    expect(cluster.state.joinTokens.get(id)?.usedBy).toEqual([
      { node: 'n4', holder: 'key', atMs: cluster.atMs - HOUR_MS + 1 },
    ]);
    for (const [node, holder] of [
      ['n4', 'other'],
      ['n5', 'key'],
    ] as const) {
      const { code, message } = cluster.refusal(using(node, holder));
      expect({ code, message }).toEqual({
        code: 'forbidden',
        message: `join token ${id} is used up: n4 came in by it`,
      });
    }
  });

  it('lets as many nodes in as it says', () => {
    const { cluster, using } = made({ uses: 2 });
    cluster.done(using('n4'));
    cluster.done(using('n5'));
    expect(cluster.refusal(using('n6')).message).toContain('is used up: n4, n5 came in by it');
  });

  it('is good for its name alone, where it has one', () => {
    const { cluster, using } = made({ node: 'n4' });
    expect(cluster.refusal(using('n5')).message).toContain('is for a node with the name n4, and not n5');
    cluster.done(using('n4'));
  });

  it('is good for nothing once it has expired, also for whom it let in', () => {
    const { cluster, using } = made();
    cluster.done(using('n4'));
    cluster.atMs += HOUR_MS;
    expect(cluster.refusal(using('n4')).message).toMatch(/expired at .*Z/);
  });

  it('goes with others that have expired in an order that does not depend on what was restored first', () => {
    const { cluster } = made();
    for (let at = 0; at < 5; at += 1) cluster.done(creation());
    cluster.atMs += HOUR_MS;
    cluster.state = cluster.restored((rows) => rows.toReversed());
    const gone = cluster.run(creation()).changes.filter(({ after }) => after === null);
    expect(gone).toHaveLength(6);
    expect(gone.map(({ key }) => key)).toEqual(gone.map(({ key }) => key).toSorted());
  });

  it('tells whoever has not its secret nothing, not even that it is there', () => {
    const { cluster, id } = made();
    const wrong = cluster.refusal(useOf(id, 'n4', 'key', 'guess'));
    const unknown = cluster.refusal(useOf('join-000000000000000000', 'n4', 'key'));
    expect(wrong).toEqual(unknown);
    expect(wrong.code).toBe('forbidden');
  });

  it('takes over the name of no node that is known, or that came in by another token', () => {
    const { cluster, using } = made({ uses: 3 });
    cluster.join('n1');
    expect(cluster.refusal(using('n1', 'key'))).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('a node n1 has been known since') as string,
    });
    cluster.done(using('n4', 'key'));
    const other = cluster.done(creation());
    expect(cluster.refusal(useOf(other.id, 'n4', 'other'))).toMatchObject({
      code: 'conflict',
      message: 'another node has come in as n4: choose another name',
    });
    // The same node, with a token that was made for it when the first was lost.
    cluster.done(useOf(other.id, 'n4', 'key'));
  });

  it('is gone when it is deleted', () => {
    const { cluster, id, using } = made();
    cluster.done({ type: 'deleteJoinToken', id, idempotency: null });
    expect(cluster.refusal(using('n4')).code).toBe('forbidden');
    expect(cluster.refusal({ type: 'deleteJoinToken', id, idempotency: null }).code).toBe('not_found');
    expect(cluster.stored.has(`joinToken/${id}`)).toBe(false);
  });

  it('is made once for a request that is repeated', () => {
    const { cluster } = made();
    const idempotency = { key: 'ada|POST|1', requestDigest: 'digest' };
    const first = cluster.done({ ...creation(), idempotency });
    const second = cluster.done({ ...creation(), secretHash: 'another', idempotency });
    expect(second).toEqual(first);
    expect(second.secretHash).toBe('hash');
    expect(cluster.state.joinTokens.size).toBe(2);
  });
});

describe('join tokens', () => {
  it('are bounded, and room comes back when one expires', () => {
    const { cluster } = made({ validMs: HOUR_MS / 2 });
    for (let at = 1; at < limits.joinTokens; at += 1) cluster.done(creation());
    expect(cluster.refusal(creation())).toMatchObject({
      code: 'too_many',
      message: expect.stringContaining(`at most ${limits.joinTokens}`) as string,
    });
    cluster.atMs += HOUR_MS / 2;
    cluster.done(creation());
    expect(cluster.state.joinTokens.size).toBe(limits.joinTokens);
  });

  it('are deleted when they have expired, and not before, whatever the leader names', () => {
    const { cluster, id } = made();
    const expire = {
      type: 'expire',
      term: 1,
      events: [],
      finished: [],
      usedKeys: [],
      joinTokens: [id, 'join-unknown'],
    } as const;
    expect(cluster.done(expire).joinTokens).toBe(0);
    cluster.atMs += HOUR_MS;
    expect(cluster.done(expire).joinTokens).toBe(1);
    expect(cluster.state.joinTokens.size).toBe(0);
  });
});

describe('a member that was removed', () => {
  it('is barred, also after a restart, until a join token lets one of its name in', () => {
    const { cluster, using } = made();
    cluster.done({ type: 'barMember', name: 'n4' });
    expect(cluster.restored().formerMembers.get('n4')).toEqual({ name: 'n4', removedAtMs: cluster.atMs });
    cluster.done(using('n4'));
    expect(cluster.state.formerMembers.size).toBe(0);
    expect(cluster.stored.has('formerMember/n4')).toBe(false);
  });

  it('comes in no more by the token that it came in by, and another may have its name', () => {
    const { cluster, using } = made();
    cluster.done(using('n4', 'key'));
    cluster.done({ type: 'barMember', name: 'n4' });
    expect(cluster.refusal(using('n4', 'key')).message).toContain('is used up: n4 came in by it');
    const { id } = cluster.done(creation());
    cluster.done(useOf(id, 'n4', 'other'));
    expect(cluster.state.formerMembers.size).toBe(0);
  });

  it('is forgotten where there are too many, the one first that was removed first', () => {
    const cluster = TestCluster.formed();
    for (let at = 0; at < limits.formerMembers; at += 1) {
      cluster.atMs += 1;
      cluster.done({ type: 'barMember', name: `n${at}` });
    }
    cluster.atMs += 1;
    // Again, and so the newest.
    cluster.done({ type: 'barMember', name: 'n0' });
    cluster.done({ type: 'barMember', name: 'another' });
    expect(cluster.state.formerMembers.size).toBe(limits.formerMembers);
    expect(['n0', 'n1', 'n2', 'another'].map((name) => cluster.state.formerMembers.has(name))).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });
});
