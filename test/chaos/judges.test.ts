/** The judges find what they are for, and have nothing to say about a good run. */
import { describe, expect, it } from 'vitest';

import type { TaskJson } from '../support/api.ts';
import type { Operation, Sighting } from './calls.ts';
import type { HistoryOperation } from './history.ts';
import { judge, type Evidence } from './judges.ts';
import type { RunLine } from './recorder.ts';

const ID = 'task-a';
const completed = { attempt: 1, node: 'n1', status: 'COMPLETED' };

function task(changes: Partial<Record<keyof TaskJson, unknown>> = {}): TaskJson {
  const all = { id: ID, name: 'k', status: 'COMPLETED', attempt: 1, node: 'n1', attempts: [completed] };
  return { ...all, ...changes } as unknown as TaskJson;
}

function operation(changes: Partial<Operation> = {}): Operation {
  const out = { id: ID, status: 'PENDING' };
  return {
    process: 'c',
    f: 'submit',
    key: 'k',
    in: { id: ID },
    out,
    call: 1,
    return: 2,
    ok: true,
    ...changes,
  };
}

function run(what: RunLine['what'], changes: Partial<RunLine> = {}): RunLine {
  return { key: 'k', id: ID, attempt: 1, token: '100', node: 'n1', pid: 7, atMs: 10, what, ...changes };
}

const read: HistoryOperation = {
  process: 0,
  key: 'r',
  f: 'read',
  in: null,
  out: null,
  call: 1,
  return: 2,
  ok: true,
};

function seen(status: string, attempt: number, at: number): Sighting {
  return { id: ID, status, attempt, process: 'p', call: at, return: at + 1 };
}

/** A run in which all went well. */
function evidence(changes: Partial<Evidence> & { readonly tasks?: readonly TaskJson[] } = {}): Evidence {
  const { tasks = [task()], ...more } = changes;
  return {
    operations: [operation()],
    sightings: [seen('PENDING', 0, 1), seen('RUNNING', 1, 3), seen('PENDING', 1, 5), seen('COMPLETED', 2, 7)],
    final: { n1: tasks, n2: tasks },
    runs: [run('start'), run('end')],
    groups: [],
    history: [read],
    isUnguarded: () => false,
    least: { acknowledged: 1, history: 1 },
    ...more,
  };
}

function shownGroup(kind: 'batch' | 'dag'): Evidence['groups'][number] {
  return { id: `${kind}-a`, status: 'COMPLETED', size: 2, counts: { COMPLETED: 2 } };
}

/** A group of two tasks, of which these are there. @param beganMs when the second did; the first ended at 20 */
function ofGroup(
  kind: 'batch' | 'dag',
  positions: readonly number[],
  beganMs = 30,
): Parameters<typeof evidence>[0] {
  const ids = { batch: { batch_id: 'batch-a' }, dag: { dag_id: 'dag-a' } }[kind];
  const tasks = positions.map((at) => task({ id: `task-${at}`, name: `${kind}-0.${at}.2`, ...ids }));
  const lines = positions.flatMap((at) => {
    const own = { id: `task-${at}`, key: `${kind}-0.${at}.2`, token: `${at}` };
    const [start, end] = at === 0 ? [10, 20] : [beganMs, 40];
    return [run('start', { ...own, atMs: start }), run('end', { ...own, atMs: end })];
  });
  return {
    operations: [],
    tasks,
    runs: lines,
    groups: [shownGroup(kind)],
    least: { acknowledged: 0, history: 0 },
  };
}

const cancel = operation({ f: 'cancel', out: { status: 'CANCELLED' } });

describe('the judges', () => {
  it('have nothing to say about a good run', () => {
    expect(judge(evidence())).toEqual([]);
    const cancelled = task({ status: 'CANCELLED', attempt: 0, attempts: [] });
    expect(judge(evidence({ tasks: [cancelled], operations: [operation(), cancel], runs: [] }))).toEqual([]);
    for (const kind of ['batch', 'dag'] as const)
      expect(judge(evidence({ sightings: [], ...ofGroup(kind, [0, 1]) }))).toEqual([]);
  });

  it.each<[string, string, Parameters<typeof evidence>[0]]>([
    ['acknowledged', 'a lost task', { tasks: [], runs: [] }],
    [
      'acknowledged',
      'a task that is not found',
      { operations: [operation(), operation({ f: 'read', ok: false, out: { status: 404 } })] },
    ],
    ['keys', 'two answers for one key', { operations: [operation(), operation({ out: { id: 'task-b' } })] }],
    ['keys', 'two tasks of one key', { tasks: [task(), task({ id: 'task-b' })] }],
    ['keys', 'a task that is listed twice', { tasks: [task(), task()] }],
    ['finality', 'a task that is not over', { tasks: [task({ status: 'RUNNING' })] }],
    ['outcomes', 'a task that failed', { tasks: [task({ status: 'PERMANENTLY_FAILED' })] }],
    [
      'outcomes',
      'a cancelled task that nobody cancelled',
      { tasks: [task({ status: 'CANCELLED', attempts: [] })] },
    ],
    ['outcomes', 'a cancellation that was forgotten', { operations: [operation(), cancel] }],
    ['outcomes', 'a task that never ran to its end', { runs: [run('start')] }],
    ['outcomes', 'two attempts that completed', { tasks: [task({ attempts: [completed, completed] })] }],
    ['order', 'a status that goes back', { sightings: [seen('RUNNING', 1, 1), seen('ASSIGNED', 1, 3)] }],
    ['order', 'an attempt that goes back', { sightings: [seen('RUNNING', 2, 1), seen('RUNNING', 1, 3)] }],
    [
      'order',
      'a final status that changes',
      { sightings: [seen('COMPLETED', 1, 1), seen('CANCELLED', 1, 3)] },
    ],
    ['order', 'a task that begins anew', { sightings: [seen('COMPLETED', 1, 1), seen('RUNNING', 2, 3)] }],
    ['runs', 'an assignment that started twice', { runs: [run('start'), run('start'), run('end')] }],
    [
      'runs',
      'a token that does not rise',
      {
        tasks: [task({ attempt: 2 })],
        runs: [run('start'), run('start', { attempt: 2, token: '99' }), run('end')],
      },
    ],
    [
      'runs',
      'an attempt that nobody knows',
      { runs: [run('start'), run('start', { attempt: 2, token: '101' }), run('end')] },
    ],
    ['record', 'an attempt that ran on another node', { runs: [run('start', { node: 'n2' }), run('end')] }],
    [
      'record',
      'an attempt that completed while another one ran to its end',
      {
        tasks: [
          task({
            attempt: 2,
            attempts: [
              { ...completed, status: 'LOST' },
              { ...completed, attempt: 2 },
            ],
          }),
        ],
        runs: [run('start'), run('end'), run('start', { attempt: 2, token: '101' })],
      },
    ],
    [
      'record',
      'attempts out of order',
      { tasks: [task({ attempt: 2, attempts: [{ ...completed, attempt: 2, status: 'LOST' }, completed] })] },
    ],
    ['agreement', 'nodes that differ', { final: { n1: [task()], n2: [task({ node: 'n2' })] } }],
    [
      'overlap',
      'two attempts at once',
      {
        tasks: [task({ attempt: 2 })],
        runs: [
          run('start'),
          run('beat', { atMs: 30 }),
          run('start', { attempt: 2, token: '101', atMs: 20 }),
          run('end', { attempt: 2, token: '101', atMs: 40 }),
        ],
      },
    ],
    ['groups', 'a batch of which one task is missing', ofGroup('batch', [0])],
    ['groups', 'a DAG whose second task began before the end of the first', ofGroup('dag', [0, 1], 15)],
    ['groups', 'a batch that counts other tasks', { ...ofGroup('batch', [0, 1]), groups: [] }],
    ['groups', 'a batch without any of its tasks', { groups: [shownGroup('batch')] }],
    ['linearizability', 'what nobody wrote', { history: [{ ...read, out: 'x' }] }],
    ['progress', 'too little work', { least: { acknowledged: 2, history: 1 } }],
    ['progress', 'too little of the history', { least: { acknowledged: 1, history: 2 } }],
  ])('%s: %s', (name, _what, changes) => {
    expect(judge(evidence(changes)).map((finding) => finding.judge)).toContain(name);
  });

  it('are not asked where that is not wanted', () => {
    const bad = evidence({ history: [{ ...read, out: 'x' }] });
    expect(judge(bad, ['linearizability'])).toEqual([]);
  });

  it('take what overlaps in time in any order', () => {
    const sightings = [seen('COMPLETED', 1, 1), { ...seen('RUNNING', 1, 0), return: 9 }];
    expect(judge(evidence({ sightings }))).toEqual([]);
  });
});
