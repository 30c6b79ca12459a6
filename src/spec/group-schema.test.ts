import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { unpackSpec } from '../model/packed-specs.ts';
import { fillIn, parametersOf } from '../model/template.ts';
import { checkBatch } from './batch-schema.ts';
import { cyclesIn } from './cycles.ts';
import { checkDag } from './dag-schema.ts';
import { formatPath } from './faults.ts';
import { batchToWire, dagToWire, plainBatch, plainDag } from './group-wire.ts';
import { parseTaskSpec } from './task-schema.ts';

type Check = typeof checkBatch | typeof checkDag;

async function faultsOf(check: Check, plain: unknown): Promise<Record<string, string>> {
  const result = await check(plain);
  if (result.type === 'valid') return {};
  return Object.fromEntries(result.faults.map(({ path, message }) => [formatPath(path), message]));
}

async function batch(plain: unknown) {
  const result = await checkBatch(plain);
  if (result.type === 'invalid') throw new Error(JSON.stringify(result.faults));
  return result.spec;
}

async function dag(plain: unknown) {
  const result = await checkDag(plain);
  if (result.type === 'invalid') throw new Error(JSON.stringify(result.faults));
  return result.spec;
}

const command = ['true'];

describe('a batch as users write it', () => {
  it('is a list, or tasks with a name and bounds', async () => {
    const list = await batch([{ command }, { command, name: 'b' }]);
    expect(list).toMatchObject({ name: 'batch', maxParallel: null, maxFailures: null });
    const specs = list.work.type === 'tasks' ? list.work.specs : null;
    expect(specs).toEqual({ base: parseTaskSpec({ command }), changes: [{}, { name: 'b' }] });
    const named = { kind: 'Batch', name: 'mine', max_parallel: 2, max_failures: 0, tasks: [{ command }] };
    expect(await batch(named)).toMatchObject({ name: 'mine', maxParallel: 2, maxFailures: 0 });
  });

  it('is a template with a count or with parameters', async () => {
    const template = { name: 'job-{{index}}', command: ['run', '{{file}}'], env: { N: '{{n}}' } };
    const parameters = [
      { n: 1, file: 'a' },
      { file: 'b', n: true },
    ];
    expect((await batch({ template, parameters })).work).toMatchObject({
      type: 'parameters',
      template: { name: 'job-{{index}}', command: ['run', '{{file}}'], env: [['N', '{{n}}']] },
      parameters: [
        [
          ['file', 'a'],
          ['n', '1'],
        ],
        [
          ['file', 'b'],
          ['n', 'true'],
        ],
      ],
    });
    const counted = await batch({ template: { command: ['x', '{{index}}'] }, count: 100_000 });
    expect(counted.work).toMatchObject({ type: 'template', count: 100_000 });
  });

  it('may have parameters wherever a task has text', async () => {
    const template = {
      image: '{{registry}}/app:{{tag}}',
      user: '{{user}}',
      working_dir: '{{dir}}/sub',
      mounts: [{ source: '{{dir}}', target: '/data/{{index}}' }],
      labels: { part: '{{index}}' },
    };
    const values = { registry: 'r.example.com', tag: 'v1', user: '1000:1000', dir: '/srv/x' };
    const { work } = await batch({ template, parameters: [values] });
    const spec = work.type === 'parameters' ? work.template : null;
    const filled = fillIn(spec, parametersOf(0, Object.entries(values)));
    expect(filled).toEqual(
      parseTaskSpec({
        image: 'r.example.com/app:v1',
        user: '1000:1000',
        working_dir: '/srv/x/sub',
        mounts: [{ source: '/srv/x', target: '/data/0' }],
        labels: { part: '0' },
      }),
    );
  });

  it.each([
    [null, '', 'must be an object, not null'],
    [[], 'tasks', 'a list of 0 is too small: at least 1'],
    [{}, 'tasks', 'is required, or a template with a count or parameters'],
    [{ tasks: [{ command }], count: 3 }, 'count', 'is for templates only'],
    [{ template: { command } }, 'count', 'is required, or parameters'],
    [{ template: { command }, count: 1, parameters: [{}] }, 'count', 'is not allowed beside parameters'],
    [{ template: { command }, count: 1e9 }, 'count', '1000000000 is too large: at most 100000'],
    [{ template: { command }, count: 0 }, 'count', '0 is too small: at least 1'],
    [{ template: { command }, count: 1.5 }, 'count', 'must be an integer, not 1.5'],
    [{ template: 3, count: 1 }, 'template', 'must be an object, not 3'],
    [{ kind: 'Dag', tasks: [{ command }] }, 'kind', '"Dag" is not allowed: must be Batch'],
    [{ tasks: [{ command }], max_parallel: 0 }, 'max_parallel', '0 is too small: at least 1'],
    [{ tasks: [{ command }], max_failures: -1 }, 'max_failures', '-1 is too small: at least 0'],
    [[{ command }, { command, cpu: 1 }], 'tasks[1].cpu', 'unknown field "cpu"'],
    [[{ command }, { command, dependencies: [] }], 'tasks[1].dependencies', 'unknown field'],
    [
      { template: { command: ['{{fiel}}'] }, parameters: [{ file: 'a' }] },
      'template.command[0]',
      'did you mean',
    ],
    [
      { template: { command: ['{{a}}'] }, parameters: [{ a: 'x' }, { b: 'y' }] },
      'parameters[1]',
      'lacks "a", which the template names',
    ],
    [{ template: { command }, parameters: [{ index: 1 }] }, 'parameters[0].index', 'is there already'],
    [{ template: { command }, parameters: [{ 'a b': 1 }] }, 'parameters[0]["a b"]', 'is not a name'],
    [{ template: { command }, parameters: [{ a: [1] }] }, 'parameters[0].a', 'must be a string or a number'],
    [{ template: { command }, parameters: [{ a: 'x\0' }] }, 'parameters[0].a', 'NUL'],
    [
      { template: { command, name: 'n-{{a}}' }, parameters: [{ a: 'ok' }, { a: 'not ok' }] },
      'parameters[1]',
      'task 1: name: "n-not ok" is not a name',
    ],
    [
      { template: { command, working_dir: '{{a}}' }, parameters: [{ a: '/x' }, { a: 'x' }] },
      'parameters[1]',
      'task 1: working_dir: "x" is not allowed: an absolute path',
    ],
    [
      { template: { image: '{{a}}' }, parameters: [{ a: 'ok' }, { a: ':' }] },
      'parameters[1]',
      'task 1: image',
    ],
    [
      { template: { command: ['{{a}}'] }, parameters: [{ a: '' }] },
      'parameters[0]',
      'the program must not be empty',
    ],
    [
      { template: { command, resources: { cpu: '{{a}}' } }, parameters: [{ a: '1' }] },
      'template.resources.cpu',
      '"{{a}}" is not allowed: cores such as',
    ],
    [
      { template: { command, priority: '{{index}}' }, count: 1 },
      'template.priority',
      '"{{index}}" is not allowed',
    ],
  ])('is refused as %j at %s', async (plain, path, message) => {
    const faults = await faultsOf(checkBatch, plain);
    expect(faults[path]).toContain(message);
    expect(Object.keys(faults)).toHaveLength(1);
  });

  it('may make numbers of users', async () => {
    const template = { command: ['x'], user: '100{{index}}:2{{g}}' };
    expect(await batch({ template, parameters: [{ g: '5' }] })).toMatchObject({
      work: { template: { user: template.user } },
    });
    const faults = await faultsOf(checkBatch, { template, parameters: [{ g: '5' }, { g: 'x' }] });
    expect(faults['parameters[1]']).toContain('user');
  });

  it('is refused where a small template would grow beyond the limits', async () => {
    const template = { command: ['x', ...Array.from({ length: 2000 }, () => '{{a}}')] };
    const faults = await faultsOf(checkBatch, {
      template,
      parameters: [{ a: 'a' }, { a: 'x'.repeat(1000) }],
    });
    expect(faults['parameters[1]']).toContain('bytes of command, which is too much: 1 MiB in all');
    const name = `${'n'.repeat(120)}-{{index}}`;
    const long = await faultsOf(checkBatch, { template: { command, name }, count: 100_000 });
    expect(long['name']).toContain('the names of all tasks take');
  });

  it('travels to a node unharmed', async () => {
    for (const plain of [
      [{ command }, { command, name: 'b' }],
      {
        name: 'n',
        template: { command: ['{{a}}'], name: 'x-{{index}}' },
        parameters: [{ a: 1 }],
        max_parallel: 2,
      },
      { template: { command }, count: 3, max_failures: 0 },
    ]) {
      expect(await batch(await plainBatch(batchToWire(plain, 'k')))).toEqual(await batch(plain));
    }
  });
});

const etl = {
  name: 'etl-pipeline',
  tasks: [
    { id: 'extract', command: ['python', 'extract.py'], dependencies: [] },
    { id: 'transform', command: ['python', 'transform.py'], dependencies: ['extract'] },
    { id: 'load', command: ['python', 'load.py'], dependencies: ['transform'] },
  ],
};

describe('a DAG as users write it', () => {
  it('names its tasks by their ids, in any order', async () => {
    const { tasks, name, specs, dependencies } = await dag({ ...etl, tasks: etl.tasks.toReversed() });
    expect(name).toBe('etl-pipeline');
    expect(tasks).toEqual(['load', 'transform', 'extract']);
    expect(tasks.map((_, at) => unpackSpec(specs, at)?.name)).toEqual(tasks);
    expect(dependencies).toEqual([[1], [2], []]);
    expect(await dag(await plainDag(dagToWire(etl, 'k')))).toEqual(await dag(etl));
  });

  it.each([
    [{ tasks: etl.tasks }, 'name', 'nothing is not a name'],
    [{ name: 'd', tasks: [] }, 'tasks', 'too small'],
    [{ name: 'd', tasks: [{ command }] }, 'tasks[0].id', 'is required'],
    [{ name: 'd', tasks: [{ id: 'a b', command }] }, 'tasks[0].id', 'is not a name'],
    [{ name: 'd', tasks: [7] }, 'tasks[0]', 'must be an object, not 7'],
    [{ name: 'd', tasks: [{ id: 'a' }] }, 'tasks[0].command', 'is required'],
    [
      {
        name: 'd',
        tasks: [
          { id: 'a', command },
          { id: 'a', command },
        ],
      },
      'tasks[1].id',
      '"a" is the id of tasks[0] already',
    ],
    [
      {
        name: 'd',
        tasks: [
          { id: 'first', command },
          { id: 'b', command, dependencies: ['fisrt'] },
        ],
      },
      'tasks[1].dependencies[0]',
      '"fisrt" is no task of this DAG, did you mean first?',
    ],
    [
      { name: 'd', tasks: [{ id: 'a', command, dependencies: ['a'] }] },
      'tasks[0].dependencies[0]',
      'depends on itself',
    ],
    [
      {
        name: 'd',
        tasks: [
          { id: 'a', command },
          { id: 'b', command, dependencies: ['a', 'a'] },
        ],
      },
      'tasks[1].dependencies[1]',
      'is named twice',
    ],
    [
      { name: 'd', tasks: [{ id: 'a', command, dependencies: 'b' }] },
      'tasks[0].dependencies',
      'must be a list',
    ],
    [
      { name: 'd', tasks: [{ id: 'a', command, dependencies: [1] }] },
      'tasks[0].dependencies[0]',
      'must be an id, not 1',
    ],
    [
      {
        name: 'd',
        tasks: [
          { id: 'start', command },
          { id: 'a', command, dependencies: ['start', 'c'] },
          { id: 'b', command, dependencies: ['a'] },
          { id: 'c', command, dependencies: ['b'] },
        ],
      },
      'tasks',
      'form a cycle, each depending on the next: a → c → b → a',
    ],
  ])('is refused as %j at %s', async (plain, path, message) => {
    const faults = await faultsOf(checkDag, plain);
    expect(faults[path]).toContain(message);
    expect(Object.keys(faults)).toHaveLength(1);
  });

  it('may have ten thousand tasks, and not a hundred thousand', async () => {
    const tasks = Array.from({ length: 10_000 }, (_, at) => ({
      id: `t${at}`,
      command,
      dependencies: at === 0 ? [] : [`t${at - 1}`],
    }));
    expect((await dag({ name: 'd', tasks })).tasks).toHaveLength(10_000);
    const many = Array.from({ length: 100_000 }, (_, at) => ({ id: `t${at}`, command }));
    const faults = await faultsOf(checkDag, { name: 'd', tasks: many });
    expect(faults).toEqual({ tasks: 'a list of 100000 is too large: at most 10000' });
  });
});

describe('cycles', () => {
  it('are found where there are any, and are cycles', () => {
    const graph = fc.array(fc.array(fc.nat({ max: 11 }), { maxLength: 3 }), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(graph, (edges) => {
        const cycles = cyclesIn(edges, 10);
        for (const cycle of cycles) {
          for (const [at, node] of cycle.entries())
            expect(edges[node]).toContain(cycle[(at + 1) % cycle.length]);
        }
        const reach = edges.map((targets) => new Set(targets));
        for (let round = 0; round < 12; round += 1) {
          for (const from of reach) for (const to of from) for (const next of edges[to] ?? []) from.add(next);
        }
        expect(cycles.length > 0).toBe(reach.some((from, node) => from.has(node)));
      }),
    );
  });
});
