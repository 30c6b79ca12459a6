/** Who submits tasks to run on nodes, and cancels some. */
import { containerOf, specOf } from '../../../src/scheduler/core/testing/values.ts';
import type { CommandInput } from '../../../src/scheduler/ports.ts';
import { JarvisError } from '../../../src/lib/errors.ts';
import type { Chance } from '../chance.ts';
import { Violation } from '../trace.ts';
import type { World } from '../world.ts';

const OPEN_TASKS = 6;

export class Users {
  readonly #world: World;
  readonly #chance: Chance;
  /** The part of the tasks that are containers. */
  readonly containers: number;
  /** The part of the tasks that wait for their node where it is lost. */
  readonly waits: number;
  #stopped = false;

  constructor(world: World) {
    this.#world = world;
    this.#chance = world.nodeChance.fork();
    this.waits = world.waitChance.happens(0.2) ? 0.5 : 0;
    this.containers = this.#chance.pick([0, 0.5, 1]) ?? 0.5;
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
  }

  #next(): void {
    this.#world.time.after(this.#chance.between(0, 400), () => {
      if (this.#stopped) return;
      this.#next();
      const { leader } = this.#world;
      if (leader === undefined || leader.isPaused || leader.replica.core.state.cluster === null) return;
      const input = this.#input([...leader.replica.core.state.tasks.keys()]);
      if (input === null) return;
      leader.scheduler.propose(input).catch((error: unknown) => {
        if (!(error instanceof JarvisError)) this.#world.violation ??= new Violation(String(error));
      });
    });
  }

  #input(open: readonly string[]): CommandInput | null {
    const chance = this.#chance;
    const taskId = chance.pick(open);
    if (taskId !== undefined && chance.happens(0.05))
      return { type: 'cancelTask', taskId, idempotency: null };
    if (open.length >= OPEN_TASKS) return null;
    const container = chance.happens(this.containers) ? containerOf() : null;
    const retry = { backoffStrategy: 'fixed', backoffBase: 1, maxAttempts: 5 } as const;
    const onNodeLoss = this.#world.waitChance.happens(this.waits) ? 'wait' : 'reschedule';
    const task = specOf({ container, stopGraceMs: 200, retry, onNodeLoss });
    return { type: 'submitTasks', tasks: [task], idempotency: null };
  }
}
