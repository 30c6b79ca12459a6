import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import type { CreateTokenCommand } from '../../../model/commands.ts';
import type { SecretHash } from '../../../model/token.ts';
import { ADMIN_TOKEN_NAME, isUsable } from '../../../model/token.ts';
import type { ClusterState } from '../state.ts';
import { TestCluster } from '../testing/test-cluster.ts';

const SECRET: SecretHash = { salt: 'c2FsdA', hash: 'aGFzaA', n: 16, r: 1, p: 1 };

function creation(id: string, changes: Partial<Omit<CreateTokenCommand, 'atMs'>> = {}) {
  return {
    type: 'createToken',
    id,
    name: id,
    role: 'viewer',
    secret: SECRET,
    validMs: null,
    principal: 'token:root',
    isFirst: false,
    idempotency: null,
    ...changes,
  } as const;
}

const revocation = (id: string) => ({ type: 'revokeToken', id, idempotency: null }) as const;

const idsOf = (state: ClusterState) => [...state.tokens.keys()].sort();

describe('tokens', () => {
  it('are kept with the hash of their secret, also over a restart', () => {
    const cluster = TestCluster.formed();
    expect(cluster.done(creation('a', { name: 'ci', role: 'submitter', validMs: 60_000 }))).toEqual({
      id: 'a',
    });
    const row = {
      id: 'a',
      name: 'ci',
      role: 'submitter',
      secret: SECRET,
      createdAtMs: cluster.atMs,
      createdBy: 'token:root',
      expiresAtMs: cluster.atMs + 60_000,
      revokedAtMs: null,
    };
    expect(cluster.state.tokens.get('a')).toEqual(row);
    expect(cluster.restored().tokens.get('a')).toEqual(row);
  });

  it('give a repeated request the id of the first one, whose secret counts', () => {
    const cluster = TestCluster.formed();
    const idempotency = { key: 'k', requestDigest: 'd' };
    cluster.done(creation('a', { name: 'ci', idempotency }));
    const again = creation('b', { name: 'ci', idempotency, secret: { ...SECRET, hash: 'b3RoZXI' } });
    expect(cluster.done(again)).toEqual({ id: 'a' });
    expect(idsOf(cluster.state)).toEqual(['a']);
    expect(cluster.state.tokens.get('a')?.secret).toEqual(SECRET);
  });

  it('that can be used have names of their own; the name of one that has ended is free', () => {
    const cluster = TestCluster.formed();
    cluster.done(creation('a', { name: 'ci', validMs: 1000 }));
    expect(cluster.refusal(creation('b', { name: 'ci' }))).toMatchObject({ code: 'conflict' });
    cluster.atMs += 1000;
    cluster.done(creation('b', { name: 'ci' }));
    cluster.done(revocation('b'));
    cluster.done(creation('c', { name: 'ci' }));
    expect(idsOf(cluster.state)).toEqual(['c']);
  });

  it('are revoked once, at the time of the first word', () => {
    const cluster = TestCluster.formed();
    cluster.done(creation('a'));
    cluster.atMs += 5;
    cluster.done(revocation('a'));
    const { atMs } = cluster;
    cluster.atMs += 5;
    cluster.done(revocation('a'));
    expect(cluster.state.tokens.get('a')?.revokedAtMs).toBe(atMs);
    expect(cluster.refusal(revocation('b'))).toMatchObject({ code: 'not_found' });
  });

  it('of admins can be revoked but for the last that can be used', () => {
    const cluster = TestCluster.formed();
    cluster.done(creation('a', { role: 'admin' }));
    expect(cluster.refusal(revocation('a'))).toMatchObject({ code: 'conflict' });
    cluster.done(creation('b', { role: 'admin', validMs: 10 }));
    cluster.atMs += 10;
    expect(cluster.refusal(revocation('a'))).toMatchObject({ code: 'conflict' });
    cluster.done(creation('c', { role: 'admin' }));
    cluster.done(revocation('a'));
    expect(isUsable(cluster.state.tokens.get('a')!, cluster.atMs)).toBe(false);
  });

  it('are made by the cluster itself only while no admin has one', () => {
    const cluster = TestCluster.formed();
    const first = { name: ADMIN_TOKEN_NAME, role: 'admin', isFirst: true } as const;
    expect(cluster.refusal(creation('x', { name: ADMIN_TOKEN_NAME }))).toMatchObject({ code: 'conflict' });
    cluster.done(creation('v'));
    cluster.done(creation('a', first));
    expect(cluster.refusal(creation('b', first))).toMatchObject({ code: 'conflict' });
    cluster.done(creation('c', { role: 'admin', validMs: 50 }));
    cluster.done(revocation('a'));
    cluster.atMs += 50;
    cluster.done(creation('d', first));
    expect(idsOf(cluster.state)).toEqual(['c', 'd', 'v']);
  });

  it('are bounded: those that ended first make room, those that can be used do not', () => {
    const cluster = TestCluster.formed();
    for (let at = 0; at < limits.tokens; at += 1) {
      cluster.atMs += 1;
      cluster.done(creation(`t${String(at).padStart(4, '0')}`, at < 2 ? { validMs: 10_000 } : {}));
    }
    expect(cluster.refusal(creation('more'))).toMatchObject({ code: 'too_many' });
    cluster.atMs += 10_000;
    cluster.done(creation('more'));
    expect(cluster.state.tokens.has('t0000')).toBe(false);
    expect(cluster.state.tokens.has('t0001')).toBe(true);
    expect(cluster.state.tokens.size).toBe(limits.tokens);
  });

  it('that ended long ago are forgotten', () => {
    const cluster = TestCluster.formed();
    cluster.done(creation('a', { validMs: 1000 }));
    cluster.done(creation('b'));
    cluster.atMs += 1000 + limits.endedTokensKeptMs - 1;
    expect(cluster.done({ type: 'expireTokens', term: 1 })).toEqual({ tokens: 0 });
    cluster.atMs += 1;
    expect(cluster.done({ type: 'expireTokens', term: 1 })).toEqual({ tokens: 1 });
    expect(idsOf(cluster.state)).toEqual(['b']);
  });

  it('come to the same in whatever order a replica has them in memory', () => {
    const cluster = TestCluster.formed();
    for (const id of ['c', 'a', 'b']) cluster.done(creation(id, { name: id, validMs: 10 }));
    cluster.atMs += 10;
    const other = TestCluster.formed();
    other.index = cluster.index;
    other.atMs = cluster.atMs;
    for (const [name, row] of cluster.stored) other.stored.set(name, row);
    other.state = cluster.restored((rows) => rows.toReversed());
    const changes = cluster.run(creation('d', { name: 'a' })).changes;
    expect(other.run(creation('d', { name: 'a' })).changes).toEqual(changes);
    const kept = limits.endedTokensKeptMs;
    cluster.atMs += kept;
    other.atMs += kept;
    const forgotten = cluster.run({ type: 'expireTokens', term: 1 }).changes;
    expect(forgotten.length).toBeGreaterThan(1);
    expect(other.run({ type: 'expireTokens', term: 1 }).changes).toEqual(forgotten);
  });
});
