import type { Resources } from '../../../model/task.ts';

/** Beyond so many that do not contain each other, further ones are looked at anew each time. */
const MOST = 64;

/** Requests that found no place in this round: what asks for no less of everything finds none either. */
export class HopelessRequests {
  #smallest: Resources[] = [];

  includes(request: Resources): boolean {
    return this.#smallest.some((hopeless) => isNoLess(request, hopeless));
  }

  add(request: Resources): void {
    this.#smallest = this.#smallest.filter((larger) => !isNoLess(larger, request));
    if (this.#smallest.length < MOST) this.#smallest.push(request);
  }
}

function isNoLess(request: Resources, other: Resources): boolean {
  return request.cpuMillis >= other.cpuMillis && request.memoryBytes >= other.memoryBytes;
}
