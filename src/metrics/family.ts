/**
 * Families of metrics as data: what each is named, counts and means. From them come the registry of a node and
 * docs/metrics.md. Labels never take what users choose, such as ids and names of tasks: every family has few series.
 */

/** Every node has it, or only the one that leads at present: so a sum over the nodes counts nothing twice. */
type Exposure = 'every node' | 'leader';

type FamilyType = 'counter' | 'gauge' | 'histogram' | 'summary';

export interface Family<Label extends string = string> {
  readonly name: string;
  readonly type: FamilyType;
  /** One sentence without its full stop. */
  readonly help: string;
  readonly labels: readonly Label[];
  /** For the document. */
  readonly unit: string;
  readonly exposure: Exposure;
  /** Of a histogram: upper bounds, rising. */
  readonly buckets: readonly number[];
}

interface Definition<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly Label[];
  readonly unit?: string;
  readonly exposure?: Exposure;
}

/** Units that a name ends with, as Prometheus wants them. */
const UNITS = ['seconds', 'bytes', 'cores', 'percent', 'entries'];

function family<Label extends string>(
  type: FamilyType,
  definition: Definition<Label>,
  buckets: readonly number[] = [],
): Family<Label> {
  const stem = definition.name.replace(/_total$/, '').replace(/_per_second$/, '');
  const unit = UNITS.find((one) => stem.endsWith(`_${one}`)) ?? '';
  return { unit, labels: [], exposure: 'every node', ...definition, type, buckets };
}

/** What goes up and down. */
export function gauge<Label extends string = never>(definition: Definition<Label>): Family<Label> {
  return family('gauge', definition);
}

/** What only rises, from 0 at the start of the node; its name ends in `_total`. */
export function counter<Label extends string = never>(definition: Definition<Label>): Family<Label> {
  return family('counter', definition);
}

export function histogram<Label extends string = never>(
  definition: Definition<Label> & { readonly buckets: readonly number[] },
): Family<Label> {
  const { buckets, ...rest } = definition;
  return family('histogram', rest, buckets);
}

/** Quantiles of a recent while. */
export function summary(definition: Definition<never>): Family<'quantile'> {
  return family('summary', { ...definition, labels: ['quantile'] });
}

/** Seconds: what a disk or a decision takes. */
export const FAST_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
/** Seconds: what a call takes. Few, because there is a histogram for every call and status. */
export const CALL_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];
/** Seconds: what a task takes, or waits: to a day. */
export const TASK_BUCKETS = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400,
];
