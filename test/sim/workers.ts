/** After the faults: workers that register, take what they are given, and report its end, until nothing is open any more. */
import { JarvisError } from '../../src/lib/errors.ts';
import type { TaskRow } from '../../src/model/task.ts';
import { registrationOf, reportOf } from '../../src/scheduler/core/testing/values.ts';
import type { CommandInput } from '../../src/scheduler/ports.ts';
import { labelsOf, WORKERS } from './clients.ts';
import type { Member } from './member.ts';
import { WALL_START_MS } from './scheduler-work.ts';
import { Violation } from './trace.ts';
import type { World } from './world.ts';

const STEP_MS = 200;

export class Workers {
  readonly #world: World;
  #stopped = false;
  readonly #busy = new Set<string>();

  constructor(world: World) {
    this.#world = world;
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
  }

  #next(): void {
    this.#world.time.after(STEP_MS, () => {
      if (this.#stopped) return;
      this.#next();
      const { leader } = this.#world;
      if (leader === undefined) return;
      for (const worker of WORKERS) this.#act(leader, worker);
    });
  }

  #act(leader: Member, worker: string): void {
    if (this.#busy.has(worker)) return;
    const input = this.#wanted(leader, worker);
    if (input === null) return;
    this.#busy.add(worker);
    void this.#propose(leader, worker, input);
  }

  async #propose(leader: Member, worker: string, input: CommandInput): Promise<void> {
    try {
      const outcome = await leader.scheduler.propose(input);
      if (outcome.type === 'done' && input.type === 'reportAttempts')
        this.#world.trace.count('task run to its end');
    } catch (error) {
      if (error instanceof JarvisError) return;
      this.#world.violation ??= error instanceof Error ? error : new Violation(String(error));
    } finally {
      this.#busy.delete(worker);
    }
  }

  #wanted(leader: Member, worker: string): CommandInput | null {
    const { state } = leader.replica.core;
    const { term } = leader.core.status();
    const node = state.nodes.get(worker);
    if (node === undefined || !node.sessionOpen)
      return registrationOf(worker, {
        startId: `${worker}-last-${node?.session ?? 0}`,
        startCounter: (node?.startCounter ?? 0) + 1,
        labels: labelsOf(worker),
      });
    const { session } = node;
    const held = [...state.tasksOn(worker)].flatMap((id) => {
      const attempt = (leader.replica.row('task', id) as TaskRow | null)?.attempts.at(-1);
      return attempt === undefined ? [] : [{ taskId: id, assignment: attempt.assignment }];
    });
    if (!node.reconciled) return { type: 'reconcileNode', node: worker, session, known: held };
    if (node.status !== 'AVAILABLE')
      return { type: 'nodeHealth', term, node: worker, session, healthy: true };
    if (held.length === 0) return null;
    const reports = held.map((at) => reportOf({ ...at, atMs: WALL_START_MS }, 'COMPLETED'));
    return { type: 'reportAttempts', node: worker, session, reports };
  }
}
