import { describe, expect, it, vi } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { readSpecFile } from './spec-file.ts';

async function failure(text: string): Promise<JarvisError> {
  try {
    await readSpecFile(text, 'f.yaml');
  } catch (error) {
    if (error instanceof JarvisError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('a file of tasks', () => {
  it('holds one task or several documents', async () => {
    const text = 'kind: Task\nname: a\ncommand: [echo, hi]\n---\n---\n# the second\ncommand: [ls]\n...\n';
    const { tasks } = await readSpecFile(text, 'f.yaml');
    expect(tasks.map(({ spec }) => spec.name)).toEqual(['a', 'ls']);
    expect(tasks[0]?.plain).toEqual({ kind: 'Task', name: 'a', command: ['echo', 'hi'] });
  });

  it('may hold batches and DAGs beside tasks', async () => {
    const text = [
      'command: [a]',
      'kind: Batch\ntemplate: {command: [b]}\ncount: 2',
      'kind: Dag\nname: d\ntasks: [{id: x, command: [c]}]',
    ].join('\n---\n');
    const { tasks, batches, dags } = await readSpecFile(text, 'f.yaml');
    expect([tasks.length, batches.length, dags.length]).toEqual([1, 1, 1]);
    const { faults } = await failure(text.replace('count: 2', 'count: many').replace('[{id: x,', '[{'));
    expect(faults.map(({ path }) => path)).toEqual(['f.yaml:5:1: count', 'f.yaml:9:9: tasks[0].id']);
    expect((await failure('kind: Job\ncommand: [a]')).message).toContain('one of Task, Batch, Dag');
  });

  it('may be JSON', async () => {
    const { tasks } = await readSpecFile('{"command": ["a"],\n\t"env": {"A": "1"}}', 'f.json');
    const [task] = tasks;
    expect(task?.spec.env).toEqual([['A', '1']]);
  });

  it('names the places of all faults in all documents', async () => {
    const { code, faults } = await failure(
      'command: [a]\nnmae: b\n---\ncommand:\n  - 1\nresources:\n  cpu: foo\n',
    );
    expect(code).toBe('invalid');
    expect(faults.map((fault) => fault.path)).toEqual([
      'f.yaml:2:1: nmae',
      'f.yaml:5:5: command[0]',
      'f.yaml:7:3: resources.cpu',
    ]);
  });

  it('may not repeat a key, in YAML and in JSON, at any depth', async () => {
    expect((await failure('command: [a]\ncommand: [b]\n')).faults[0]?.path).toBe('f.yaml:2:1');
    expect((await failure('{"command": ["a"], "env": {"A": "1",\n"A": "2"}}')).faults[0]?.path).toBe(
      'f.yaml:2:1',
    );
  });

  it('does not have the values of variables repeated', async () => {
    const text = 'command: [a]\nenv:\n  T: {value: 98765432109876543210, sensitive: true}\n';
    const { faults, message } = await failure(text);
    expect(faults).toMatchObject([{ path: 'f.yaml:3:14' }]);
    expect(message).toContain('this number is not allowed: whole numbers up to');
    expect(message).not.toContain('98765');
  });

  it('may not hold numbers that would not be kept as they are written', async () => {
    const text =
      'kind: Batch\ntemplate: {command: [a]}\nparameters:\n  - id: 9007199254740993\n  - id: 1e300\n';
    const { faults, message } = await failure(text);
    expect(faults.map(({ path }) => path)).toEqual(['f.yaml:4:9', 'f.yaml:5:9']);
    expect(message).toContain('"9007199254740993" is not allowed: whole numbers up to 9007199254740991');
    const kept = text.replace('9007199254740993', '9007199254740991').replace('1e300', '"9007199254740993"');
    expect((await readSpecFile(kept, 'f.yaml')).batches).toHaveLength(1);
  });

  it('says what is wrong with a name that could move a cursor, without moving it', async () => {
    const { message } = await failure('command: [a]\nname: "a\\e[2Jb"\n');
    expect(message).toContain('is not a name');
    // oxlint-disable-next-line no-control-regex -- what is looked for
    expect(message).not.toMatch(/[\u0000-\u001f]/);
  });

  it.each([
    ['', 'holds no task'],
    ['# nothing\n---\n', 'holds no task'],
    ['command: [a', 'f.yaml:1:'],
    ['command: !foo [a]', 'f.yaml:1:10'],
    ['command: *x', 'aliases'],
    [`${'['.repeat(20_000)}${']'.repeat(20_000)}`, 'nested too deeply'],
    ['[1, 2]', 'must be an object'],
  ])('is refused where it is wrong (case %#)', async (text, message) => {
    expect((await failure(text)).message).toContain(message);
  });

  it('may not have keys that are maps or lists, and the parser says nothing of its own about them', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue();
    expect((await failure('command: [a]\n? { a: 1 }\n: 2\n')).message).toContain('unknown field');
    expect((await failure('command: [a]\nenv: { [a]: b }\n')).message).toContain(
      'is not a name of a variable',
    );
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
  });

  it('bounds what aliases may grow to', async () => {
    const levels = ['a: &a [1,1,1,1,1,1,1,1,1,1]'];
    for (const [index, name] of ['b', 'c', 'd', 'e', 'f', 'g'].entries()) {
      const previous = String.fromCodePoint('a'.charCodeAt(0) + index);
      levels.push(`${name}: &${name} [${Array.from({ length: 10 }, () => `*${previous}`).join(',')}]`);
    }
    expect((await failure(levels.join('\n'))).message).toContain('aliases');
  });

  it('is bounded in size', async () => {
    expect((await failure(`# ${'x'.repeat(17 * 1024 * 1024)}`)).code).toBe('too_large');
  });
});
