/** The chaos run itself: its judges find what they are for, its schedule follows from the seed, its options are checked. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { seededRandom } from '../../src/lib/random.ts';
import type { Operation, Sighting } from '../chaos/history.ts';
import { judge, type Evidence } from '../chaos/judges.ts';
import { planFaults } from '../chaos/schedule.ts';
import type { RunLine } from '../chaos/workload.ts';
import type { TaskJson } from '../support/api.ts';

const ID = 'task-a';
const completed = { attempt: 1, status: 'COMPLETED' };

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

function run(what: string, changes: Partial<RunLine> = {}): RunLine {
  return { key: 'k', id: ID, attempt: 1, token: '100', what, ...changes };
}

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
    leastAcknowledged: 1,
    ...more,
  };
}

const cancel = operation({ f: 'cancel', out: { status: 'CANCELLED' } });

describe('the judges', () => {
  it('have nothing to say about a good run', () => {
    expect(judge(evidence())).toEqual([]);
    const cancelled = task({ status: 'CANCELLED', attempt: 0, attempts: [] });
    expect(judge(evidence({ tasks: [cancelled], operations: [operation(), cancel], runs: [] }))).toEqual([]);
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
    ['agreement', 'nodes that differ', { final: { n1: [task()], n2: [task({ node: 'n2' })] } }],
    ['progress', 'too little work', { leastAcknowledged: 2 }],
  ])('%s: %s', (name, _what, changes) => {
    expect(judge(evidence(changes)).map((finding) => finding.judge)).toContain(name);
  });

  it('take what overlaps in time in any order', () => {
    const sightings = [seen('COMPLETED', 1, 1), { ...seen('RUNNING', 1, 0), return: 9 }];
    expect(judge(evidence({ sightings }))).toEqual([]);
  });
});

describe('the schedule', () => {
  it('follows from the seed alone, and begins with the leader', () => {
    const faults = planFaults(60, seededRandom(7));
    expect(faults).toEqual(planFaults(60, seededRandom(7)));
    expect(faults).not.toEqual(planFaults(60, seededRandom(8)));
    expect(faults[0]).toMatchObject({ type: 'kill', target: { leader: true } });
    const types = new Set(
      Array.from({ length: 20 }, (_, seed) => planFaults(60, seededRandom(seed)))
        .flat()
        .map(({ type }) => type),
    );
    expect([...types].sort()).toEqual(['kill', 'killAll', 'killTwo', 'pause']);
  });
});

describe('the command line', () => {
  const out = path.join(tmpdir(), `jarvis-chaos-${process.pid}`);

  it.each<[readonly string[], string]>([
    [['--out', out, '--sede', '1'], '--sede'],
    [['--out', out, '--seed', '-1'], '--seed'],
    [['--out', out, '--seed', 'abc'], '"abc"'],
    [['--out', out, '--seconds', '0'], '1 to 3600'],
    [['--out', out, 'more'], 'more'],
    [['--seed', '1'], '--out'],
  ])('%j is refused', (args, mention) => {
    const program = fileURLToPath(new URL('../chaos/main.ts', import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr.split('\n')[0]).toContain(mention);
    expect(existsSync(out)).toBe(false);
  });
});
