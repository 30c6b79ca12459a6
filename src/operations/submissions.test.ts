import { describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Outcome, Submission } from '../model/commands.ts';
import type { CommandInput } from '../scheduler/ports.ts';
import { specOf } from '../scheduler/core/testing/values.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { Submissions } from './submissions.ts';

const submission = (key: string | null, tasks = 1, requestDigest = 'd'): Submission => ({
  tasks: Array.from({ length: tasks }, () => specOf()),
  idempotency: key === null ? null : { key, requestDigest },
});

function onCluster(): { readonly submissions: Submissions; readonly commands: CommandInput[] } {
  const replica = new TestCluster(['n1']).replica('n1');
  const commands: CommandInput[] = [];
  replica.beforePropose = async (command) => void commands.push(command);
  return { submissions: new Submissions(replica), commands };
}

function idsOf(outcome: Outcome | undefined): readonly string[] {
  if (outcome?.type !== 'done') throw new Error(JSON.stringify(outcome));
  return (outcome.result as { readonly taskIds: readonly string[] }).taskIds;
}

describe('submissions that come in one turn', () => {
  it('share a command, and each has its own outcome', async () => {
    const { submissions, commands } = onCluster();
    const outcomes = await Promise.all([
      submissions.accept(submission('a'), 10),
      submissions.accept(submission(null, 2), 10),
      submissions.accept(submission('a'), 10),
      submissions.accept(submission('a', 1, 'another'), 10),
      submissions.accept(submission('b'), 10),
    ]);
    expect(commands.map(({ type }) => type)).toEqual(['submitMany']);
    const [a, two, again, conflict, b] = outcomes;
    expect(idsOf(two)).toHaveLength(2);
    expect(idsOf(again)).toEqual(idsOf(a));
    expect(conflict).toMatchObject({ type: 'refused', code: 'idempotency_conflict' });
    expect(new Set([...idsOf(a), ...idsOf(two), ...idsOf(b)]).size).toBe(4);
  });

  it('are apart where one comes alone', async () => {
    const { submissions, commands } = onCluster();
    await submissions.accept(submission('a'), 10);
    await submissions.accept(submission('b'), 10);
    expect(commands.map(({ type }) => type)).toEqual(['submitTasks', 'submitTasks']);
  });

  it('take as many commands as the bounds ask for', async () => {
    const { submissions, commands } = onCluster();
    const sizes = [limits.tasksTogether - 1, 1, 1, 2 * limits.tasksTogether, 1];
    const bytes = [10, 10, 10, 10, limits.messageBytes];
    const outcomes = await Promise.all(
      sizes.map((size, at) => submissions.accept(submission(null, size), bytes[at] ?? 0)),
    );
    expect(outcomes.map((outcome) => idsOf(outcome).length)).toEqual(sizes);
    const tasks = commands.map((command) => {
      if (command.type === 'submitTasks') return [command.tasks.length];
      return command.type === 'submitMany' ? command.submissions.map((one) => one.tasks.length) : [];
    });
    expect(tasks).toEqual([[limits.tasksTogether - 1, 1], [1], [2 * limits.tasksTogether], [1]]);
  });

  it('fail together where their entry does', async () => {
    const failure = new JarvisError('outcome_unknown', 'leadership was lost');
    const submissions = new Submissions({ propose: () => Promise.reject(failure) });
    const outcomes = await Promise.allSettled(
      ['a', 'b'].map((key) => submissions.accept(submission(key), 10)),
    );
    expect(outcomes).toEqual([
      { status: 'rejected', reason: failure },
      { status: 'rejected', reason: failure },
    ]);
  });

  it('are refused where too many wait', async () => {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const submissions = new Submissions({ propose: () => promise });
    const waiting = Array.from({ length: limits.pendingProposals }, () =>
      submissions.accept(submission(null), 1),
    );
    await expect(submissions.accept(submission(null), 1)).rejects.toMatchObject({ code: 'too_many' });
    resolve({ type: 'refused', code: 'conflict', message: 'no' });
    await Promise.all(waiting);
    await expect(submissions.accept(submission(null), 1)).resolves.toMatchObject({ type: 'refused' });
  });
});
