import { readFileSync } from 'node:fs';
import path from 'node:path';

import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { describe, expect, it } from 'vitest';

import { checkBatch } from '../spec/batch-schema.ts';
import { checkDag } from '../spec/dag-schema.ts';
import { checkTaskSpec } from '../spec/task-schema.ts';
import { openApiDocument } from './openapi.ts';
import { ROUTES } from './routes/table.ts';

const document = openApiDocument(ROUTES, '0.0.0') as unknown as {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly operationId: string }>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Record<string, unknown>>> };
};

const ajv = new Ajv2020({ strict: false, allErrors: true });
formats.default(ajv);
ajv.addSchema(document, 'document');

function isValid(name: string, value: unknown): boolean {
  return ajv.validate({ $ref: `document#/components/schemas/${name}` }, value);
}

/** Every value of `$ref` anywhere. */
function references(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' && typeof inner === 'string' ? [inner] : references(inner),
  );
}

describe('the OpenAPI document', () => {
  it('has every call of the table, and what it refers to', () => {
    const operations = Object.values(document.paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    );
    expect(operations.toSorted()).toEqual(ROUTES.map(({ operation }) => operation).toSorted());
    for (const reference of references(document)) {
      const found = reference
        .slice('#/'.length)
        .split('/')
        .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document);
      expect([reference, found]).toEqual([reference, expect.anything()]);
    }
  });

  it('is one of OpenAPI 3.1', async () => {
    const validator = new Validator();
    // It resolves references in the place of what it is given.
    const result = await validator.validate(structuredClone(document));
    expect({ ...result, version: validator.version }).toMatchObject({ valid: true, version: '3.1' });
    const broken = { ...structuredClone(document), paths: { '/tasks': { get: { parameters: 1 } } } };
    expect(await new Validator().validate(broken)).toMatchObject({ valid: false });
  });

  it('is checked in as it is', () => {
    const file = path.join(import.meta.dirname, '../../docs/openapi.json');
    const checkedIn = JSON.parse(readFileSync(file, 'utf8')) as typeof document;
    expect(checkedIn.paths).toEqual(document.paths);
    expect(checkedIn.components).toEqual(document.components);
  });

  it.each(['TaskSpec', 'BatchSpec', 'DagSpec'])(
    'knows the fields of a %s that are taken, and no other',
    async (name) => {
      const task = { image: 'a:1', command: ['true'] };
      const check: Readonly<Record<string, (extra: object) => Promise<boolean>>> = {
        TaskSpec: async (extra) => checkTaskSpec({ ...task, ...extra }).type === 'valid',
        BatchSpec: async (extra) => (await checkBatch({ tasks: [task], ...extra })).type === 'valid',
        DagSpec: async (extra) =>
          (await checkDag({ name: 'd', tasks: [{ id: 'a', ...task }], ...extra })).type === 'valid',
      };
      const base = {
        TaskSpec: task,
        BatchSpec: { tasks: [task] },
        DagSpec: { name: 'd', tasks: [{ id: 'a', ...task }] },
      };
      const { anyOf, properties } = document.components.schemas[name] ?? {};
      const forms = (anyOf ?? [{ properties }]) as readonly { readonly properties?: object }[];
      const fields = new Set(forms.flatMap((form) => Object.keys(form.properties ?? {})));
      for (const field of [...fields, 'nope']) {
        if (['tasks', 'template', 'count', 'parameters'].includes(field)) continue;
        const extra = { [field]: null };
        const isDescribed = isValid(name, { ...base[name as keyof typeof base], ...extra });
        expect([field, await check[name]?.(extra)]).toEqual([field, isDescribed]);
      }
    },
  );
});
