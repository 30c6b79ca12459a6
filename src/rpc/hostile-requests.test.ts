/** Every string of every request of the published service, one after the other, as somebody who means harm fills it in. */
import path from 'node:path';

import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ServedCluster } from './served-cluster.test-kit.ts';

type Plain = Record<string, unknown>;

interface FieldType {
  readonly name: string;
  readonly type: string;
  readonly label: string;
  readonly typeName: string;
}

interface MessageType {
  readonly field: readonly FieldType[];
  readonly nestedType?: readonly (MessageType & {
    readonly name: string;
    readonly options?: { mapEntry?: boolean };
  })[];
}

interface MethodType {
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestType: { readonly type: MessageType };
}

const SERVICE = 'jarvis.cluster.Cluster';
const definition = loadSync('cluster.proto', {
  includeDirs: [path.join(import.meta.dirname, '../../proto')],
  keepCase: true,
  longs: Number,
  defaults: true,
});
const service = definition[SERVICE] as unknown as Record<string, MethodType>;

const HOSTILE: readonly string[] = [
  'a\u0000b',
  '../../etc/passwd',
  '\u001b[2J\u001b[31mred\r\nb',
  '\u007f\u009b31m\u202e',
  '__proto__',
];
/** Where the request is one string or a few. */
const LONG = 'x'.repeat(100_000);
// oxlint-disable-next-line no-control-regex -- what terminals and logs must not be sent
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/;

const TASK = { name: 'a', command: ['true'] };
/** What is not made of one string alone. */
const BASES: Readonly<Record<string, Plain>> = {
  SubmitTasks: { tasks: [TASK] },
  PlanTasks: { tasks: [TASK] },
  SubmitBatch: { name: 'b', tasks: [TASK] },
  SubmitDag: { name: 'd', tasks: [{ id: 'a', task: TASK }] },
};

let served: ServedCluster;
let client: grpc.Client & Record<string, CallableFunction>;

beforeAll(async () => {
  served = await ServedCluster.start();
  const Client = grpc.makeGenericClientConstructor(definition[SERVICE] as grpc.ServiceDefinition, SERVICE);
  client = new Client(served.address('n2'), grpc.credentials.createInsecure());
});

afterAll(async () => {
  client.close();
  await served.close();
});

/** The message with the string in each place that takes one. */
function* filled(type: MessageType, base: Plain, text: string): Generator<Plain> {
  for (const { name, type: kind, label, typeName } of type.field) {
    const isList = label === 'LABEL_REPEATED';
    const inner = kind === 'TYPE_MESSAGE' ? messageType(type, typeName) : null;
    if (kind === 'TYPE_STRING') yield { ...base, [name]: isList ? [text] : text };
    else if (inner === 'map')
      yield* [
        { ...base, [name]: { [text]: 'x' } },
        { ...base, [name]: { x: text } },
      ];
    else if (inner !== null) {
      const present = base[name] as Plain[] | Plain | undefined;
      const first = (Array.isArray(present) ? present[0] : present) ?? {};
      for (const one of filled(inner, first, text)) yield { ...base, [name]: isList ? [one] : one };
    }
  }
}

function messageType(outer: MessageType, typeName: string): MessageType | 'map' | null {
  const nested = outer.nestedType?.find(({ name }) => name === typeName);
  if (nested?.options?.mapEntry === true) return 'map';
  const known = definition[typeName.replace(/^\./, '')] ?? definition[`jarvis.cluster.${typeName}`];
  return known === undefined || !('type' in known) ? null : (known.type as MessageType);
}

/** What a task is told to do is its submitter's own, and shown escaped; everything else is plain. */
const OWN: ReadonlySet<string> = new Set(['command', 'env', 'working_dir', 'values']);

/** Paths in an answer of strings with control characters. */
function unclean(value: unknown, at = ''): string[] {
  if (typeof value === 'string') return CONTROL.test(value) ? [at] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    OWN.has(key) ? [] : [...unclean(item, `${at}.${key}`), ...(CONTROL.test(key) ? [`${at}.${key}`] : [])],
  );
}

interface Answer {
  readonly status: string;
  readonly details: string;
  readonly unclean: readonly string[];
}

async function ask(method: string, request: Plain): Promise<Answer> {
  return await new Promise((resolve) => {
    client[method]?.(
      request,
      { deadline: Date.now() + 20_000 },
      (error: grpc.ServiceError | null, answer: unknown) => {
        const { code, details } = error ?? { code: grpc.status.OK, details: '' };
        resolve({
          status: grpc.status[code],
          details,
          unclean: error === null ? unclean(answer) : unclean(details),
        });
      },
    );
  });
}

/** A key that no map can keep makes a request that cannot be decoded. */
function expectedOf(request: Plain): RegExp {
  if (JSON.stringify(request).includes('"__proto__":')) return /^INTERNAL$/;
  return /^(OK|INVALID_ARGUMENT|NOT_FOUND|FAILED_PRECONDITION|ALREADY_EXISTS|RESOURCE_EXHAUSTED)$/;
}

const names = Object.entries(service)
  .filter(([, method]) => !method.requestStream && !method.responseStream)
  .map(([name]) => name);

describe('whatever stands in the strings of', () => {
  it.each(names)('%s is refused or harmless', async (name) => {
    const type = service[name]?.requestType.type ?? { field: [] };
    for (const text of name in BASES ? HOSTILE : [...HOSTILE, LONG]) {
      for (const request of filled(type, BASES[name] ?? {}, text)) {
        const answer = { request: JSON.stringify(request).slice(0, 500), ...(await ask(name, request)) };
        expect(answer).toMatchObject({
          status: expect.stringMatching(expectedOf(request)) as string,
          unclean: [],
        });
      }
    }
    expect(await ask(name, BASES[name] ?? {})).toMatchObject({ unclean: [] });
  });
});
