import { beforeEach, describe, expect, it } from 'vitest';

import type { CreateJoinTokenRequest } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { hashOfSecret, parseJoinToken } from '../lib/join-token.ts';
import type { JoinTokenUser } from './port.ts';
import type { RoutingOperations } from './router.ts';
import { testContext, testLocal, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';

const context = testContext({ principal: 'ada' });
const AUTHORITY = `sha256:${'a'.repeat(64)}`;
let cluster: TestCluster;
/** One that does not lead. */
let n2: RoutingOperations;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  const nodes = new Map<string, RoutingOperations>();
  for (const name of ['n1', 'n2']) {
    cluster.register(name, `${name}:7101`);
    const parts = { remotes: inProcessRemotes(nodes), authorityHash: () => AUTHORITY };
    nodes.set(`${name}:7101`, testOperations(cluster, name, parts));
  }
  n2 = nodes.get('n2:7101') as RoutingOperations;
});

function create(changes: Partial<CreateJoinTokenRequest> = {}) {
  const nothing = { expires: undefined, uses: undefined, name: undefined };
  return n2.createJoinToken({ ...nothing, idempotency_key: '', secret_hash: '', ...changes }, context);
}

async function use(changes: Partial<JoinTokenUser> & { readonly token?: string } = {}): Promise<void> {
  const { token, ...user } = changes;
  const shown = parseJoinToken(token ?? (await create()).token);
  const secretHash = hashOfSecret(shown.secret);
  const local = testLocal(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
  await local.useJoinToken({ id: shown.id, secretHash, node: 'n4', holder: 'key', ...user }, context.signal);
}

describe('a join token that is asked for at any node', () => {
  it('is shown once, with the hash of the authority; the state has the hash of its secret alone', async () => {
    const { token, info } = await create({ name: 'n4', uses: 2, expires: '90m' });
    const { id, secret, authorityHash } = parseJoinToken(token);
    expect(authorityHash).toBe(AUTHORITY);
    expect(info).toEqual({
      id,
      name: 'n4',
      created_at: new Date(cluster.nowMs).toISOString(),
      created_by: 'ada',
      expires_at: new Date(cluster.nowMs + 5_400_000).toISOString(),
      uses: 2,
      uses_left: 2,
      used_by: [],
    });
    expect(await n2.listJoinTokens(context)).toEqual({ items: [info] });
    expect(cluster.state.joinTokens.get(id)?.secretHash).toBe(hashOfSecret(secret));
    expect(JSON.stringify([...cluster.rows])).not.toContain(secret);
  });

  it('has a secret of its own each time', async () => {
    const [one, other] = [parseJoinToken((await create()).token), parseJoinToken((await create()).token)];
    expect(one.id).not.toBe(other.id);
    expect(one.secret).not.toBe(other.secret);
  });

  it('is not shown to whoever keeps the secret already', async () => {
    const { token } = await create({ secret_hash: hashOfSecret('mine') });
    expect(token).toBe('');
  });

  it('is made once when its leader loses the answer', async () => {
    const n1 = cluster.replica('n1');
    let isLost = false;
    n1.afterPropose = async () => {
      if (isLost) return;
      isLost = true;
      cluster.lead('n2');
      throw new JarvisError('outcome_unknown', 'lost');
    };
    const { token, info } = await create();
    expect(isLost).toBe(true);
    expect(cluster.state.joinTokens.size).toBe(1);
    const { id, secret } = parseJoinToken(token);
    expect(info?.id).toBe(id);
    expect(cluster.state.joinTokens.get(id)?.secretHash).toBe(hashOfSecret(secret));
  });

  it('is refused with conflict where a repeated request would get another secret than the first', async () => {
    await create({ idempotency_key: 'again' });
    await expect(create({ idempotency_key: 'again' })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('shown once only: delete it and make another') as string,
    });
  });

  it.each<[Partial<CreateJoinTokenRequest>, RegExp]>([
    [{ expires: 'soon' }, /expires: .*"soon"/],
    [{ expires: '0' }, /expires: "0" is not allowed: 1s to 7d/],
    [{ expires: '8d' }, /expires: "8d" is not allowed: 1s to 7d/],
    [{ uses: 0 }, /uses: 0 is too small: at least 1/],
    [{ uses: 101 }, /uses: 101 is too large: at most 100/],
    [{ name: '../n4' }, /name: "..\/n4" is not a name/],
    [{ secret_hash: 'short' }, /secret_hash: "short" is not allowed/],
  ])('%o is refused, and nothing is made', async (changes, message) => {
    await expect(create(changes)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(message) as string,
    });
    expect(cluster.state.joinTokens.size).toBe(0);
  });

  it('is deleted by its id', async () => {
    const { info } = await create();
    const id = info?.id ?? '';
    expect(await n2.deleteJoinToken({ id, idempotency_key: '' }, context)).toEqual(info);
    expect(await n2.listJoinTokens(context)).toEqual({ items: [] });
    await expect(n2.deleteJoinToken({ id, idempotency_key: '' }, context)).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('is listed until it has expired', async () => {
    await create({ expires: '1m' });
    const { info } = await create({ expires: '1h' });
    cluster.nowMs += 60_000;
    expect((await n2.listJoinTokens(context)).items).toEqual([info]);
  });
});

describe('a node that shows a join token', () => {
  it('is let in, and shown with the token', async () => {
    const { token, info } = await create();
    await use({ token });
    await use({ token });
    const { items } = await n2.listJoinTokens(context);
    expect(items).toMatchObject([{ id: info?.id, uses_left: 0, used_by: [{ node: 'n4' }] }]);
  });

  it('is refused without a word to the log where the token does not let it in', async () => {
    const { token } = await create({ name: 'n4' });
    const other = await create();
    const mixed = { ...parseJoinToken(token), secret: parseJoinToken(other.token).secret };
    const { index } = cluster;
    const wrong = `jarvisjoin_${mixed.id}_${mixed.secret}`;
    await expect(use({ token: wrong })).rejects.toMatchObject({ code: 'forbidden' });
    await expect(use({ token, node: 'n5' })).rejects.toMatchObject({ code: 'forbidden' });
    expect(cluster.index).toBe(index);
  });

  it('does not get the name of a member, registered or not', async () => {
    await expect(use({ node: 'n1' })).rejects.toMatchObject({ code: 'conflict' });
    await expect(use({ node: 'n3' })).rejects.toMatchObject({
      code: 'conflict',
      message: 'a member has the name n3: choose another name, or remove it from the cluster first',
    });
    cluster.execute({ type: 'admitCopyless', name: 'n9', incarnation: 'i9', address: 'n9:1' });
    await expect(use({ node: 'n9' })).rejects.toMatchObject({
      code: 'conflict',
      message: 'a node has the name n9: choose another name, or remove it from the cluster first',
    });
  });
});

describe('the text of a join token', () => {
  it.each(['', 'jarvisjoin_', 'secret-canary', `jarvisjoin_join-${'a'.repeat(18)}_canary`])(
    '%j is refused with a message that says nothing of what it is',
    (text) => {
      expect(() => parseJoinToken(text)).toThrow(/^(?!.*canary).*begins with jarvisjoin_/);
    },
  );

  it('may end in a line break, as in a file', async () => {
    const { token } = await create();
    expect(parseJoinToken(`${token}\n`)).toEqual(parseJoinToken(token));
  });
});
