/**
 * Control groups of a simulated host, and what executes in them. A frozen group executes nothing, also what is put into it
 * later; SIGKILL waits in it until it is thawed, as the production code knows of version 1.
 */
import type { GroupLimits, ProcessGroups, Removed } from '../../../src/agent/cgroups/process-groups.ts';
import type { AttemptKey } from '../../../src/agent/drivers/driver.ts';
import type { Chance } from '../chance.ts';
import type { VirtualTime } from '../virtual-time.ts';

export interface Execution extends AttemptKey {
  readonly node: string;
  group: string;
  isDead: boolean;
  /** It had its time while it was frozen. */
  isOverdue: boolean;
  readonly exited: (code: number | null) => void;
}

interface Group {
  isFrozen: boolean;
  readonly executions: Set<Execution>;
}

export interface GroupsOptions {
  readonly node: string;
  readonly time: VirtualTime;
  readonly chance: Chance;
  /** What freezing and killing take at most, milliseconds. */
  readonly killMs: number;
  /** And mostly that long. */
  readonly killsSlowly: boolean;
  /** Something executes from now on. */
  readonly onExecute: (execution: Execution) => void;
}

export class SimulatedGroups implements ProcessGroups {
  readonly version = 1;
  readonly limitable = new Set<never>();
  readonly #options: GroupsOptions;
  readonly #groups = new Map<string, Group>();

  constructor(options: GroupsOptions) {
    this.#options = options;
  }

  groupOf(name: string): string {
    return `/${name}`;
  }

  groupsBeginning(prefix: string): readonly string[] {
    return [...this.#groups.keys()].filter((name) => name.startsWith(`/${prefix}`));
  }

  enclose<T>(group: string, _limits: GroupLimits, spawn: () => T): T {
    this.prepare(group);
    return spawn();
  }

  prepare(group: string): void {
    if (!this.#groups.has(group)) this.#groups.set(group, { isFrozen: false, executions: new Set() });
  }

  isFrozen(group: string): boolean {
    return this.#groups.get(group)?.isFrozen ?? false;
  }

  *executing(): Generator<Execution> {
    for (const { isFrozen, executions } of this.#groups.values()) if (!isFrozen) yield* executions;
  }

  /** Begins to execute there, at once or when the group is thawed. */
  execute(
    key: AttemptKey,
    group: string,
    { lastsMs, code = 0 }: { readonly lastsMs: number; readonly code?: number },
    exited: (code: number | null) => void,
  ): Execution {
    this.prepare(group);
    const { node, time, onExecute } = this.#options;
    const execution: Execution = { ...key, node, group, isDead: false, isOverdue: false, exited };
    const into = this.#groups.get(group);
    into?.executions.add(execution);
    time.after(lastsMs, () => {
      if (this.isFrozen(execution.group)) execution.isOverdue = true;
      else this.#end(execution, code);
    });
    if (into?.isFrozen === false) onExecute(execution);
    return execution;
  }

  async freeze(group: string): Promise<void> {
    await this.#pass();
    const found = this.#groups.get(group);
    if (found !== undefined) found.isFrozen = true;
  }

  async kill(group: string): Promise<void> {
    await this.#pass();
    const found = this.#groups.get(group);
    if (found === undefined) return;
    // With the KILL pending nothing of it executes between the thaw and its death.
    for (const execution of found.executions) this.#end(execution, null);
    found.isFrozen = false;
  }

  /** By an engine or a signal: it dies at once, unless its group is frozen. @returns whether it did */
  signal(execution: Execution): boolean {
    if (!execution.isDead && this.isFrozen(execution.group)) return false;
    this.#end(execution, null);
    return true;
  }

  /** To all that is in it, by host pid. */
  signalAll(group: string): void {
    for (const execution of this.#groups.get(group)?.executions ?? []) this.signal(execution);
  }

  /** Thaws it as it is: whatever is in it goes on. */
  thaw(group: string): void {
    const found = this.#groups.get(group);
    if (found === undefined || !found.isFrozen) return;
    found.isFrozen = false;
    for (const execution of found.executions) {
      if (execution.isOverdue) this.#end(execution, 0);
      else this.#options.onExecute(execution);
    }
  }

  isOccupied(group: string): boolean {
    return (this.#groups.get(group)?.executions.size ?? 0) > 0;
  }

  remove(group: string): Removed | null {
    if (this.isOccupied(group)) return null;
    this.#groups.delete(group);
    return { outOfMemory: false };
  }

  /** The machine goes down: nothing is left. */
  reset(): void {
    for (const { executions } of this.#groups.values())
      for (const execution of executions) execution.isDead = true;
    this.#groups.clear();
  }

  /** Nearly all of it, now and then: the lease's length counts on no more. */
  #pass(): Promise<void> {
    const { chance, killMs, killsSlowly, time } = this.#options;
    const isSlow = chance.happens(killsSlowly ? 0.7 : 0.3);
    const delayMs = isSlow ? killMs * chance.between(killsSlowly ? 0.95 : 0.7, 1) : chance.between(0.2, 4);
    return new Promise((resolve) => {
      time.after(delayMs, resolve);
    });
  }

  #end(execution: Execution, code: number | null): void {
    if (execution.isDead) return;
    execution.isDead = true;
    this.#groups.get(execution.group)?.executions.delete(execution);
    execution.exited(code);
  }
}
