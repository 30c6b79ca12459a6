import { beforeEach, describe, expect, it } from 'vitest';

import type { CreateTokenRequest } from '../generated/cluster.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { tokenText } from '../lib/token-text.ts';
import { ROLES, type Role, type SecretHash } from '../model/token.ts';
import { Authenticator } from './authenticator.ts';
import type { AuditRecord } from './guard.ts';
import { Guard, guarded } from './guard.ts';
import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';
import { leastRole, PERMISSIONS, type Operation } from './permissions.ts';
import type { CallContext, ClusterOperations } from './port.ts';

const SECRETS = { right: 'r'.repeat(43), wrong: 'w'.repeat(43) } as const;
const IDS: Readonly<Record<Role, string>> = {
  viewer: 'vvvvvvvvvvvv',
  submitter: 'ssssssssssss',
  operator: 'pppppppppppp',
  admin: 'aaaaaaaaaaaa',
};
/** Compared by the test's own rule, which costs nothing: the hash says which secret it is of. */
const HASH: SecretHash = { salt: '', hash: SECRETS.right, n: 2, r: 1, p: 1 };

function textOf(role: Role, secret: string = SECRETS.right): string {
  return tokenText({ id: IDS[role], secret });
}

/** Of the same day as the cluster's own time. */
class ClusterClock extends VirtualClock {
  override wallMs(): number {
    return Date.UTC(2026, 10, 24) + this.monotonicMs();
  }
}

let cluster: TestCluster;
let clock: VirtualClock;
let checks: (string | null)[];
let records: (AuditRecord & { denied: boolean })[];
let guard: Guard;
let operations: ClusterOperations;
let catchUp: () => Promise<void>;
/** Called while a secret is looked at. */
let whileChecking: () => Promise<void> | void;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  clock = new ClusterClock();
  checks = [];
  records = [];
  whileChecking = () => {};
  catchUp = async () => {};
  for (const role of ROLES) create(role);
  ({ guard, operations } = guardOf('n1'));
});

function guardOf(node: string) {
  const replica = cluster.replica(node);
  const tokens = new Authenticator({
    replica,
    clock,
    catchUp: () => catchUp(),
    isSecret: async (secret, expected) => {
      checks.push(expected?.hash ?? null);
      await whileChecking();
      return expected !== null && secret === expected.hash;
    },
  });
  const own = new Guard({
    tokens,
    startIdOf: (name) => replica.state.nodes.get(name)?.startId ?? null,
    audit: { record: (record, denied) => records.push({ ...record, denied }) },
  });
  const remotes = inProcessRemotes(new Map());
  return { guard: own, operations: guarded(testOperations(cluster, node, { remotes }), own) };
}

function create(role: Role, changes: { id?: string; name?: string; validMs?: number } = {}): void {
  const { id = IDS[role], name = role, validMs = null } = changes;
  const outcome = cluster.execute({
    type: 'createToken',
    id,
    name,
    role,
    secret: HASH,
    validMs,
    principal: 'test',
    isFirst: false,
    idempotency: null,
  });
  expect(outcome.type).toBe('done');
}

function revoke(role: Role): void {
  cluster.execute({ type: 'revokeToken', id: IDS[role], idempotency: null });
}

function as(token: string | null, changes: Partial<CallContext> = {}, address = '10.0.0.9'): CallContext {
  return testContext({ caller: { token, address, node: null }, ...changes });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof JarvisError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'ok';
}

const LIST = { status: [], name: '', label: [], node: '', batch_id: '', dag_id: '', limit: 1, cursor: '' };
const read = (context: CallContext) => codeOf(operations.getConfig(context));
const transfer = (context: CallContext) => codeOf(operations.transferLeadership({ to: '' }, context));

/** Operations for which the role is the least. */
const needs = (least: Role) =>
  (Object.keys(PERMISSIONS) as Operation[]).filter((name) => PERMISSIONS[name].role === least);

function endless(token = textOf('viewer')) {
  const state = { closed: false };
  const own = guarded(
    {
      async *watchEvents(_request: unknown, { signal }: CallContext) {
        try {
          yield 'first';
          await new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('ended')));
          });
        } finally {
          state.closed = true;
        }
      },
    } as never,
    guard,
  );
  const items = own.watchEvents({ since: '' } as never, as(token))[Symbol.asyncIterator]();
  return { items, state };
}

/** A node that asks for itself. */
const nodeItself = (name: string, startId: string) =>
  testContext({ caller: { token: null, address: '10.0.0.3', node: { name, startId } }, forwarded: true });

/** As the record has whoever holds the token of that role. */
const holderOf = (role: Role) => ({ principal: `token:${IDS[role]}`, name: role, role, address: '10.0.0.9' });

describe('whoever calls', () => {
  it('is not let in without a token, with a wrong one, or with one that nobody knows: the last two sound the same', async () => {
    expect(await read(testContext())).toMatch(/^unauthenticated: a token is needed \(/);
    expect(await read(as(null))).toMatch(/^unauthenticated: a token is needed \(/);
    expect(checks).toEqual([]);
    const wrong = await read(as(textOf('viewer', SECRETS.wrong)));
    const unknown = await read(as(tokenText({ id: 'zzzzzzzzzzzz', secret: SECRETS.right })));
    expect([wrong, unknown]).toEqual([
      'unauthenticated: the token is wrong',
      'unauthenticated: the token is wrong',
    ]);
    // Both cost the same.
    expect(checks).toEqual([SECRETS.right, null]);
    expect(await read(as('jarvis_short'))).toBe('unauthenticated: the token is wrong');
    expect(checks.length).toBe(3);
  });

  it('is known by the id of the token, which idempotency keys belong to', async () => {
    const request = { tasks: [], idempotency_key: 'k' };
    const seen: string[] = [];
    const own = guarded(
      {
        acceptTasks: async (_request: unknown, { principal }: CallContext) => void seen.push(principal),
      } as never,
      guard,
    );
    await own.acceptTasks(request, as(textOf('submitter'), { principal: 'token:root' }));
    expect(seen).toEqual([`token:${IDS.submitter}`]);
  });

  it('has the secret looked at once, also where many come at the same time', async () => {
    await Promise.all(Array.from({ length: 50 }, () => operations.listTasks(LIST, as(textOf('viewer')))));
    await operations.listTasks(LIST, as(textOf('viewer')));
    expect(checks.length).toBe(1);
  });

  it('is told that the token has been revoked or has expired, once it has shown the secret', async () => {
    create('viewer', { id: 'eeeeeeeeeeee', name: 'e', validMs: 1000 });
    const short = tokenText({ id: 'eeeeeeeeeeee', secret: SECRETS.right });
    expect(await read(as(short))).toBe('ok');
    cluster.nowMs += 1000;
    cluster.execute({ type: 'cordonNode', node: 'nobody', idempotency: null });
    create('viewer', { id: 'ffffffffffff', name: 'f' });
    expect(await read(as(short))).toBe('unauthenticated: token eeeeeeeeeeee has expired');
    expect(await read(as(textOf('viewer')))).toBe('ok');
    revoke('viewer');
    expect(await read(as(textOf('viewer')))).toBe(`unauthenticated: token ${IDS.viewer} has been revoked`);
    expect(await read(as(textOf('viewer', SECRETS.wrong)))).toBe('unauthenticated: the token is wrong');
  });

  it('is not let in where the token is revoked while it is looked at', async () => {
    whileChecking = () => revoke('operator');
    expect(await transfer(as(textOf('operator')))).toMatch(/has been revoked/);
  });
});

describe('a role', () => {
  it.each(ROLES)('%s may do what it is for and what those before it may, and nothing else', async (role) => {
    const called: string[] = [];
    const anything = new Proxy({} as ClusterOperations, {
      get: (_target, name: string) => {
        if (Object.hasOwn(PERMISSIONS, name) && PERMISSIONS[name as Operation].streams)
          return async function* () {
            called.push(name);
            yield name;
          };
        return async () => void called.push(name);
      },
    });
    const own = guarded(anything, guard) as unknown as Record<string, (...call: unknown[]) => unknown>;
    const refused: string[] = [];
    for (const name of Object.keys(PERMISSIONS)) {
      const answer = own[name]?.({}, as(textOf(role)));
      try {
        if (answer instanceof Promise) await answer;
        else for await (const _ of answer as AsyncIterable<unknown>);
      } catch (error) {
        refused.push(`${name}: ${error instanceof JarvisError ? error.code : messageOf(error)}`);
      }
    }
    const at = ROLES.indexOf(role);
    expect(called.sort()).toEqual(
      ROLES.slice(0, at + 1)
        .flatMap(needs)
        .sort(),
    );
    expect(refused.sort()).toEqual(
      ROLES.slice(at + 1)
        .flatMap(needs)
        .map((name) => `${name}: forbidden`)
        .sort(),
    );
  });

  it('of an operator does not vouch that a node is dead', () => {
    const removal = { name: 'n3', idempotency_key: '' };
    expect(leastRole('removeNode', { ...removal, dead: false })).toBe('operator');
    expect(leastRole('removeNode', { ...removal, dead: true })).toBe('admin');
  });

  it('is looked at before a request is read', async () => {
    const { signal } = new AbortController();
    const caller = { token: textOf('viewer'), address: '10.0.0.9' };
    await guard.authenticate(caller, 'getTask', signal);
    await guard.authenticate(caller, null, signal);
    expect(await codeOf(guard.authenticate(caller, 'createToken', signal))).toMatch(/^forbidden/);
    expect(records.map(({ operation, denied }) => [operation, denied])).toEqual([['createToken', true]]);
  });
});

describe('a stream', () => {
  it('ends at once when its token is revoked', async () => {
    const { items, state } = endless();
    expect(await items.next()).toMatchObject({ value: 'first' });
    const next = items.next();
    revoke('viewer');
    expect(await codeOf(next)).toMatch(/^unauthenticated: .* has been revoked/);
    await Promise.resolve();
    expect(state.closed).toBe(true);
  });

  it('ends when its token expires, with nobody saying anything', async () => {
    create('viewer', { id: 'eeeeeeeeeeee', name: 'e', validMs: 60_000 });
    const { items } = endless(tokenText({ id: 'eeeeeeeeeeee', secret: SECRETS.right }));
    await items.next();
    let code = '';
    const next = codeOf(items.next()).then((found) => (code = found));
    await clock.advance(59_000);
    expect(code).toBe('');
    await clock.advance(2000);
    await next;
    expect(code).toMatch(/^unauthenticated: .* has expired/);
  });

  it('is not looked after any more once it has ended', async () => {
    const { items } = endless();
    await items.next();
    await items.return?.(undefined);
    revoke('viewer');
    expect(await items.next()).toMatchObject({ done: true });
  });
});

describe('wrong tokens', () => {
  it('make their address wait, also with a right one that is not known yet; known ones pass', async () => {
    expect(await read(as(textOf('viewer')))).toBe('ok');
    for (let at = 0; at < limits.wrongTokens; at += 1) await read(as(textOf('admin', SECRETS.wrong)));
    expect(await read(as(textOf('admin', SECRETS.wrong)))).toMatch(/^too_many/);
    expect(await read(as(textOf('admin')))).toMatch(/^too_many/);
    expect(await read(as(textOf('viewer')))).toBe('ok');
    expect(await read(as(textOf('admin'), {}, '10.0.0.10'))).toBe('ok');
    await clock.advance(limits.wrongTokenLeastMs);
    expect(await read(as(textOf('submitter')))).toBe('ok');
  });

  it('of forwarded calls do not make the node wait that sends them on', async () => {
    for (let at = 0; at < limits.wrongTokens; at += 1)
      await read(as(textOf('admin', SECRETS.wrong), { forwarded: true }, '10.0.0.2'));
    expect(await read(as(textOf('viewer'), {}, '10.0.0.2'))).toBe('ok');
  });

  it('are looked at a few at a time, and no more wait for it than are bounded', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    whileChecking = () => promise;
    const many = limits.secretChecks + limits.secretChecksWaiting;
    const callers = Array.from({ length: many }, (_, at) =>
      read(as(tokenText({ id: 'zzzzzzzzzzzz', secret: String(at).padStart(43, '0') }), {}, `10.0.1.${at}`)),
    );
    await clock.advance(0);
    expect(checks.length).toBe(limits.secretChecks);
    expect(await read(as(textOf('admin')))).toMatch(/^unavailable/);
    resolve();
    expect(new Set(await Promise.all(callers))).toEqual(new Set(['unauthenticated: the token is wrong']));
  });
});

describe('a node that does not lead', () => {
  it('waits until it knows what the leader knew when a token is shown that is new to it', async () => {
    const { operations: own } = guardOf('n2');
    const late = tokenText({ id: 'kkkkkkkkkkkk', secret: SECRETS.right });
    catchUp = async () => create('viewer', { id: 'kkkkkkkkkkkk', name: 'late' });
    const stale = { consistency: 'stale' };
    expect(await codeOf(own.getCluster(stale, as(late)))).toBe('ok');
    catchUp = () => Promise.reject(new JarvisError('no_leader', 'none'));
    const other = tokenText({ id: 'qqqqqqqqqqqq', secret: SECRETS.right });
    expect(await codeOf(own.getCluster(stale, as(other)))).toMatch(/^unavailable/);
    expect(await codeOf(own.getCluster(stale, as(textOf('viewer'))))).toBe('ok');
  });

  it('drains itself by the start that it has registered with, and does nothing else by that', async () => {
    cluster.register('w', 'w:7101');
    const drain = { name: 'w', deadline: '1m', grace: undefined, start_id: 'w', idempotency_key: '' };
    expect(await codeOf(operations.drainNode(drain, nodeItself('w', 'other')))).toMatch(/^unauthenticated/);
    expect(await codeOf(operations.drainNode({ ...drain, name: 'n1' }, nodeItself('w', 'w')))).toMatch(
      /^unauthenticated/,
    );
    expect(
      await codeOf(operations.cordonNode({ name: 'w', idempotency_key: '' }, nodeItself('w', 'w'))),
    ).toMatch(/^unauthenticated/);
    expect(await codeOf(operations.drainNode(drain, nodeItself('w', 'w')))).toBe('ok');
    expect(records.at(-1)).toMatchObject({ principal: 'node w', operation: 'drainNode', target: 'w' });
  });
});

describe('the address of a webhook', () => {
  it('is shown as a whole only to whoever may set it', async () => {
    const url = 'https://hooks.example/services/canary';
    const alerts = JSON.stringify({ alerts: { webhooks: [{ url }] } });
    const change = { heartbeat: undefined, changes: alerts, idempotency_key: '' };
    expect((await operations.setConfig(change, as(textOf('admin')))).blocks).toContain(url);
    expect((await operations.getConfig(as(textOf('admin')))).blocks).toContain(url);
    for (const role of ['viewer', 'submitter', 'operator'] as const) {
      const { blocks } = await operations.getConfig(as(textOf(role)));
      expect(blocks).toContain('https://hooks.example/…');
      expect(blocks).not.toContain('canary');
    }
  });
});

describe('the record', () => {
  it('has what changes something and what is denied, with who, what, from where and what came of it', async () => {
    await operations.getConfig(as(textOf('admin')));
    const asked: CreateTokenRequest = { role: 'viewer', name: 'ci', expires_in: '1h', idempotency_key: '' };
    const { token } = await operations.createToken(asked, as(textOf('admin')));
    await codeOf(operations.createToken(asked, as(textOf('admin'))));
    await codeOf(operations.createToken(asked, as(textOf('viewer'), { forwarded: true })));
    await codeOf(operations.getConfig(as(null)));
    const operation = 'createToken';
    expect(records).toEqual([
      { ...holderOf('admin'), operation, target: token?.id, forwarded: false, result: 'ok', denied: false },
      { ...holderOf('admin'), operation, target: 'ci', forwarded: false, result: 'conflict', denied: false },
      { ...holderOf('viewer'), operation, target: 'ci', forwarded: true, result: 'forbidden', denied: true },
      {
        principal: null,
        name: null,
        role: null,
        operation: 'getConfig',
        target: '',
        address: '10.0.0.9',
        forwarded: false,
        result: 'unauthenticated',
        denied: true,
      },
    ]);
  });
});
