/** All choices of a run come from one seed through this. */
import { seededRandom, type Random } from '../../src/lib/random.ts';

export class Chance {
  readonly random: Random;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** A source of its own, so that what one part draws does not move the others. */
  fork(): Chance {
    return new Chance(Math.floor(this.random() * 2 ** 32));
  }

  happens(probability: number): boolean {
    return this.random() < probability;
  }

  /** In [least, most). */
  between(least: number, most: number): number {
    return least + this.random() * (most - least);
  }

  /** Below `count`. */
  whole(count: number): number {
    return Math.floor(this.random() * count);
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.whole(items.length)];
  }
}
