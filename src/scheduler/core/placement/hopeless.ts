import type { Resources } from '../../../model/task.ts';
import type { TaskRequest } from '../request.ts';

/** Beyond so many that do not contain each other, further ones are looked at anew each time. */
const MOST = 64;
/** The same, of different needs. */
const MOST_NEEDS = 1024;

/** Requests that found no place in this round: what has the same needs and asks for no less finds none either. */
export class HopelessRequests {
  readonly #smallest = new Map<string, readonly Resources[]>();

  includes({ needsKey, resources }: TaskRequest): boolean {
    return this.#smallest.get(needsKey)?.some((hopeless) => isNoLess(resources, hopeless)) ?? false;
  }

  add({ needsKey, resources }: TaskRequest): void {
    const known = this.#smallest.get(needsKey);
    if (known === undefined && this.#smallest.size >= MOST_NEEDS) return;
    const smaller = (known ?? []).filter((larger) => !isNoLess(larger, resources));
    this.#smallest.set(needsKey, smaller.length < MOST ? [...smaller, resources] : smaller);
  }
}

function isNoLess(request: Resources, other: Resources): boolean {
  return request.cpuMillis >= other.cpuMillis && request.memoryBytes >= other.memoryBytes;
}
