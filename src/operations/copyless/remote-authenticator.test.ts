import { setImmediate as turn } from 'node:timers/promises';

import { beforeEach, describe, expect, it } from 'vitest';

import type { Identity } from '../../generated/callers.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { tokenText } from '../../lib/token-text.ts';
import type { KnownToken } from '../caller-tokens.ts';
import type { Remotes } from '../node-port.ts';
import type { CallContext, Caller } from '../port.ts';
import { AnyMember } from './any-member.ts';
import { FakeMembers } from './copyless.test-kit.ts';
import { RemoteAuthenticator } from './remote-authenticator.ts';

const IDENTITY: Identity = { id: 'aaaaaaaaaaaa', name: 'ada', role: 'operator' };
const RIGHT = tokenText({ id: IDENTITY.id, secret: 'r'.repeat(43) });
const WRONG = tokenText({ id: IDENTITY.id, secret: 'w'.repeat(43) });
const NAMES = ['n1', 'n2', 'n3'];

/** A stream that a member keeps open. */
interface Open {
  readonly address: string;
  end(error: JarvisError | null): void;
}

let clock: VirtualClock;
let leaders: FakeMembers;
/** Addresses, for each question. */
let asked: string[];
let contexts: CallContext[];
let open: Set<Open>;
/** What a member does instead of answering. */
let faults: Map<string, 'away' | 'silent' | 'too_many' | 'forbidden'>;
/** Cannot be used any more. */
let isRevoked: boolean;
let answer: Identity;
let authenticator: RemoteAuthenticator;

beforeEach(() => {
  clock = new VirtualClock();
  leaders = new FakeMembers(
    'w1',
    NAMES.map((name) => ({ name, address: `${name}:7101` })),
  );
  asked = [];
  contexts = [];
  open = new Set();
  faults = new Map();
  isRevoked = false;
  answer = IDENTITY;
  const anyMember = new AnyMember(leaders, clock);
  authenticator = new RemoteAuthenticator({ clusterId: 'c-1', anyMember, remotes: { identify }, clock });
});

const identify: Remotes['identify'] = async function* identify(address, { cluster_id }, context) {
  expect(cluster_id).toBe('c-1');
  asked.push(address);
  contexts.push(context);
  const fault = faults.get(address);
  if (fault === 'silent') await aborted(context.signal);
  if (fault === 'away') throw new JarvisError('unavailable', `${address} is away`);
  if (fault === 'too_many' || fault === 'forbidden') throw new JarvisError(fault, `${address} says so`);
  if (context.caller?.token !== RIGHT) throw new JarvisError('unauthenticated', 'the token is wrong');
  if (isRevoked) throw revoked();
  const ended = Promise.withResolvers<JarvisError | null>();
  const stream = { address, end: ended.resolve };
  open.add(stream);
  try {
    yield answer;
    const error = await Promise.race([ended.promise, aborted(context.signal)]);
    if (error !== null) throw error;
  } finally {
    open.delete(stream);
  }
};

async function aborted(signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    const give = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', give);
    if (signal.aborted) give();
  });
}

function revoked(): JarvisError {
  return new JarvisError('unauthenticated', `token ${IDENTITY.id} has been revoked`);
}

function caller(token: string | null, address = '10.0.0.9'): Caller {
  return { token, address, node: null };
}

async function shown(token: string | null, address?: string): Promise<KnownToken> {
  return await authenticator.identify(caller(token, address), false, new AbortController().signal);
}

/** What it comes to, while time passes. */
async function eventually<T>(promise: Promise<T>): Promise<PromiseSettledResult<T>> {
  const over = new AbortController();
  const settled = Promise.allSettled([promise]).finally(() => over.abort());
  while (!over.signal.aborted) {
    await turn();
    await clock.advance(250);
  }
  const [result] = await settled;
  return result;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const result = await eventually(promise);
  if (result.status === 'fulfilled') return 'ok';
  const error = result.reason as unknown;
  if (!(error instanceof JarvisError)) throw error;
  return `${error.code}: ${error.message}`;
}

async function passes(durationMs: number): Promise<void> {
  for (let atMs = 0; atMs < durationMs; atMs += 250) {
    await turn();
    await clock.advance(250);
  }
  await turn();
}

async function watched() {
  const token = await shown(RIGHT);
  const watch = authenticator.watch(token);
  await turn();
  return watch;
}

describe('a token', () => {
  it('is whose a member says, which gets it as with any call that is sent on; nothing is left open', async () => {
    expect(await shown(RIGHT)).toMatchObject(IDENTITY);
    expect(asked).toHaveLength(1);
    expect(contexts[0]).toMatchObject({ forwarded: true, caller: { token: RIGHT } });
    expect(open.size).toBe(0);
  });

  it('that is wrong, or none, is refused as by a member', async () => {
    expect(await codeOf(shown(WRONG))).toBe('unauthenticated: the token is wrong');
    expect(await codeOf(shown(null))).toMatch(/^unauthenticated: a token is needed/);
    expect(asked).toHaveLength(1);
    expect(await codeOf(shown('jarvis_…'))).toBe('unauthenticated: the token is wrong');
    expect(asked).toHaveLength(1);
  });

  it('is asked about anew each time, so that a revoked one is refused', async () => {
    await shown(RIGHT);
    isRevoked = true;
    expect(await codeOf(shown(RIGHT))).toBe(`unauthenticated: token ${IDENTITY.id} has been revoked`);
  });

  it('that comes many times at once is asked about once', async () => {
    const all = Array.from({ length: 50 }, () => shown(RIGHT));
    for (const token of await Promise.all(all)) expect(token).toMatchObject(IDENTITY);
    expect(asked).toHaveLength(1);
  });

  it('is not waited for any longer by a caller that has gone, while others wait', async () => {
    faults.set('n1:7101', 'silent');
    const gone = new AbortController();
    const first = authenticator.identify(caller(RIGHT), false, gone.signal);
    const second = shown(RIGHT);
    gone.abort(new JarvisError('timeout', 'the caller has gone'));
    expect(await codeOf(first)).toBe('timeout: the caller has gone');
    expect(await codeOf(second)).toBe('ok');
  });

  it('with a role of a later version is not taken for another', async () => {
    answer = { ...IDENTITY, role: 'emperor' };
    expect(await codeOf(shown(RIGHT))).toMatch(/^unavailable: the cluster cannot be asked/);
    expect(open.size).toBe(0);
  });
});

describe('a member', () => {
  it.each(['away', 'silent', 'too_many', 'forbidden'] as const)(
    'that is or says %s is passed over',
    async (fault) => {
      for (const name of NAMES) {
        faults = new Map(NAMES.filter((other) => other !== name).map((other) => [`${other}:7101`, fault]));
        expect(await codeOf(shown(RIGHT))).toBe('ok');
      }
    },
  );

  it('that answers is asked first from then on', async () => {
    faults.set('n1:7101', 'away').set('n2:7101', 'away');
    await shown(RIGHT);
    await shown(RIGHT);
    expect(asked.slice(-2)).toEqual(['n3:7101', 'n3:7101']);
  });

  it('is waited for a bounded time, and then the answer is not that the token was wrong', async () => {
    for (const name of NAMES) faults.set(`${name}:7101`, 'away');
    const beganMs = clock.monotonicMs();
    expect(await codeOf(shown(RIGHT))).toBe(
      'unavailable: the cluster cannot be asked at present whether it knows this token',
    );
    expect(clock.monotonicMs() - beganMs).toBeLessThanOrEqual(limits.tokenAskMs + 1000);
  });
});

describe('wrong tokens', () => {
  it('make their address wait, and no other; those that were right before pass', async () => {
    await shown(RIGHT);
    for (let count = 0; count < limits.wrongTokens; count += 1) await codeOf(shown(WRONG));
    const questions = asked.length;
    await expect(shown(WRONG)).rejects.toMatchObject({ code: 'too_many' });
    expect(asked).toHaveLength(questions);
    expect(await shown(RIGHT)).toMatchObject(IDENTITY);
    expect(await codeOf(shown(WRONG, '10.0.0.10'))).toMatch(/^unauthenticated/);
  });

  it('are not among those that were right, once revoked', async () => {
    await shown(RIGHT);
    isRevoked = true;
    for (let count = 0; count < limits.wrongTokens; count += 1) await codeOf(shown(RIGHT));
    // The first of them counted for nothing.
    await codeOf(shown(RIGHT));
    await expect(shown(RIGHT)).rejects.toMatchObject({ code: 'too_many' });
  });

  it('are none where nobody could say', async () => {
    for (const name of NAMES) faults.set(`${name}:7101`, 'away');
    for (let count = 0; count <= limits.wrongTokens; count += 1)
      expect(await codeOf(shown(WRONG))).toMatch(/^unavailable/);
  });
});

describe('a call that goes on', () => {
  it('ends at once when the token is revoked', async () => {
    using watch = await watched();
    expect(open.size).toBe(1);
    for (const stream of open) stream.end(revoked());
    await turn();
    expect(watch.signal.reason).toMatchObject({ code: 'unauthenticated' });
  });

  it('ends at once where the token was revoked between the question and the watch', async () => {
    const token = await shown(RIGHT);
    isRevoked = true;
    using watch = authenticator.watch(token);
    await turn();
    expect(watch.signal.reason).toMatchObject({ code: 'unauthenticated' });
  });

  it('shares its stream with others of the token, which is closed with the last of them', async () => {
    const first = await watched();
    const second = await watched();
    expect(open.size).toBe(1);
    first[Symbol.dispose]();
    await turn();
    expect(open.size).toBe(1);
    second[Symbol.dispose]();
    await turn();
    expect(open.size).toBe(0);
    using third = await watched();
    expect(open.size).toBe(1);
    expect(third.signal.aborted).toBe(false);
  });

  it.each([null, new JarvisError('unavailable', 'this node is stopping')])(
    'goes on where the stream ends with %s: another member is asked',
    async (error) => {
      using watch = await watched();
      const address = [...open][0]?.address ?? '';
      faults.set(address, 'away');
      for (const stream of open) stream.end(error);
      await passes(1000);
      expect(watch.signal.aborted).toBe(false);
      const [other] = [...open];
      expect(other?.address).not.toBe(address);
      other?.end(revoked());
      await turn();
      expect(watch.signal.reason).toMatchObject({ code: 'unauthenticated' });
    },
  );

  it('ends where nobody answers for long', async () => {
    using watch = await watched();
    for (const name of NAMES) faults.set(`${name}:7101`, 'away');
    for (const stream of open) stream.end(new JarvisError('unavailable', 'gone'));
    await passes(limits.tokenUnheardMs / 2);
    expect(watch.signal.aborted).toBe(false);
    await passes(limits.tokenUnheardMs / 2 + 1000);
    expect(watch.signal.reason).toMatchObject({ code: 'unavailable' });
  });

  it('leaves nothing open when the node stops', async () => {
    using watch = await watched();
    authenticator.close();
    await turn();
    expect(open.size).toBe(0);
    expect(watch.signal.reason).toMatchObject({ code: 'unavailable' });
  });
});
