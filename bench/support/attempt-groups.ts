/**
 * The control groups that nodes make above their containers. A node that is killed leaves them behind, and they can be
 * removed only when the engine has ended what is in them: so this is owned before the engine is.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { cgroupPrefixOf } from '../../src/agent/drivers/docker/naming.ts';
import type { TestCluster } from '../../test/support/cluster.ts';
import { findCgroupsBeginning, removeCgroup } from '../../test/support/docker-bed/cgroups.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Scope } from '../scope.ts';

export class AttemptGroups {
  readonly #prefixes: string[] = [];

  static own(scope: Scope): Promise<AttemptGroups> {
    return scope.own({
      start: () => Promise.resolve(new AttemptGroups()),
      end: (groups) => groups.#remove(),
    });
  }

  /** Before any task of it runs: then there is a name to find its groups by, whatever happens later. */
  add({ nodes }: TestCluster): void {
    for (const { name, settings } of nodes) {
      const identity = readFileSync(path.join(settings.dataDir, 'identity.json'), 'utf8');
      const { incarnation } = JSON.parse(identity) as { readonly incarnation: string };
      this.#prefixes.push(cgroupPrefixOf({ node: name, incarnation, dataDirectory: settings.dataDir }));
    }
  }

  async #remove(): Promise<void> {
    const isGone = (): boolean =>
      this.#prefixes.flatMap(findCgroupsBeginning).map(removeCgroup).every(Boolean);
    await waitFor('the control groups of attempts to be removed', isGone);
  }
}
