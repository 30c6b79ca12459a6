import { describe, expect, it } from 'vitest';

import { systemClock } from '../../lib/clock.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { FaultyProvider } from './faulty-provider.test-kit.ts';
import { MemoryProvider } from './memory-provider.test-kit.ts';
import {
  CLUSTER_ID,
  describeProvider,
  instanceRequest,
  type ProviderHarness,
} from './provider-contract.test-kit.ts';
import { ProviderError, type Provider } from './provider.ts';

const never = new AbortController().signal;

function harnessOf(wrap: (inner: MemoryProvider) => Provider): ProviderHarness {
  const inner = new MemoryProvider({ clusterId: CLUSTER_ID, clock: systemClock });
  return {
    provider: wrap(inner),
    again: () => wrap(inner),
    stranger: () => new MemoryProvider({ clusterId: 'cluster-b', clock: systemClock }),
    end: async (id) => inner.end(id),
    leftovers: async () =>
      [...inner.kept.values()]
        .filter(({ instance }) => instance.state !== 'gone')
        .map(({ instance }) => instance.id),
    said: async () => '',
    dispose: async () => undefined,
  };
}

describeProvider('memory', async () => harnessOf((inner) => inner));
describeProvider('a faulty one without faults', async () =>
  harnessOf((inner) => new FaultyProvider(inner, systemClock)),
);

function bed(): { clock: VirtualClock; inner: MemoryProvider; faulty: FaultyProvider } {
  const clock = new VirtualClock();
  const inner = new MemoryProvider({ clusterId: CLUSTER_ID, clock });
  return { clock, inner, faulty: new FaultyProvider(inner, clock) };
}

describe('a faulty provider', () => {
  it('refuses, and nothing has happened', async () => {
    const { inner, faulty } = bed();
    const error = new ProviderError('throttled', 'slowly', { retryAfterMs: 3000 });
    faulty.next('create', { type: 'refuse', error });
    await expect(faulty.create(instanceRequest(), never)).rejects.toBe(error);
    expect(inner.kept.size).toBe(0);
    await faulty.create(instanceRequest(), never);
    expect(inner.kept.size).toBe(1);
    expect(faulty.calls).toEqual(['create token-1', 'create token-1']);
  });

  it('loses an answer, and all of it has happened', async () => {
    const { inner, faulty } = bed();
    faulty.always('create', { type: 'lose' });
    await expect(faulty.create(instanceRequest(), never)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(inner.kept.size).toBe(1);
    faulty.always('create', null);
    expect(await faulty.create(instanceRequest(), never)).toMatchObject({ id: 'i-token-1' });
  });

  it('is slow, or never answers', async () => {
    const { clock, inner, faulty } = bed();
    faulty.next('create', { type: 'slow', delayMs: 500 }, { type: 'hang' });
    const slow = faulty.create(instanceRequest(), never);
    await clock.advance(499);
    expect(inner.kept.size).toBe(0);
    await clock.advance(1);
    expect(await slow).toMatchObject({ state: 'running' });
    const patience = new AbortController();
    const hanging = faulty.create(instanceRequest({ clientToken: 'token-2' }), patience.signal);
    await clock.advance(3_600_000);
    patience.abort(new Error('enough'));
    await expect(hanging).rejects.toMatchObject({ kind: 'unavailable' });
    expect(inner.kept.size).toBe(1);
  });

  it('lists late what was made, and what is gone', async () => {
    const { clock, faulty } = bed();
    faulty.lateMs = { made: 1000, gone: 2000 };
    const { id } = await faulty.create(instanceRequest(), never);
    expect(await faulty.list(never)).toEqual([]);
    await clock.advance(1000);
    expect(await faulty.list(never)).toMatchObject([{ id, state: 'running' }]);
    await faulty.terminate(id, never);
    expect(await faulty.list(never)).toMatchObject([{ id, state: 'running' }]);
    await clock.advance(2000);
    expect(await faulty.list(never)).toMatchObject([{ id, state: 'gone' }]);
  });

  it('leaves out what there is, and shows what there is not', async () => {
    const { faulty } = bed();
    const made = await faulty.create(instanceRequest(), never);
    faulty.hidden.add(made.id);
    faulty.ghosts.push({ ...made, id: 'i-ghost', clientToken: null, node: null });
    expect((await faulty.list(never)).map(({ id }) => id)).toEqual(['i-ghost']);
  });
});
