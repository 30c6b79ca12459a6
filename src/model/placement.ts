/**
 * What a task says of the nodes that it wants, beside what it needs: affinity by the labels of nodes, distance from other
 * tasks, nearness to a place (docs/contract.md, section 3).
 */
import { unreachable } from '../lib/assert.ts';
import type { Pairs } from './task.ts';

export const LABEL_OPERATORS = ['in', 'not_in', 'exists', 'not_exists'] as const;
type LabelOperator = (typeof LABEL_OPERATORS)[number];

/** Of the labels of a node. */
export interface LabelRule {
  readonly key: string;
  readonly operator: LabelOperator;
  /** Of `in` and `not_in`; empty for the others. */
  readonly values: readonly string[];
}

export interface WeightedRule extends LabelRule {
  /** -100 to 100, never 0; below 0: rather not there. */
  readonly weight: number;
}

/** What a task keeps apart from: the other tasks of its batch or DAG (`self`), or those that have all of these labels. */
export type AntiRule =
  | { readonly batch: 'self'; readonly labels: null }
  | { readonly batch: null; readonly labels: Pairs };

export interface Affinity {
  /** A node must meet all of them. */
  readonly required: readonly LabelRule[];
  readonly preferred: readonly WeightedRule[];
  readonly anti: readonly AntiRule[];
}

/** Labels of nodes that say where they stand, the widest first; the last is the node's own name. */
export const PLACE_KEYS = ['region', 'zone', 'rack', 'node'] as const;
export type PlaceKey = (typeof PLACE_KEYS)[number];

/** Near to a place, or to where the newest task of that name runs or ran. */
export type Near =
  | { readonly place: { readonly key: PlaceKey; readonly value: string }; readonly task: null }
  | { readonly place: null; readonly task: string };

export interface Locality {
  /** The nearest of them counts. */
  readonly near: readonly Near[];
}

/** Of all tasks with the key, `max` are on nodes at the same time. */
export interface Concurrency {
  readonly key: string;
  readonly max: number;
}

/** The value of a label; undefined where there is none of that key. */
export function labelOf(labels: Pairs, key: string): string | undefined {
  return labels.find(([name]) => name === key)?.[1];
}

/** A label that is not there is in no list: `not_in` holds. */
export function meetsRule(labels: Pairs, { key, operator, values }: LabelRule): boolean {
  const value = labelOf(labels, key);
  switch (operator) {
    case 'in':
      return value !== undefined && values.includes(value);
    case 'not_in':
      return value === undefined || !values.includes(value);
    case 'exists':
      return value !== undefined;
    case 'not_exists':
      return value === undefined;
    default:
      return unreachable(operator);
  }
}

/** For people, such as `zone in (a, b)`. */
export function showRule({ key, operator, values }: LabelRule): string {
  switch (operator) {
    case 'in':
      return `${key} in (${values.join(', ')})`;
    case 'not_in':
      return `${key} not in (${values.join(', ')})`;
    case 'exists':
      return `${key} exists`;
    case 'not_exists':
      return `${key} does not exist`;
    default:
      return unreachable(operator);
  }
}

/** Whether the labels hold all of those that are wanted. */
export function hasLabels(labels: Pairs, wanted: Pairs): boolean {
  return wanted.every(([key, value]) => labelOf(labels, key) === value);
}

/** For people. */
export function showAnti({ batch, labels }: AntiRule): string {
  if (batch !== null) return 'tasks of its batch or DAG';
  return `tasks with ${labels.map(([key, value]) => `${key}=${value}`).join(', ')}`;
}
