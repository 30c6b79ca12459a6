/**
 * docs/openapi.json as a judge of requests and answers. Where the document describes an object field by field, a field
 * that stands not in it is a fault here: clients have to bear it, the document may not lack it.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

import type { ReceivedAnswer, SentRequest } from './api-examples.ts';

const FILE = path.join(import.meta.dirname, '../../docs/openapi.json');
const ID = 'openapi';

type Json = Readonly<Record<string, unknown>>;

interface Parameter {
  readonly name: string;
  readonly in: 'header' | 'path' | 'query';
  readonly schema: Json;
}

interface AnswerText {
  readonly headers?: Readonly<Record<string, { readonly schema: Json }>>;
  readonly content: Readonly<Record<string, { readonly schema?: Json }>>;
}

interface OperationText {
  readonly operationId: string;
  readonly security?: readonly unknown[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: Readonly<Record<string, { readonly schema: Json }>>;
  };
  readonly responses: Readonly<Record<string, AnswerText | { readonly $ref: string }>>;
}

interface DocumentText {
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationText>>>>;
}

export interface Operation extends OperationText {
  readonly method: string;
  /** Parameters as `{name}`. */
  readonly path: string;
}

export class DocumentedApi {
  readonly operations: ReadonlyMap<string, Operation>;
  readonly #document: DocumentText;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });

  constructor(document = JSON.parse(readFileSync(FILE, 'utf8')) as DocumentText) {
    this.#document = closed(document) as DocumentText;
    formats.default(this.#ajv);
    this.#ajv.addSchema(this.#document, ID);
    this.operations = new Map(
      Object.entries(this.#document.paths).flatMap(([url, methods]) =>
        Object.entries(methods).map(([method, text]) => [
          text.operationId,
          { ...text, method: method.toUpperCase(), path: url },
        ]),
      ),
    );
  }

  /** @throws Error where the document has no such operation */
  operation(name: string): Operation {
    const operation = this.operations.get(name);
    if (operation === undefined) throw new Error(`there is no operation ${name} in docs/openapi.json`);
    return operation;
  }

  /** What is wrong with a request that is to be of that operation: nothing, where it is as documented. */
  faultsOfRequest(name: string, request: SentRequest): readonly string[] {
    const operation = this.operation(name);
    const pattern = new RegExp(`^${operation.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
    const faults: string[] = [];
    if (request.method !== operation.method || !pattern.test(request.url.pathname))
      faults.push(`${request.method} ${request.url.pathname} is not ${operation.method} ${operation.path}`);
    for (const key of new Set(request.url.searchParams.keys())) {
      const values = request.url.searchParams.getAll(key);
      faults.push(...this.#faultsOfParameter(operation, 'query', key, values));
    }
    for (const [key, value] of request.headers)
      faults.push(...this.#faultsOfParameter(operation, 'header', key, [value]));
    return [...faults, ...this.#faultsOfBody(operation, request.body)];
  }

  /** The same of an answer. */
  faultsOfAnswer(name: string, answer: ReceivedAnswer): readonly string[] {
    const operation = this.operation(name);
    const documented = operation.responses[answer.status];
    if (documented === undefined) return [`${answer.status} is not documented`];
    const where = '$ref' in documented ? documented.$ref : pointerOf(operation, answer.status);
    const { headers = {}, content } = this.#at(where) as AnswerText;
    const faults = Object.entries(headers).flatMap(([key, { schema }]) => {
      const value = answer.headers.get(key.toLowerCase());
      return value === undefined ? [] : this.#check(schema, typed(schema, value), key);
    });
    if (answer.status === 201) faults.push(...faultsOfLocation(answer));
    const [type = ''] = (answer.headers.get('content-type') ?? '').split(';');
    const described = content[type];
    if (described === undefined)
      return [
        ...faults,
        `${type} is not documented for ${answer.status}, but ${Object.keys(content).join()}`,
      ];
    if (described.schema === undefined) return faults;
    const value = type.endsWith('json') ? parsed(answer.body) : answer.body.toString();
    return [...faults, ...this.#check(described.schema, value, `${answer.status} ${type}`)];
  }

  /** @param component by the name that it has in the document */
  faultsOfComponent(component: string, value: unknown): readonly string[] {
    return this.#check({ $ref: `#/components/schemas/${component}` }, value, component);
  }

  #faultsOfParameter(
    { parameters }: Operation,
    kind: Parameter['in'],
    key: string,
    values: readonly string[],
  ): readonly string[] {
    const found = parameters.find((each) => each.in === kind && each.name.toLowerCase() === key);
    if (found === undefined) return [`the ${kind} parameter ${key} is not documented`];
    if (found.schema['type'] === 'array') return this.#check(found.schema, values, key);
    if (values.length > 1) return [`${key} may be given once`];
    return this.#check(found.schema, typed(found.schema, values[0] ?? ''), key);
  }

  #faultsOfBody({ requestBody }: Operation, body: string | null): readonly string[] {
    if (requestBody === undefined) return body === null ? [] : ['no body is documented'];
    if (body === null) return requestBody.required ? ['a body is required'] : [];
    const schema = requestBody.content['application/json']?.schema ?? false;
    return this.#check(schema, parsed(Buffer.from(body)), 'the body');
  }

  #check(schema: Json | boolean, value: unknown, what: string): readonly string[] {
    const here = JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/', `"$ref":"${ID}#/`)) as object;
    if (this.#ajv.validate(here, value)) return [];
    return (this.#ajv.errors ?? []).map(({ instancePath, message, params }) => {
      const found = instancePath
        .split('/')
        .slice(1)
        .reduce<unknown>((at, key) => (at as Json | undefined)?.[key.replaceAll('~1', '/')], value);
      return `${what}${instancePath}: ${message} ${JSON.stringify(params)}: ${JSON.stringify(found)?.slice(0, 200)}`;
    });
  }

  /** @param pointer such as `#/components/responses/Conflict` */
  #at(pointer: string): unknown {
    return pointer
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/'))
      .reduce<unknown>((at, key) => (at as Json)[key], this.#document);
  }
}

function pointerOf({ path: url, method }: Operation, status: number): string {
  return `#/paths/${url.replaceAll('/', '~1')}/${method.toLowerCase()}/responses/${status}`;
}

/** It must end with the id of what was made. */
function faultsOfLocation({ headers, body }: ReceivedAnswer): readonly string[] {
  const location = headers.get('location');
  const made = parsed(body) as Readonly<Record<string, unknown>>;
  const id = location?.split('/').at(-1);
  return id !== undefined && [made['id'], made['batch_id']].includes(id) ? [] : [`Location: ${location}`];
}

/** @throws Error where it is no JSON */
function parsed(body: Buffer): unknown {
  return JSON.parse(body.toString());
}

/** Text of a URL or a header as the value that the schema speaks of. */
function typed({ type }: Json, text: string): unknown {
  if (type === 'integer' || type === 'number') return text.trim() === '' ? text : Number(text);
  return type === 'boolean' && /^(true|false)$/.test(text) ? text === 'true' : text;
}

/** No object may have what its schema does not name, unless that says which may be there. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  const isDescribed = inner['type'] === 'object' && typeof inner['properties'] === 'object';
  return isDescribed && inner['additionalProperties'] === undefined
    ? { ...inner, additionalProperties: false }
    : inner;
}
