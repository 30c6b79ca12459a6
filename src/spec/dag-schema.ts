/**
 * What users write as a DAG (docs/contract.md, section 2), checked with its graph: unknown and repeated ids, and cycles,
 * each of which is named.
 */
import { z } from 'zod';

import { limits } from '../lib/limits.ts';
import { isPlainObject } from '../lib/plain-object.ts';
import { NAME_PATTERN } from '../lib/names.ts';
import type { SubmitDagCommand } from '../model/commands.ts';
import { SpecPacker } from '../model/packed-specs.ts';
import type { RetryPolicy } from '../model/task.ts';
import { cyclesIn } from './cycles.ts';
import { show } from './faults.ts';
import { NAME_RULE } from './fields.ts';
import type { Checked } from './group-fields.ts';
import { FaultList, checkNameBytes, groupFields, parseOuter, taskList } from './group-fields.ts';
import { Maxima } from './maxima.ts';
import { closest } from './suggest.ts';
import { checkTaskSpec } from './task-schema.ts';
import { Turns } from './turns.ts';

/** Of the tasks of a cycle in a message, and of cycles. */
const MOST_NAMED = 20;
const MOST_CYCLES = 10;
/** Beyond it nobody is told which id may have been meant: that looks at all of them. */
const MOST_SUGGESTIONS = 10;

export interface DagSpec {
  readonly name: string;
  readonly tasks: SubmitDagCommand['tasks'];
  readonly specs: SubmitDagCommand['specs'];
  readonly dependencies: SubmitDagCommand['dependencies'];
  readonly maxParallel: number | null;
  readonly maxFailures: number | null;
}

export const dagSchema = z.strictObject({
  ...groupFields,
  name: groupFields.name.unwrap().unwrap(),
  tasks: taskList,
});

interface WrittenTask {
  readonly id: string;
  /** 0 where it is invalid: others may depend on it all the same. */
  readonly nameBytes: number;
  readonly dependencies: readonly string[];
}

/**
 * Checks a DAG as users write it (JSON, or YAML once parsed).
 * @param retryPolicy the cluster's own; undefined: it has none, or is not known
 */
export async function checkDag(plain: unknown, retryPolicy?: RetryPolicy): Promise<Checked<DagSpec>> {
  const faults = new FaultList();
  const outer = parseOuter(dagSchema, plain, 'Dag', faults);
  if (outer === null) return { type: 'invalid', faults: faults.faults };
  const turns = new Turns();
  const tasks = { packer: new SpecPacker(), maxima: new Maxima(), retryPolicy };
  const written = await checkTasks(outer.tasks, tasks, faults, turns);
  const dependencies = faults.isFull ? [] : await resolve(written, faults, turns);
  if (faults.isEmpty) checkCycles(written, dependencies, faults);
  checkNameBytes(
    written.reduce((sum, task) => sum + (task === null ? 0 : task.id.length + task.nameBytes), 0),
    ['tasks'],
    faults,
  );
  const specs = tasks.packer.packed;
  if (!faults.isEmpty || specs === null) return { type: 'invalid', faults: faults.faults };
  return {
    type: 'valid',
    spec: {
      name: outer.name,
      tasks: written.flatMap((task) => task?.id ?? []),
      specs,
      dependencies,
      maxParallel: outer.max_parallel ?? null,
      maxFailures: outer.max_failures ?? null,
    },
  };
}

interface Gathered {
  readonly packer: SpecPacker;
  readonly maxima: Maxima;
  readonly retryPolicy: RetryPolicy | undefined;
}

/** Null for one without an id. */
async function checkTasks(
  plain: readonly unknown[],
  gathered: Gathered,
  faults: FaultList,
  turns: Turns,
): Promise<(WrittenTask | null)[]> {
  const tasks: (WrittenTask | null)[] = [];
  for (const [at, one] of plain.entries()) {
    if (faults.isFull) break;
    tasks.push(checkTask(one, at, gathered, faults));
    await turns.piece();
  }
  return tasks;
}

function checkTask(plain: unknown, at: number, gathered: Gathered, faults: FaultList): WrittenTask | null {
  const path = ['tasks', at];
  if (!isPlainObject(plain)) {
    faults.add(path, `must be an object, not ${show(plain)}`);
    return null;
  }
  const { id, dependencies, ...rest } = plain;
  const isName = typeof id === 'string' && NAME_PATTERN.test(id);
  if (id === undefined || id === null) faults.add([...path, 'id'], 'is required');
  else if (!isName) faults.add([...path, 'id'], `${show(id)} is not a name: ${NAME_RULE}`);
  const named = rest['name'] === undefined || rest['name'] === null ? { ...rest, name: id } : rest;
  const result = checkTaskSpec(isName ? named : rest, gathered.retryPolicy);
  if (result.type === 'invalid') faults.addAll(result.faults, path);
  else {
    const otherMaximum = gathered.maxima.faultOf(result.spec);
    if (otherMaximum !== null) faults.add([...path, 'concurrency', 'max'], otherMaximum);
    gathered.packer.add(result.spec);
  }
  const names = dependencyNames(dependencies, at, faults);
  const nameBytes = result.type === 'valid' ? result.spec.name.length : 0;
  return isName ? { id, nameBytes, dependencies: names } : null;
}

function dependencyNames(plain: unknown, at: number, faults: FaultList): readonly string[] {
  if (plain === undefined || plain === null) return [];
  const path = ['tasks', at, 'dependencies'];
  if (!Array.isArray(plain)) {
    faults.add(path, `must be a list of ids, not ${show(plain)}`);
    return [];
  }
  return plain.map((name: unknown, position) => {
    if (typeof name === 'string') return name;
    faults.add([...path, position], `must be an id, not ${show(name)}`);
    return '';
  });
}

/** Positions of what each task depends on. */
async function resolve(
  tasks: readonly (WrittenTask | null)[],
  faults: FaultList,
  turns: Turns,
): Promise<readonly (readonly number[])[]> {
  const positions = new Map<string, number>();
  for (const [at, task] of tasks.entries()) {
    if (task === null) continue;
    const known = positions.get(task.id);
    if (known === undefined) positions.set(task.id, at);
    else faults.add(['tasks', at, 'id'], `${show(task.id)} is the id of tasks[${known}] already`);
  }
  const edges = tasks.reduce((sum, task) => sum + (task?.dependencies.length ?? 0), 0);
  if (edges > limits.dagEdges) {
    faults.add(['tasks'], `${edges} dependencies are too many: at most ${limits.dagEdges} in all`);
    return [];
  }
  const suggestions = { left: MOST_SUGGESTIONS };
  const resolved: (readonly number[])[] = [];
  for (const [at, task] of tasks.entries()) {
    resolved.push(task === null ? [] : resolveOne(task, at, positions, suggestions, faults));
    await turns.piece();
  }
  return resolved;
}

function resolveOne(
  task: WrittenTask,
  at: number,
  positions: ReadonlyMap<string, number>,
  suggestions: { left: number },
  faults: FaultList,
): readonly number[] {
  const found = new Set<number>();
  for (const [position, name] of task.dependencies.entries()) {
    const path = ['tasks', at, 'dependencies', position];
    const other = positions.get(name);
    if (name === '') continue;
    if (other === undefined) {
      suggestions.left -= 1;
      const meant = suggestions.left < 0 ? null : closest(name, positions.keys());
      const hint = meant === null ? '' : `, did you mean ${meant}?`;
      faults.add(path, `${show(name)} is no task of this DAG${hint}`);
    } else if (other === at) faults.add(path, `${show(name)} depends on itself`);
    else if (found.has(other)) faults.add(path, `${show(name)} is named twice`);
    else found.add(other);
  }
  return [...found];
}

function checkCycles(
  tasks: readonly (WrittenTask | null)[],
  dependencies: readonly (readonly number[])[],
  faults: FaultList,
): void {
  for (const cycle of cyclesIn(dependencies, MOST_CYCLES)) {
    const ids = cycle.map((at) => tasks[at]?.id ?? '');
    const shown = ids.length > MOST_NAMED ? [...ids.slice(0, MOST_NAMED - 1), '…'] : ids;
    faults.add(
      ['tasks'],
      `form a cycle, each depending on the next: ${[...shown, ids[0] ?? ''].join(' → ')}`,
    );
  }
}
