/**
 * What placement looks at of a task: tasks of the same request are alike to it, so that what is found out about one of
 * them goes for all. Two things are a task's own: the node that has just failed it, and its place in the order.
 */
import { affinityOf, groupIdOf, concurrencyOf, localityOf, needsOf } from '../../model/earlier-rows.ts';
import type { Affinity, Concurrency, Locality } from '../../model/placement.ts';
import type { Resources, TaskNeeds, TaskRow } from '../../model/task.ts';

export interface TaskRequest {
  readonly resources: Resources;
  /** The same for the same needs and rules, and for no others; empty: of a command that needs nothing. */
  readonly needsKey: string;
  readonly concurrency: Concurrency | null;
  /** The batch or DAG that bounds how many of them run at a time; empty: none does. */
  readonly gate: string;
}

export function requestOf(task: TaskRow): TaskRequest {
  return {
    resources: task.resources,
    needsKey: needsKeyOf(task) + rulesKeyOf(task),
    concurrency: concurrencyOf(task),
    gate: task.gate ?? '',
  };
}

/** The same for tasks of the same request, and for no others. */
export function requestKey(task: TaskRow): string {
  const { cpuMillis, memoryBytes } = task.resources;
  const concurrency = concurrencyOf(task);
  const key = concurrency === null ? '' : `${concurrency.key}:`;
  return `${key}${cpuMillis}/${memoryBytes}/${task.gate ?? ''}/${needsKeyOf(task)}${rulesKeyOf(task)}`;
}

/** What of the request can be told from a node's row alone: the key of the nodes that may do. */
export function staticKeyOf(task: TaskRow): string {
  const required = affinityOf(task)?.required ?? [];
  return required.length === 0 ? needsKeyOf(task) : `${needsKeyOf(task)}${keyOf(required, rulesText)}`;
}

/** The same for the same preferences. */
export function preferencesKeyOf(affinity: Affinity): string {
  return keyOf(affinity.preferred, preferredText);
}

function needsKeyOf(task: TaskRow): string {
  const needs = needsOf(task);
  return needs === null ? '' : keyOf(needs, needsText);
}

function needsText(needs: Exclude<TaskNeeds, null>): string {
  if (needs.registry === null) return JSON.stringify([null, needs.user, needs.cgroups]);
  const { registry, user, hostNetwork, mounts } = needs;
  // Field by field: rows that come out of the store may have theirs in another order.
  return JSON.stringify([
    registry,
    user,
    hostNetwork,
    ...mounts.map(({ source, readOnly }) => [source, readOnly]),
  ]);
}

/** Batches and DAGs are apart only where a task keeps apart from its own. */
function rulesKeyOf(task: TaskRow): string {
  const affinity = affinityOf(task);
  const locality = localityOf(task);
  if (affinity === null && locality === null) return '';
  const keepsApart = affinity?.anti.some(({ batch }) => batch !== null) ?? false;
  return [
    affinity === null ? '' : keyOf(affinity, affinityText),
    locality === null ? '' : keyOf(locality, localityText),
    keepsApart ? groupIdOf(task) : '',
  ].join('|');
}

function rulesText(rules: Affinity['required']): string {
  return JSON.stringify(rules.map(({ key, operator, values }) => [key, operator, values]));
}

function preferredText(rules: Affinity['preferred']): string {
  return JSON.stringify(rules.map(({ key, operator, values, weight }) => [key, operator, values, weight]));
}

function affinityText({ required, preferred, anti }: Affinity): string {
  return JSON.stringify([
    rulesText(required),
    preferredText(preferred),
    anti.map(({ batch, labels }) => [batch, labels]),
  ]);
}

function localityText({ near }: Locality): string {
  return JSON.stringify(near.map(({ place, task }) => [place?.key, place?.value, task]));
}

/** Of objects that never change and that many rows share: a key is made once for each. */
const KEYS = new WeakMap<object, string>();

function keyOf<T extends object>(value: T, textOf: (value: T) => string): string {
  const known = KEYS.get(value);
  if (known !== undefined) return known;
  const made = textOf(value);
  KEYS.set(value, made);
  return made;
}
