/**
 * Templates: one spec for many tasks, with `{{index}}` and `{{parameter}}` wherever strings stand in it. The spec is
 * kept once, as it was written; whoever needs that of a task fills it in.
 */
import type { Pairs, TaskRow, TaskSpec } from './task.ts';

const PLACEHOLDER = /\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}/g;

/** The parameter that every template has: the position of the task in its batch. */
export const INDEX_PARAMETER = 'index';

/** Names in the text, in their order, repeated ones too. */
export function placeholdersIn(text: string): readonly string[] {
  return text.includes('{{') ? [...text.matchAll(PLACEHOLDER)].map(([, name]) => name ?? '') : [];
}

/** Any plain value with its strings filled in; what holds no placeholder is the same object again. */
export function fillIn<T>(value: T, parameters: ReadonlyMap<string, string>): T {
  return filled(value, parameters) as T;
}

function filled(value: unknown, parameters: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') {
    if (!value.includes('{{')) return value;
    return value.replaceAll(PLACEHOLDER, (text, name: string) => parameters.get(name) ?? text);
  }
  if (Array.isArray(value)) {
    const inner = value.map((one: unknown) => filled(one, parameters));
    return inner.some((one, at) => one !== value[at]) ? inner : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  let changed = false;
  const entries = Object.entries(value).map(([key, one]): [string, unknown] => {
    const inner = filled(one, parameters);
    changed ||= inner !== one;
    return [key, inner];
  });
  return changed ? Object.fromEntries(entries) : value;
}

export function parametersOf(index: number, pairs: Pairs): ReadonlyMap<string, string> {
  return new Map([...pairs, [INDEX_PARAMETER, String(index)]]);
}

/** What the task itself is to do, of the spec that its row names. */
export function specOfTask(task: Pick<TaskRow, 'parameters' | 'batchIndex'>, spec: TaskSpec): TaskSpec {
  const { parameters, batchIndex } = task;
  if (parameters === undefined || parameters === null) return spec;
  return fillIn(spec, parametersOf(batchIndex ?? 0, parameters));
}
