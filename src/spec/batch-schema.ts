/**
 * What users write as a batch (docs/contract.md, section 2): a list of tasks, or a template with a count or a list of
 * parameters. Every fault at once, with its place; what takes long is done in pieces.
 */
import { z } from 'zod';

import { limits } from '../lib/limits.ts';
import { isPlainObject } from '../lib/plain-object.ts';
import { sizeOfWork } from '../model/batch-work.ts';
import type { BatchWork } from '../model/commands.ts';
import { SpecPacker } from '../model/packed-specs.ts';
import type { Pairs, RetryPolicy } from '../model/task.ts';
import { fillIn, parametersOf } from '../model/template.ts';
import { wholeNumber } from './fields.ts';
import type { Checked } from './group-fields.ts';
import { FaultList, checkNameBytes, groupFields, parseOuter, taskList } from './group-fields.ts';
import { Maxima } from './maxima.ts';
import { checkTaskSpec } from './task-schema.ts';
import { Template, checkParameters } from './template-schema.ts';
import { Turns } from './turns.ts';

const DEFAULT_NAME = 'batch';

export interface BatchSpec {
  readonly name: string;
  readonly work: BatchWork;
  readonly maxParallel: number | null;
  readonly maxFailures: number | null;
}

export const batchSchema = z.strictObject({
  ...groupFields,
  tasks: taskList.nullish(),
  template: z.unknown().optional(),
  count: wholeNumber(1, limits.templateTasks).nullish(),
  parameters: z.array(z.unknown()).min(1).max(limits.templateTasks).nullish(),
});
type Fields = z.output<typeof batchSchema>;

/**
 * Checks a batch as users write it (JSON, or YAML once parsed); a list is a batch of these tasks.
 * @param retryPolicy the cluster's own; undefined: it has none, or is not known
 */
export async function checkBatch(plain: unknown, retryPolicy?: RetryPolicy): Promise<Checked<BatchSpec>> {
  const faults = new FaultList();
  const outer = parseOuter(batchSchema, Array.isArray(plain) ? { tasks: plain } : plain, 'Batch', faults);
  if (outer === null) return { type: 'invalid', faults: faults.faults };
  checkForm(outer, faults);
  const work = faults.isEmpty ? await checkWork(outer, faults, retryPolicy) : null;
  if (work !== null) checkNameBytes(await nameBytesOf(work), Array.isArray(plain) ? [] : ['name'], faults);
  if (work === null || !faults.isEmpty) return { type: 'invalid', faults: faults.faults };
  const { name, max_parallel: maxParallel, max_failures: maxFailures } = outer;
  return {
    type: 'valid',
    spec: {
      name: name ?? DEFAULT_NAME,
      work,
      maxParallel: maxParallel ?? null,
      maxFailures: maxFailures ?? null,
    },
  };
}

/** One of the ways to write a batch, and not two. */
function checkForm({ tasks, template, count, parameters }: Fields, faults: FaultList): void {
  if (isAbsent(template)) {
    if (isAbsent(tasks)) faults.add(['tasks'], 'is required, or a template with a count or parameters');
    if (!isAbsent(count)) faults.add(['count'], 'is for templates only');
    if (!isAbsent(parameters)) faults.add(['parameters'], 'is for templates only');
    return;
  }
  if (!isAbsent(tasks)) faults.add(['tasks'], 'is not allowed beside a template');
  if (isAbsent(count) && isAbsent(parameters)) faults.add(['count'], 'is required, or parameters');
  if (!isAbsent(count) && !isAbsent(parameters)) faults.add(['count'], 'is not allowed beside parameters');
}

async function checkWork(
  fields: Fields,
  faults: FaultList,
  retryPolicy: RetryPolicy | undefined,
): Promise<BatchWork | null> {
  const turns = new Turns();
  if (isAbsent(fields.template)) {
    const packer = new SpecPacker();
    const maxima = new Maxima();
    for (const [index, plain] of (fields.tasks ?? []).entries()) {
      const result = checkTaskSpec(plain, retryPolicy);
      if (result.type === 'valid') {
        const otherMaximum = maxima.faultOf(result.spec);
        if (otherMaximum !== null) faults.add(['tasks', index, 'concurrency', 'max'], otherMaximum);
        packer.add(result.spec);
      } else faults.addAll(result.faults, ['tasks', index]);
      if (faults.isFull) break;
      await turns.piece();
    }
    const specs = packer.packed;
    return faults.isEmpty && specs !== null ? { type: 'tasks', specs } : null;
  }
  const parameters = isAbsent(fields.parameters)
    ? null
    : await checkParameters(fields.parameters, faults, turns);
  if (!isPlainObject(fields.template)) {
    faults.addAll(checkedFaults(fields.template), ['template']);
    return null;
  }
  const template = new Template(fields.template, parameters, faults, retryPolicy);
  const { spec } = template;
  if (spec === null || !faults.isEmpty) return null;
  await template.checkTasks(fields.count ?? 0, turns);
  if (!faults.isEmpty) return null;
  if (parameters !== null) return { type: 'parameters', template: spec, parameters };
  return { type: 'template', template: spec, count: fields.count ?? 0 };
}

function checkedFaults(plain: unknown) {
  const result = checkTaskSpec(plain);
  return result.type === 'valid' ? [] : result.faults;
}

/** The name of each task, in order. */
export function* namesOf(work: BatchWork): Generator<string> {
  if (work.type === 'tasks') {
    for (const { name } of work.specs.changes) yield name ?? work.specs.base.name;
    return;
  }
  const { name } = work.template;
  const size = sizeOfWork(work);
  const none: Pairs = [];
  for (let index = 0; index < size; index += 1) {
    const pairs = work.type === 'template' ? none : (work.parameters[index] ?? none);
    yield name.includes('{{') ? fillIn(name, parametersOf(index, pairs)) : name;
  }
}

async function nameBytesOf(work: BatchWork): Promise<number> {
  const turns = new Turns();
  let bytes = 0;
  for (const name of namesOf(work)) {
    // Names are ASCII.
    bytes += name.length;
    await turns.piece();
  }
  return bytes;
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}
