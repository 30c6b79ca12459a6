import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { Ajv, type ValidateFunction } from 'ajv';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';

import { checkBatch } from './batch-schema.ts';
import { checkDag } from './dag-schema.ts';
import { batchSchemaOf, dagSchemaOf, taskSchema } from './json-schemas.ts';
import { checkTaskSpec } from './task-schema.ts';

const EXAMPLES = path.join(import.meta.dirname, '..', '..', 'examples');
const ajv = new Ajv({ strict: false, allErrors: true });
const validates = {
  Task: ajv.compile(taskSchema()),
  Batch: ajv.compile(batchSchemaOf()),
  Dag: ajv.compile(dagSchemaOf()),
};
type Kind = keyof typeof validates;

function verdictOf(validate: ValidateFunction, plain: unknown) {
  return { valid: validate(plain), errors: validate.errors };
}

async function isTaken(kind: Kind, plain: unknown): Promise<boolean> {
  if (kind === 'Task') return checkTaskSpec(plain).type === 'valid';
  return (await (kind === 'Batch' ? checkBatch(plain) : checkDag(plain))).type === 'valid';
}

const command = ['true'];
const good: readonly (readonly [Kind, unknown])[] = [
  ['Task', { command }],
  ['Task', { apiVersion: 'jarvis/v1', kind: 'Task', name: 'a', command, env: { A: 'x' }, timeout: null }],
  ['Task', { command, env: { A: { value: 'x', sensitive: true }, B: { value: '' } } }],
  ['Task', { image: 'python:3.9', user: 1000, mounts: [{ source: '/a', target: '/b', read_only: true }] }],
  ['Task', { command, resources: { cpu: '500m', memory: '1Gi' }, timeout: '1h30m', stop_grace: 0.5 }],
  [
    'Task',
    { command, not_before: '2026-12-01T00:00:00+01:00', locality: { near: ['zone=a', { task: 'b' }] } },
  ],
  ['Task', { command, affinity: { preferred: [{ key: 'a', operator: 'exists', weight: -5 }] } }],
  ['Batch', { tasks: [{ command }] }],
  ['Batch', { kind: 'Batch', template: { name: 'a-{{index}}', command: ['{{x}}'] }, parameters: [{ x: 1 }] }],
  [
    'Batch',
    { template: { image: '{{registry}}/a', user: '{{u}}' }, parameters: [{ registry: 'r.io', u: '1' }] },
  ],
  [
    'Dag',
    {
      name: 'd',
      tasks: [
        { id: 'a', command },
        { id: 'b', command, dependencies: ['a'] },
      ],
    },
  ],
];

const bad: readonly (readonly [Kind, unknown])[] = [
  ['Task', {}],
  ['Task', { command, nmae: 'x' }],
  ['Task', { command: 'true' }],
  ['Task', { command: [1] }],
  ['Task', { command, name: 'a b' }],
  ['Task', { command, name: 'a\u001b[2J' }],
  ['Task', { command, env: { A: 1 } }],
  ['Task', { command, env: { A: { sensitive: true } } }],
  ['Task', { command, env: { A: { value: 'x', secret: true } } }],
  ['Task', { command, env: { '1': 'x' } }],
  ['Task', { command, timeout: 'soon' }],
  ['Task', { command, timeout: -1 }],
  ['Task', { command, resources: { cpu: '1 core' } }],
  ['Task', { command, priority: 'highest' }],
  ['Task', { command, retry_policy: { max_attempts: 0 } }],
  ['Task', { command, labels: { a: 'x'.repeat(300) } }],
  ['Task', { command, working_dir: 'tmp' }],
  ['Task', { command, not_before: 'tomorrow' }],
  ['Task', { command, affinity: { preferred: [{ key: 'a', operator: 'exists', weight: 0 }] } }],
  ['Task', { command, locality: { near: ['planet=earth'] } }],
  ['Task', { kind: 'Job', command }],
  ['Batch', {}],
  ['Batch', { tasks: [] }],
  ['Batch', { tasks: [{ command, nmae: 'x' }] }],
  ['Batch', { template: { command }, count: 0 }],
  ['Batch', { template: { command, nmae: 'x' }, count: 1 }],
  ['Batch', { kind: 'Task', tasks: [{ command }] }],
  ['Dag', { tasks: [{ id: 'a', command }] }],
  ['Dag', { name: 'd', tasks: [{ command }] }],
  ['Dag', { name: 'd', tasks: [{ id: 'a', command, dependencies: 'b' }] }],
];

describe('the JSON Schemas of what users write', () => {
  it.each(readdirSync(EXAMPLES).filter((name) => name.endsWith('.yaml')))('take %s', (name) => {
    const documents = parseAllDocuments(readFileSync(path.join(EXAMPLES, name), 'utf8'));
    expect(documents).not.toHaveLength(0);
    for (const document of documents) {
      const plain = document.toJS() as { readonly kind?: Kind };
      expect(verdictOf(validates[plain.kind ?? 'Task'], plain)).toEqual({ valid: true, errors: null });
    }
  });

  it.each(good)('take, as the parser does, a %s %j', async (kind, plain) => {
    expect(verdictOf(validates[kind], plain)).toEqual({ valid: true, errors: null });
    expect(await isTaken(kind, plain)).toBe(true);
  });

  it.each(bad)('refuse, as the parser does, a %s %j', async (kind, plain) => {
    expect(verdictOf(validates[kind], plain).valid).toBe(false);
    expect(await isTaken(kind, plain)).toBe(false);
  });

  it('know every field, also of what stands in lists', () => {
    const text = JSON.stringify(taskSchema());
    for (const field of ['retryable_errors', 'read_only', 'weight', 'near', 'sensitive'])
      expect(text).toContain(`"${field}":`);
  });
});
