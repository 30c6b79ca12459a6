/**
 * A container engine: it carries out what it was asked for at any later time, also long after whoever asked has died; what
 * it is asked for while it is stopped waits in its sockets. Answers get lost.
 */
import type { AttemptKey } from '../../../src/agent/drivers/driver.ts';
import type { Chance } from '../chance.ts';
import type { Execution, SimulatedGroups } from './groups.ts';
import { SimulatedProcess, type LocalTime } from './process.ts';
import type { VirtualTime } from '../virtual-time.ts';

/** It is not known whether it happened. */
export class NoAnswer extends Error {}
/** It did not happen. */
export class Refusal extends Error {}

interface Container {
  readonly key: AttemptKey;
  readonly parent: string;
  state: 'created' | 'running' | 'exited';
  exitCode: number | null;
  execution: Execution | null;
}

export type ContainerState =
  | { readonly type: 'gone' }
  | (Pick<Container, 'exitCode'> & { readonly type: Container['state'] });

export interface EngineOptions {
  readonly time: VirtualTime;
  readonly local: LocalTime;
  readonly chance: Chance;
  readonly groups: SimulatedGroups;
  readonly lastsMs: (key: AttemptKey) => number;
  readonly count: (what: 'container started into a frozen group') => void;
}

const PATIENCE_MS = 400;

export class SimulatedEngine {
  process: SimulatedProcess;
  readonly #options: EngineOptions;
  readonly #containers = new Map<string, Container>();

  constructor(options: EngineOptions) {
    this.#options = options;
    this.process = new SimulatedProcess(options.time, options.local);
  }

  create(asker: SimulatedProcess, name: string, key: AttemptKey, parent: string): Promise<void> {
    return this.#ask(asker, () => {
      if (this.#containers.has(name)) return;
      const { taskId, assignment } = key;
      const container = { key: { taskId, assignment }, parent, exitCode: null, execution: null };
      this.#containers.set(name, { ...container, state: 'created' });
    });
  }

  start(asker: SimulatedProcess, name: string): Promise<void> {
    return this.#ask(asker, () => {
      const container = this.#containers.get(name);
      if (container === undefined) throw new Refusal('no such container');
      if (container.state !== 'created') return;
      container.state = 'running';
      const { groups, lastsMs, count } = this.#options;
      if (groups.isFrozen(container.parent)) count('container started into a frozen group');
      container.execution = groups.execute(
        container.key,
        container.parent,
        { lastsMs: lastsMs(container.key) },
        (code) => {
          container.state = 'exited';
          container.exitCode = code;
        },
      );
    });
  }

  kill(asker: SimulatedProcess, name: string): Promise<void> {
    return this.#ask(asker, () => {
      const execution = this.#containers.get(name)?.execution;
      if (execution !== null && execution !== undefined) this.#options.groups.signal(execution);
    });
  }

  remove(asker: SimulatedProcess, name: string): Promise<void> {
    return this.#ask(asker, () => {
      const container = this.#containers.get(name);
      if (container === undefined) return;
      const { execution } = container;
      if (execution !== null && !this.#options.groups.signal(execution)) throw new Refusal('it does not die');
      this.#containers.delete(name);
    });
  }

  inspect(asker: SimulatedProcess, name: string): Promise<ContainerState> {
    return this.#ask(asker, () => {
      const container = this.#containers.get(name);
      return container === undefined
        ? { type: 'gone' }
        : { type: container.state, exitCode: container.exitCode };
    });
  }

  names(asker: SimulatedProcess): Promise<readonly string[]> {
    return this.#ask(asker, () => [...this.#containers.keys()]);
  }

  /** The machine goes down: containers stay, and have ended. */
  reset(): void {
    this.process.kill();
    this.process = new SimulatedProcess(this.#options.time, this.#options.local);
    for (const container of this.#containers.values()) {
      if (container.state === 'running') container.state = 'exited';
      container.execution = null;
    }
  }

  #ask<T>(asker: SimulatedProcess, action: () => T): Promise<T> {
    const { chance } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const isAnswerLost = chance.happens(0.02);
    const delayMs = chance.happens(0.05) ? chance.between(0, 800) : chance.between(0.5, 8);
    const giveUp = asker.later(PATIENCE_MS, () => reject(new NoAnswer('the engine does not answer')));
    this.process.later(delayMs, () => {
      try {
        const value = action();
        if (isAnswerLost) return;
        giveUp();
        asker.later(0.2, () => resolve(value));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        giveUp();
        asker.later(0.2, () => reject(error));
      }
    });
    return promise;
  }
}
