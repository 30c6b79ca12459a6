import { describe, expect, it } from 'vitest';

import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { TestCluster } from '../scheduler/core/testing/test-cluster.ts';
import { AUTOSCALER_LIMITS } from './limits.ts';
import { InstanceLists } from './lists.ts';
import type { Provider } from './providers/provider.ts';

const MACHINES = AUTOSCALER_LIMITS.listsAtOnce + 10;

describe('lists of many machines', () => {
  it('are asked for a few at a time, each of them in its turn', async () => {
    const cluster = TestCluster.formed();
    for (let index = 0; index < MACHINES; index += 1) cluster.join(`n${index}`);
    const clock = new VirtualClock();
    const asked: (string | null)[] = [];
    const answers: (() => void)[] = [];
    const of = (_name: string, host: string | null): Pick<Provider, 'list'> => ({
      list: () => {
        asked.push(host);
        return new Promise((resolve) => answers.push(() => resolve([])));
      },
    });
    const lists = new InstanceLists({
      providers: { of: (name, host) => of(name, host) as Provider },
      state: () => cluster.state,
      nowMs: () => clock.wallMs(),
      clock,
      onFailure: (_provider, reason) => expect.unreachable(reason),
      onList: () => undefined,
    });
    const { signal } = new AbortController();
    lists.look(true, 'process', signal);
    lists.look(true, 'process', signal);
    expect(asked).toHaveLength(AUTOSCALER_LIMITS.listsAtOnce);
    for (const answer of answers.splice(0)) answer();
    // Time enough for the first ones to be due again: those that have waited go before them.
    await clock.advance(AUTOSCALER_LIMITS.listBusyMs);
    lists.look(true, 'process', signal);
    expect(asked).toHaveLength(2 * AUTOSCALER_LIMITS.listsAtOnce);
    expect(new Set(asked).size).toBe(MACHINES);
  });
});
