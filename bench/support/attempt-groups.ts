/** Owned before the engine is: the groups of attempts go last, when nothing is in them any more. */
import { attemptGroupPrefixes, removeAttemptGroups } from '../../test/support/attempt-groups.ts';
import type { TestCluster } from '../../test/support/cluster.ts';
import type { Scope } from '../scope.ts';

export class AttemptGroups {
  readonly #prefixes: string[] = [];

  static own(scope: Scope): Promise<AttemptGroups> {
    return scope.own({
      start: () => Promise.resolve(new AttemptGroups()),
      end: (groups) => removeAttemptGroups(groups.#prefixes),
    });
  }

  /** Before any task of it runs: then there is a name to find its groups by, whatever happens later. */
  add(cluster: TestCluster): void {
    this.#prefixes.push(...attemptGroupPrefixes(cluster));
  }
}
