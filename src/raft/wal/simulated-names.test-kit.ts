/**
 * The names in the directories of a simulated disk. A name that was made, changed or removed is durable once its directory
 * is synced, and not with a sync of the file; what was not is there after a power cut or not, whatever became of the others.
 */
import { dirname } from 'node:path';

/** What becomes of something that no sync has made durable: all of it survives, any part of it, or nothing. */
export type Fate = 'all' | 'some' | 'none';

type Kind = 'made' | 'renamed' | 'removed';

/** One step: after a crash all of it was done, or nothing of it. */
interface Change<T> {
  readonly kind: Kind;
  /** By path; null for a name that goes. */
  readonly entries: ReadonlyMap<string, T | null>;
  /** A lying disk has said that it is durable. */
  claimed: boolean;
}

/** How many changes of each kind a power cut took back. */
export type LostNames = Readonly<Record<Kind, number>>;

export class SimulatedNames<T> {
  /** As processes see them. */
  readonly #current = new Map<string, T>();
  #durable = new Map<string, T>();
  #pending: Change<T>[] = [];

  get(path: string): T | undefined {
    return this.#current.get(path);
  }

  entries(): readonly (readonly [path: string, value: T])[] {
    return [...this.#current];
  }

  /** Those that a name leads to, or may lead to after a power cut. */
  values(): ReadonlySet<T> {
    const pending = this.#pending.flatMap(({ entries }) => [...entries.values()]);
    return new Set([
      ...this.#current.values(),
      ...this.#durable.values(),
      ...pending.filter((one) => one !== null),
    ]);
  }

  /** Durable at once. */
  put(path: string, value: T): void {
    this.#current.set(path, value);
    this.#durable.set(path, value);
  }

  /** Gone at once, durably. */
  drop(path: string): void {
    this.#current.delete(path);
    this.#durable.delete(path);
  }

  make(path: string, value: T): void {
    this.#change('made', [[path, value]]);
  }

  /** What had the new name is replaced. */
  rename(from: string, to: string, value: T): void {
    this.#change('renamed', [
      [from, null],
      [to, value],
    ]);
  }

  remove(path: string): void {
    this.#change('removed', [[path, null]]);
  }

  /** @param lies the disk says that it has them and does nothing */
  sync(directory: string, lies: boolean): void {
    const isInside = ({ entries }: Change<T>): boolean =>
      [...entries.keys()].every((path) => dirname(path) === directory);
    for (const change of this.#pending.filter(isInside)) {
      if (lies) change.claimed = true;
      else apply(this.#durable, change);
    }
    if (!lies) this.#pending = this.#pending.filter((change) => !isInside(change));
  }

  /** What a disk lied about reaches it in the end. */
  writeBack(): void {
    for (const change of this.#pending) if (change.claimed) apply(this.#durable, change);
    this.#pending = this.#pending.filter(({ claimed }) => !claimed);
  }

  /** Independent names in any order; of the changes of one name no later one without those before it. */
  powerCut(happens: () => boolean, fateOf: (path: string) => Fate): LostNames {
    const lost = { made: 0, renamed: 0, removed: 0 };
    const stale = new Set<string>();
    for (const change of this.#pending) {
      const paths = [...change.entries.keys()];
      const survives = paths.every((path) => !isBelow(path, stale)) && this.#survives(paths, happens, fateOf);
      if (survives) apply(this.#durable, change);
      else {
        lost[change.kind] += 1;
        for (const path of paths) stale.add(path);
      }
    }
    // A directory that is not there holds nothing, synced or not.
    for (const path of this.#durable.keys())
      if (isBelow(dirname(path), stale) && !this.#isThere(dirname(path))) this.#durable.delete(path);
    this.#pending = [];
    this.#current.clear();
    for (const [path, value] of this.#durable) this.#current.set(path, value);
    return lost;
  }

  #survives(paths: readonly string[], happens: () => boolean, fateOf: (path: string) => Fate): boolean {
    const fates = new Set(paths.map((path) => fateOf(path)));
    if (fates.has('none')) return false;
    return fates.has('some') ? happens() : true;
  }

  #isThere(directory: string): boolean {
    return this.#durable.has(directory);
  }

  #change(kind: Kind, entries: readonly (readonly [string, T | null])[]): void {
    const change = { kind, entries: new Map(entries), claimed: false };
    this.#pending.push(change);
    apply(this.#current, change);
  }
}

function apply<T>(names: Map<string, T>, { entries }: Change<T>): void {
  for (const [path, value] of entries) {
    if (value === null) names.delete(path);
    else names.set(path, value);
  }
}

/** Whether the path or a directory above it is one of these. */
function isBelow(path: string, paths: ReadonlySet<string>): boolean {
  for (let at = path; ; at = dirname(at)) {
    if (paths.has(at)) return true;
    if (at === dirname(at)) return false;
  }
}
