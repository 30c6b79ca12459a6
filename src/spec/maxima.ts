import { concurrencyOf } from '../model/earlier-rows.ts';
import type { TaskSpec } from '../model/task.ts';

/** A concurrency key has one maximum; what differs from that of tasks before the request, only the state can tell. */
export class Maxima {
  readonly #known = new Map<string, number>();

  /** To be told of the tasks of a request in their order. @returns what is wrong with `concurrency.max`, or null */
  faultOf(spec: Pick<TaskSpec, 'concurrency'>): string | null {
    const concurrency = concurrencyOf(spec);
    if (concurrency === null) return null;
    const { key, max } = concurrency;
    const first = this.#known.get(key);
    this.#known.set(key, first ?? max);
    if (first === undefined || first === max) return null;
    return `${max} is not allowed: ${first}, which this request gives the key ${key} before`;
  }
}
