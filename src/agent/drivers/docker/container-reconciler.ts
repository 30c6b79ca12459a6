/**
 * Compares what the engine has with what this node knows, for ever: attempts whose container has ended or vanished look
 * for themselves, and containers that nobody knows any more are removed.
 */
import { messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import type { Cgroups } from '../../cgroups/cgroups.ts';
import type { AttemptTable } from '../../watchdog/attempt-table.ts';
import type { ContainerAttempt } from './container-attempt.ts';
import type { ContainerSummary, Engine } from './engine.ts';
import { insistThroughRefusals } from './insist.ts';
import { DOCKER_LIMITS } from './limits.ts';
import { attemptOfLabels, cgroupPrefixOf, containerNameOf, OWNED_LABEL } from './naming.ts';
import type { ContainerOwner } from './options.ts';

export interface ReconcilerOptions {
  readonly engine: Engine;
  readonly cgroups: Cgroups;
  readonly owner: ContainerOwner;
  readonly table: AttemptTable<ContainerAttempt>;
  readonly closing: AbortSignal;
  readonly log: Log;
}

const RUNNING_STATES: ReadonlySet<string> = new Set(['running', 'paused', 'restarting']);

export class ContainerReconciler {
  readonly #options: ReconcilerOptions;
  readonly #removing = new Set<string>();
  #hasSeenAll = false;
  /** Of the running attempts, where the next reading of their control groups begins. */
  #nextGroup = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  get isBusy(): boolean {
    for (const { view } of this.#options.table.all()) if (view.type !== 'ended') return true;
    return false;
  }

  seeEvent(labels: Readonly<Record<string, string>>): void {
    const found = attemptOfLabels(labels, this.#options.owner);
    if (found?.isOfIncarnation === true) this.#options.table.find(found.key)?.look();
  }

  seeAll(containers: readonly ContainerSummary[]): void {
    const { table, owner } = this.#options;
    const running = new Set<string>();
    for (const container of containers) {
      const found = attemptOfLabels(container.labels, owner);
      if (found === null) continue;
      const attempt = found.isOfIncarnation ? table.find(found.key) : undefined;
      if (attempt === undefined) void this.#removeOrphan(container);
      else if (attempt.view.type === 'ended') attempt.clean();
      else if (RUNNING_STATES.has(container.state)) running.add(container.id);
    }
    for (const attempt of table.all()) {
      const { containerId, view } = attempt;
      // One that starts at present looks as well: its answer may be lost.
      const isKnownToRun = view.type === 'running' && containerId !== null && running.has(containerId);
      if (view.type !== 'ended' && !isKnownToRun) attempt.look();
    }
    if (!this.#hasSeenAll) this.#removeEmptyCgroups();
    this.#hasSeenAll = true;
  }

  /** Nobody is told of the end of a container that an engine missed; those that were passed over come next time. */
  lookAtHollow(): void {
    const attempts = [...this.#options.table.all()].filter(({ view }) => view.type === 'running');
    const from = this.#nextGroup < attempts.length ? this.#nextGroup : 0;
    this.#nextGroup = from + DOCKER_LIMITS.groupsPerList;
    for (const attempt of attempts.slice(from, this.#nextGroup)) if (attempt.isHollow) attempt.look();
  }

  async #removeOrphan({ id, labels }: ContainerSummary): Promise<void> {
    const { engine, closing, log } = this.#options;
    if (this.#removing.has(id)) return;
    this.#removing.add(id);
    log.info({ container: id, labels }, 'a container that no attempt is known of is removed');
    try {
      await insistThroughRefusals(closing, () => engine.remove(id, closing));
      this.#removeGroupOf(labels);
    } catch (error) {
      if (!closing.aborted) log.error({ container: id, error: messageOf(error) }, 'it could not be removed');
    } finally {
      this.#removing.delete(id);
    }
  }

  /** Left, perhaps frozen, by a watchdog that lost its directory: with its container gone nothing can come into it. */
  #removeGroupOf(labels: ContainerSummary['labels']): void {
    const { owner, cgroups } = this.#options;
    const found = attemptOfLabels(labels, owner);
    const incarnation = labels[OWNED_LABEL];
    if (found !== null && incarnation !== undefined)
      cgroups.remove(`/${containerNameOf({ ...owner, incarnation }, found.key)}`);
  }

  /** Of attempts that ended when their group could not be removed, by an earlier daemon. */
  #removeEmptyCgroups(): void {
    const { cgroups, owner, table } = this.#options;
    const live = new Set([...table.all()].map(({ view }) => `/${containerNameOf(owner, view)}`));
    for (const group of cgroups.namesBeginning(cgroupPrefixOf(owner))) {
      if (!live.has(group) && cgroups.pids(group).length === 0) cgroups.remove(group);
    }
  }
}
