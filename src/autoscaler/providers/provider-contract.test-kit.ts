/** What every provider promises, as tests: each provider's own test file runs this suite. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ProviderError, type Instance, type InstanceRequest, type Provider } from './provider.ts';

export const CLUSTER_ID = 'cluster-a';
/** Shaped like one, of a cluster without TLS. */
const SECRET = 'TheSecretOfAJoinTokenThatNobodyMayEverSee00';
const JOIN_TOKEN = `jarvisjoin_0123456789ab_${SECRET}`;

export interface ProviderHarness {
  readonly provider: Provider;
  /** The same instances as a later leader sees them, or the host after a restart. */
  again(): Provider;
  /** Of another cluster, beside it. */
  stranger(): Provider;
  /** Leaves what a crash does that comes between the record of an intent and its deed; absent: there is no such moment. */
  readonly crashBeforeStart?: (request: InstanceRequest) => Promise<void>;
  /** Ends an instance without its provider. */
  end(id: string): Promise<void>;
  /** What there is of instances: processes, containers, directories. */
  leftovers(): Promise<readonly string[]>;
  /** All that others could read: logs, and arguments of processes. */
  said(): Promise<string>;
  dispose(): Promise<void>;
}

const never = new AbortController().signal;
/** Generous: a node takes seconds to end. */
const WAIT = { timeout: 30_000, interval: 50 };

export function instanceRequest(changes: Partial<InstanceRequest> = {}): InstanceRequest {
  return {
    clientToken: 'token-1',
    clusterId: CLUSTER_ID,
    node: 'auto-1',
    join: ['127.0.0.1:7101'],
    joinToken: JOIN_TOKEN,
    capacity: { cpuMillis: 500, memoryBytes: 64 * 1024 * 1024 },
    labels: { pool: 'auto' },
    ...changes,
  };
}

export function describeProvider(name: string, create: () => Promise<ProviderHarness>): void {
  describe(`${name} as a provider`, () => {
    let harness: ProviderHarness;
    let provider: Provider;

    beforeEach(async () => {
      harness = await create();
      ({ provider } = harness);
    });

    afterEach(() => harness.dispose());

    async function alive(from = provider): Promise<readonly Instance[]> {
      return (await from.list(never)).filter(({ state }) => state !== 'gone');
    }

    async function listed(id: string): Promise<Instance | undefined> {
      return (await provider.list(never)).find((instance) => instance.id === id);
    }

    async function untilGone(id: string): Promise<void> {
      await vi.waitFor(async () => expect((await listed(id))?.state ?? 'gone').toBe('gone'), WAIT);
    }

    it('makes an instance, and lists it with its tags', async () => {
      const made = await provider.create(instanceRequest(), never);
      expect(made).toMatchObject({ clientToken: 'token-1', node: 'auto-1' });
      expect(['pending', 'running']).toContain(made.state);
      await vi.waitFor(
        async () =>
          expect(await alive()).toEqual([
            expect.objectContaining({
              id: made.id,
              clientToken: 'token-1',
              node: 'auto-1',
              state: 'running',
              launchedAtMs: expect.any(Number),
            }),
          ]),
        WAIT,
      );
    });

    it('makes one for the same token, however often it is asked, and by whom', async () => {
      const made = await provider.create(instanceRequest(), never);
      expect((await provider.create(instanceRequest(), never)).id).toBe(made.id);
      expect((await harness.again().create(instanceRequest(), never)).id).toBe(made.id);
      expect(await alive()).toHaveLength(1);
      expect(await alive(harness.again())).toHaveLength(1);
    });

    it('makes one for the same token, also when asked at the same time', async () => {
      const all = await Promise.all([1, 2, 3, 4].map(() => provider.create(instanceRequest(), never)));
      expect(new Set(all.map(({ id }) => id)).size).toBe(1);
      expect(await alive()).toHaveLength(1);
    });

    it('makes several for several tokens at the same time', async () => {
      const tokens = ['token-1', 'token-2', 'token-3'];
      const all = await Promise.all(
        tokens.map((clientToken, at) =>
          provider.create(instanceRequest({ clientToken, node: `auto-${at}` }), never),
        ),
      );
      expect(new Set(all.map(({ id }) => id)).size).toBe(3);
      const seen = new Set((await alive()).map(({ clientToken }) => clientToken));
      expect(seen).toEqual(new Set(tokens));
    });

    it('goes on where it was cut off between the intent and the deed', async () => {
      if (harness.crashBeforeStart === undefined) return;
      await harness.crashBeforeStart(instanceRequest());
      const after = harness.again();
      expect(await after.list(never)).toEqual([
        expect.objectContaining({ clientToken: 'token-1', node: 'auto-1', state: 'pending' }),
      ]);
      const made = await after.create(instanceRequest(), never);
      expect(await alive(after)).toEqual([expect.objectContaining({ id: made.id, state: 'running' })]);
      await after.terminate(made.id, never);
      await untilGone(made.id);
    });

    it('ends what was cut off between the intent and the deed', async () => {
      if (harness.crashBeforeStart === undefined) return;
      await harness.crashBeforeStart(instanceRequest());
      const after = harness.again();
      const [pending] = await after.list(never);
      await after.terminate(pending?.id ?? '', never);
      expect(await alive(after)).toEqual([]);
      expect(await harness.leftovers()).toEqual([]);
    });

    it('refuses a token that is of another node', async () => {
      await provider.create(instanceRequest(), never);
      const refused = provider.create(instanceRequest({ node: 'auto-2' }), never);
      await expect(refused).rejects.toMatchObject({ kind: 'invalid' });
      expect(await alive()).toHaveLength(1);
    });

    it('ends an instance, also twice, and leaves nothing', async () => {
      const made = await provider.create(instanceRequest(), never);
      const other = await provider.create(instanceRequest({ clientToken: 'token-2', node: 'auto-2' }), never);
      await provider.terminate(made.id, never);
      await untilGone(made.id);
      await provider.terminate(made.id, never);
      await harness.again().terminate(made.id, never);
      expect((await alive()).map(({ id }) => id)).toEqual([other.id]);
      await Promise.all([provider.terminate(other.id, never), provider.terminate(other.id, never)]);
      await untilGone(other.id);
      await vi.waitFor(async () => expect(await harness.leftovers()).toEqual([]), WAIT);
    });

    it('ends what its predecessor has begun', async () => {
      const made = await provider.create(instanceRequest(), never);
      await harness.again().terminate(made.id, never);
      await untilGone(made.id);
      await vi.waitFor(async () => expect(await harness.leftovers()).toEqual([]), WAIT);
    });

    it('takes it that an instance which it does not know is gone', async () => {
      await provider.terminate('no-such-instance', never);
      expect(await alive()).toEqual([]);
    });

    it('does not take an instance for alive that has ended by itself, and makes no second one for it', async () => {
      const made = await provider.create(instanceRequest(), never);
      await harness.end(made.id);
      await untilGone(made.id);
      const again = await provider.create(instanceRequest(), never);
      expect(again).toMatchObject({ id: made.id, state: 'gone' });
      await provider.terminate(made.id, never);
      await vi.waitFor(async () => expect(await harness.leftovers()).toEqual([]), WAIT);
    });

    it('lists nothing of other clusters', async () => {
      const made = await provider.create(instanceRequest(), never);
      expect(await harness.stranger().list(never)).toEqual([]);
      expect(await listed(made.id)).toBeDefined();
    });

    it('ends nothing of other clusters', async () => {
      const made = await provider.create(instanceRequest(), never);
      await harness.stranger().terminate(made.id, never);
      expect((await alive()).map(({ id }) => id)).toEqual([made.id]);
    });

    it('refuses names that are none, and does nothing', async () => {
      for (const clientToken of ['', '../up', 'a/b', '-x', 'x'.repeat(129)]) {
        const refused = provider.create(instanceRequest({ clientToken }), never);
        await expect(refused).rejects.toMatchObject({ kind: 'invalid' });
      }
      await expect(provider.create(instanceRequest({ node: 'a b' }), never)).rejects.toMatchObject({
        kind: 'invalid',
      });
      expect(await harness.leftovers()).toEqual([]);
    });

    it('ends with the signal of whoever asks', async () => {
      const given = AbortSignal.abort(new Error('enough'));
      await expect(provider.create(instanceRequest(), given)).rejects.toBeInstanceOf(ProviderError);
      await expect(provider.list(given)).rejects.toMatchObject({ kind: 'unavailable' });
      await expect(provider.terminate('no-such-instance', given)).rejects.toBeInstanceOf(ProviderError);
    });

    it('shows the join token to nobody', async () => {
      await provider.create(instanceRequest(), never);
      const refused = provider.create(instanceRequest({ node: JOIN_TOKEN }), never);
      const message = await refused.then(String, String);
      expect(message).not.toContain(SECRET);
      expect(JSON.stringify(await provider.list(never))).not.toContain(SECRET);
      expect(await harness.said()).not.toContain(SECRET);
    });
  });
}
