/**
 * Whatever is asked of settings, alerts, the autoscaler and tokens between all that goes on: nothing throws, what is bounded
 * stays so, and replicas that hold their rows in other orders make the same of it.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { limits } from '../../lib/limits.ts';
import { runs } from '../../lib/testing/property-runs.ts';
import { channelKey } from '../../model/alert-outbox.ts';
import { formed, inputOf, step } from './testing/random-commands.ts';
import { laterInputOf, laterStep } from './testing/random-later-commands.ts';
import type { TestCluster } from './testing/test-cluster.ts';

const steps = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: laterStep.map((later) => ({ later, passMs: later.passMs }) as const) },
    { weight: 1, arbitrary: step.map((any) => ({ any, passMs: any.passMs }) as const) },
  ),
  { maxLength: 120, size: 'max' },
);
type Step = typeof steps extends fc.Arbitrary<(infer T)[]> ? T : never;

function commandOf(cluster: TestCluster, one: Step) {
  return 'later' in one ? laterInputOf(cluster, one.later) : inputOf(cluster, one.any);
}

/** To make a failure smaller takes minutes; its seed repeats it. */
const OPTIONS = { numRuns: runs(150), endOnFailure: true };

/** A message is that of its channel, and of each webhook and event there are a few at the most. */
function checkOutbox({ state }: TestCluster): void {
  const known = [...state.alertChannels.values()].flatMap(({ gathering, pending, ended }) => {
    expect(ended.length).toBeLessThanOrEqual(limits.alertsEnded);
    return [gathering, pending, ...ended].filter((id) => id !== null);
  });
  expect([...state.alerts.keys()].sort()).toEqual(known.sort());
  for (const { event, url, occurrences } of state.alerts.values()) {
    expect(state.alertChannels.has(channelKey(event, url))).toBe(true);
    expect(occurrences.length).toBeLessThanOrEqual(limits.alertOccurrences);
  }
}

describe('the state machine, given anything of later versions', () => {
  it('keeps its promises', () => {
    const reached = new Set<string>();
    fc.assert(
      fc.property(steps, (all) => {
        const cluster = formed();
        for (const one of all) {
          cluster.atMs += one.passMs;
          const command = commandOf(cluster, one);
          const { poisoned, outcome } = cluster.run(command);
          expect(poisoned).toBe(false);
          if (outcome.type === 'done') reached.add(command.type);
          checkOutbox(cluster);
        }
      }),
      OPTIONS,
    );
    for (const type of ['advanceAlerts', 'autoscalerDecided', 'instanceProgress', 'reformCluster'])
      expect(reached).toContain(type);
  });

  it('comes to the same rows and outcomes after a restart in between, rows restored in any order', () => {
    const orders = [(rows: unknown[]) => rows, (rows: unknown[]) => rows.toReversed()] as const;
    fc.assert(
      fc.property(steps, fc.nat({ max: 100 }), fc.constantFrom(...orders), (all, restartAt, order) => {
        const steady = formed();
        const restarted = formed();
        for (const [at, one] of all.entries()) {
          if (at === restartAt) restarted.state = restarted.restored(order as never);
          steady.atMs += one.passMs;
          restarted.atMs += one.passMs;
          const command = commandOf(steady, one);
          const outcome = JSON.stringify(restarted.run(command));
          expect(outcome).toBe(JSON.stringify(steady.run(command)));
        }
        expect(JSON.stringify([...restarted.stored])).toBe(JSON.stringify([...steady.stored]));
      }),
      OPTIONS,
    );
  });
});
