/** Reads files of tasks: YAML, several documents, or JSON (which YAML contains). Bounded against hostile input. */
import type { Document } from 'yaml';
import { LineCounter, isMap, isNode, isPair, isScalar, parseAllDocuments, visit } from 'yaml';

import type { Fault } from '../lib/errors.ts';
import { JarvisError } from '../lib/errors.ts';
import { isPlainObject } from '../lib/plain-object.ts';
import type { TaskSpec } from '../model/task.ts';
import { checkBatch } from './batch-schema.ts';
import { checkDag } from './dag-schema.ts';
import type { FaultPath, LocatedFault } from './faults.ts';
import { formatPath, invalidInput, isSecretPlace, show } from './faults.ts';
import { checkTaskSpec } from './task-schema.ts';

const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_DOCUMENTS = 10_000;
/** Resolutions of aliases per document; each may not be expanded without end. */
const MAX_ALIASES = 100;

/** One document of a file. */
interface SpecDocument {
  /** A plain object, list or scalar, not yet checked. */
  readonly value: unknown;
  /** `hello.yaml:12:3`: where the value at the path stands, or the nearest thing around it. */
  at(path: FaultPath): string;
}

/** @throws JarvisError invalid: no YAML, a duplicate key, an unknown tag, too large; or nothing in it */
function parseSpecFile(text: string, fileName: string): SpecDocument[] {
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    throw new JarvisError('too_large', `${fileName}: more than 16 MiB`);
  }
  const lines = new LineCounter();
  const parsed = readDocuments(text, fileName, lines);
  const errors = parsed.flatMap((document) => [...document.errors, ...document.warnings]);
  if (errors.some((error) => error.code === 'RESOURCE_EXHAUSTION')) throw tooDeep(fileName, errors);
  if (errors.length > 0) {
    throw invalidInput(
      errors.map((error) => ({
        path: position(fileName, lines, error.pos[0]),
        message: firstLine(error.message),
      })),
    );
  }
  const unkept = parsed.flatMap((document) => unkeptNumbers(document, fileName, lines));
  if (unkept.length > 0) throw invalidInput(unkept);
  const documents = parsed.filter((document) => document.contents !== null && !isEmpty(document));
  if (documents.length === 0) throw new JarvisError('invalid', `${fileName}: holds no task`);
  if (documents.length > MAX_DOCUMENTS) {
    throw new JarvisError('invalid', `${fileName}: ${documents.length} documents, at most ${MAX_DOCUMENTS}`);
  }
  return documents.map((document) => ({
    value: plainValue(document, fileName, lines),
    at: (path) => position(fileName, lines, offsetOf(document, path)),
  }));
}

type PlainSpec = Readonly<Record<string, unknown>>;

/** What a file asks for, as it is written there and found valid; each kind in the order of the file. */
export interface SpecFile {
  readonly tasks: readonly { readonly plain: PlainSpec; readonly spec: TaskSpec }[];
  readonly batches: readonly PlainSpec[];
  readonly dags: readonly PlainSpec[];
}

/** Everything in a file. @throws JarvisError invalid, with the faults of all documents */
export async function readSpecFile(text: string, fileName: string): Promise<SpecFile> {
  const faults: Fault[] = [];
  const tasks: { plain: PlainSpec; spec: TaskSpec }[] = [];
  const batches: PlainSpec[] = [];
  const dags: PlainSpec[] = [];
  for (const document of parseSpecFile(text, fileName)) {
    const plain = document.value as PlainSpec;
    const result = await checkDocument(document.value);
    if (result.type === 'invalid') {
      for (const { path, message } of result.faults) {
        faults.push({ path: [document.at(path), formatPath(path)].filter(Boolean).join(': '), message });
      }
    } else if (result.kind === 'Task') tasks.push({ plain, spec: result.spec });
    else (result.kind === 'Batch' ? batches : dags).push(plain);
  }
  if (faults.length > 0) throw invalidInput(faults);
  return { tasks, batches, dags };
}

type CheckedDocument =
  | { readonly type: 'valid'; readonly kind: 'Batch' | 'Dag' }
  | { readonly type: 'valid'; readonly kind: 'Task'; readonly spec: TaskSpec }
  | { readonly type: 'invalid'; readonly faults: readonly LocatedFault[] };

async function checkDocument(value: unknown): Promise<CheckedDocument> {
  const kind = isPlainObject(value) ? value['kind'] : undefined;
  if (kind === 'Batch' || kind === 'Dag') {
    const result = await (kind === 'Batch' ? checkBatch(value) : checkDag(value));
    return result.type === 'valid' ? { type: 'valid', kind } : result;
  }
  if (kind !== undefined && kind !== null && kind !== 'Task') {
    const message = `${show(kind)} is not allowed: one of Task, Batch, Dag`;
    return { type: 'invalid', faults: [{ path: ['kind'], message }] };
  }
  const result = checkTaskSpec(value);
  return result.type === 'valid' ? { ...result, kind: 'Task' } : result;
}

type ParsedDocument = Document.Parsed;

function readDocuments(text: string, fileName: string, lineCounter: LineCounter): readonly ParsedDocument[] {
  try {
    const parsed = parseAllDocuments(text, {
      uniqueKeys: true,
      prettyErrors: false,
      // What the parser itself would write to stderr.
      logLevel: 'error',
      lineCounter,
    });
    return 'empty' in parsed ? [] : parsed;
  } catch (error) {
    // The parser and its tree walk recurse: nesting without end overflows the stack.
    if (error instanceof RangeError) throw tooDeep(fileName, error);
    throw error;
  }
}

function plainValue(document: ParsedDocument, fileName: string, lines: LineCounter): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    if (error instanceof RangeError) throw tooDeep(fileName, error);
    // What remains are aliases: to nothing, or too many of them (ReferenceError).
    if (error instanceof ReferenceError) {
      const path = position(fileName, lines, document.contents?.range[0] ?? 0);
      throw invalidInput([{ path, message: 'aliases that are too many or refer to nothing' }]);
    }
    throw error;
  }
}

/** Whole numbers that would not be kept as they are written: what reads them as a text would read another one. */
function unkeptNumbers(document: ParsedDocument, fileName: string, lines: LineCounter): readonly Fault[] {
  const faults: Fault[] = [];
  visit(document, {
    Scalar: (_key, node, ancestors) => {
      const { value, source, range } = node;
      if (typeof value !== 'number' || !Number.isInteger(value) || Number.isSafeInteger(value)) return;
      const keys = ancestors.flatMap((each) =>
        isPair(each) && isScalar(each.key) ? [String(each.key)] : [],
      );
      faults.push({
        path: position(fileName, lines, range?.[0] ?? 0),
        message: `${isSecretPlace(keys) ? 'this number' : show(source)} is not allowed: whole numbers up to ${Number.MAX_SAFE_INTEGER}, either way; or quote it`,
      });
    },
  });
  return faults;
}

function tooDeep(fileName: string, cause: unknown): JarvisError {
  return new JarvisError('invalid', `${fileName}: nested too deeply`, { cause });
}

function isEmpty(document: ParsedDocument): boolean {
  return isScalar(document.contents) && document.contents.value === null;
}

/** A key's own place where the path ends at a key of a map: that is what a fault is about. */
function offsetOf(document: ParsedDocument, path: FaultPath): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent: unknown =
      length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(key),
      );
      if (isNode(pair?.key) && pair.key.range !== undefined && pair.key.range !== null)
        return pair.key.range[0];
    }
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range !== undefined && node.range !== null) return node.range[0];
  }
  return document.contents?.range[0] ?? 0;
}

function position(fileName: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${fileName}:${line}:${col}`;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}
