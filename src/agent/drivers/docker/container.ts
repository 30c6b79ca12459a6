/**
 * One container of this node's, by its id: started at most once, looked at whenever something may have happened to it, and
 * ended by whatever still works (docs/containers.md). Knows nothing of attempts.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { pause } from '../../../lib/backoff.ts';
import { systemClock } from '../../../lib/clock.ts';
import type { Log } from '../../../lib/log.ts';
import type { Slots } from '../../../lib/slots.ts';
import type { Cgroups } from '../../cgroups/cgroups.ts';
import { Bell } from './bell.ts';
import type { Judgement } from './container-state.ts';
import { judge } from './container-state.ts';
import type { Engine } from './engine.ts';
import { EngineRefusal, NoAnswer } from './engine.ts';
import { insistThroughRefusals } from './insist.ts';
import { Killer } from './killer.ts';
import { DOCKER_LIMITS } from './limits.ts';
import { cgroupPathOf } from './naming.ts';
import { StartFailure } from './start-failure.ts';

/** The wall clock may have been set back a little between the engine's look at it and ours. */
const CLOCK_SLACK_MS = 1000;

export interface ContainerOptions {
  readonly id: string;
  readonly cgroupParent: string;
  /** Wall time of an earlier daemon's, when it knew that it ran; null: never. */
  readonly knownRunningAtMs: number | null;
  readonly engine: Engine;
  readonly cgroups: Cgroups;
  /** Looks at containers at the same time. */
  readonly inspectSlots: Slots;
  /** Ends all waiting; the container is left as it is. */
  readonly closing: AbortSignal;
  readonly log: Log;
}

export class Container {
  readonly id: string;
  readonly #options: ContainerOptions;
  readonly #cgroup: string;
  readonly #bell = new Bell();
  readonly #killer: Killer;
  /** Rings from before the newest look, or the start. */
  #seen = 0;
  /** The engine's name for its one execution: its start to the nanosecond. Another one is somebody else's. */
  #startId: string | null = null;
  /** It began before; what began later is somebody else's. Wall time. */
  #begunByMs: number;
  /** Since when it runs, says the engine, without a process. Monotonic. */
  #hollowSinceMs: number | null = null;
  #wasPopulated = false;

  constructor(options: ContainerOptions) {
    this.#options = options;
    this.id = options.id;
    this.#begunByMs = options.knownRunningAtMs ?? Number.POSITIVE_INFINITY;
    this.#cgroup = cgroupPathOf(options.cgroupParent);
    const { engine, cgroups, log } = options;
    const ring = (): void => this.ring();
    this.#killer = new Killer({ id: this.id, cgroup: this.#cgroup, engine, cgroups, ring, log });
  }

  /** Where the engine says that it runs, it may have died while the engine was away, and nobody told the engine. */
  get isHollow(): boolean {
    const { cgroups } = this.#options;
    const isPopulated = cgroups.pids(this.#cgroup).length > 0;
    this.#wasPopulated ||= isPopulated;
    // One that systemd made for it goes with its last process.
    return !isPopulated && (this.#wasPopulated || cgroups.exists(this.#cgroup));
  }

  /** Something may have happened to it. */
  ring(): void {
    this.#bell.ring();
  }

  /** TERM, then KILL after the grace; a shorter grace than one under way counts. */
  end(graceMs: number): void {
    this.#killer.end(graceMs);
  }

  /**
   * To be called once, ever. Resolves once it runs, or what became of it is known.
   * @throws StartFailure where the engine refused, and nothing of it ran
   */
  async startOnce(): Promise<Judgement> {
    const { engine, closing } = this.#options;
    this.#seen = this.#bell.count;
    const answer = engine.start(this.id).then(
      () => ({ error: null }),
      (error: unknown) => ({ error }),
    );
    for (;;) {
      const rung = this.#bell.after(this.#seen).then(() => null);
      const first = await Promise.race([answer, rung]);
      closing.throwIfAborted();
      if (first?.error === null) {
        this.#begunByMs = Date.now();
        return { type: 'running', startedAtMs: this.#begunByMs, startId: null };
      }
      const judgement = await this.look();
      // An engine that is slow to answer may have started it long ago.
      if (judgement.type !== 'created') return judgement;
      if (first === null) continue;
      const { error } = first;
      if (error instanceof EngineRefusal) throw new StartFailure(error.message, { cause: error });
      if (!(error instanceof NoAnswer)) throw error;
      // It may still come to it: only a container that is gone can never start.
      await this.remove();
      const message = 'the container engine broke off the start; whether it ran is not known';
      return { type: 'lost', message };
    }
  }

  /** Waits until it no longer runs. */
  async ended(): Promise<Judgement> {
    for (;;) {
      // Looked at once after its start, while the execution that is found there can be no other: it is known from then on.
      if (this.#startId !== null) await this.#ringOrDoubt();
      const judgement = await this.look();
      // It ran: an engine that says that it never did has lost track of it.
      if (judgement.type === 'created')
        return { type: 'lost', message: 'the container engine lost track of it; how it ended is not known' };
      if (judgement.type === 'ended') return this.#withCause(judgement);
      if (judgement.type !== 'running') return judgement;
    }
  }

  /** An engine may hear that memory ran out only after it has heard of the end. */
  async #withCause(ended: Extract<Judgement, { type: 'ended' }>): Promise<Judgement> {
    for (const waitMs of DOCKER_LIMITS.outOfMemoryLooksMs) {
      if (ended.signal !== 'SIGKILL' || ended.outOfMemory || this.#killer.hasKilled) return ended;
      await delay(waitMs, undefined, { signal: this.#options.closing });
      const again = await this.look();
      if (again.type === 'ended' && again.outOfMemory) return again;
    }
    return ended;
  }

  /** Waits for the engine's answer. One that somebody else has started again is removed: that is no execution of ours. */
  async look(): Promise<Judgement> {
    const { engine, closing, inspectSlots } = this.#options;
    const ask = () =>
      inspectSlots.use(() => {
        this.#seen = this.#bell.count;
        return engine.inspect(this.id, closing);
      });
    const judgement = judge(await insistThroughRefusals(closing, ask));
    if (judgement.type !== 'running' && judgement.type !== 'ended') return judgement;
    const isOurs = judgement.startedAtMs <= this.#begunByMs + CLOCK_SLACK_MS;
    if (this.#startId === null && isOurs) this.#startId = judgement.startId;
    if (judgement.startId === this.#startId)
      return judgement.type === 'running' ? this.#believed(judgement) : judgement;
    await this.remove();
    const message = 'the container was started again by somebody else; how it first ended is not known';
    return { type: 'lost', message };
  }

  /** What the engine says, unless the kernel has said otherwise for long. */
  #believed(running: Extract<Judgement, { type: 'running' }>): Judgement {
    this.#hollowSinceMs = this.isHollow ? (this.#hollowSinceMs ?? performance.now()) : null;
    const isDead =
      this.#hollowSinceMs !== null && performance.now() - this.#hollowSinceMs >= DOCKER_LIMITS.hollowAfterMs;
    if (isDead) {
      this.#options.log.warn({ id: this.id }, 'a container that runs, says the engine, holds no process');
      return { type: 'lost', message: 'the container engine missed its end; how it ended is not known' };
    }
    const startedAtMs = running.startedAtMs === 0 ? Date.now() : running.startedAtMs;
    return { ...running, startedAtMs };
  }

  async #ringOrDoubt(): Promise<void> {
    const rung = this.#bell.after(this.#seen);
    if (this.#hollowSinceMs === null) return rung;
    const soon = new AbortController();
    const signal = AbortSignal.any([soon.signal, this.#options.closing]);
    await Promise.race([rung, pause(systemClock, DOCKER_LIMITS.hollowLookMs, signal)]);
    soon.abort();
  }

  /** Resolves once it is gone: from then on nothing of it can run. */
  async remove(): Promise<void> {
    const { engine, closing } = this.#options;
    await insistThroughRefusals(closing, () => engine.remove(this.id, closing));
  }

  /** The engine says that it ended; what was put into its group from outside may be there all the same [EMPTY]. */
  async emptied(): Promise<void> {
    const { cgroups, closing, log } = this.#options;
    this.#killer.stop();
    const sinceMs = performance.now();
    let isTold = false;
    while (cgroups.kill(this.#cgroup) > 0) {
      if (!isTold && performance.now() - sinceMs > DOCKER_LIMITS.hollowAfterMs) {
        isTold = true;
        log.warn({ id: this.id, pids: cgroups.pids(this.#cgroup) }, 'processes of a container do not die');
      }
      await delay(DOCKER_LIMITS.killPauseMinMs, undefined, { signal: closing });
    }
  }

  /** No more signals. */
  release(): void {
    this.#killer.stop();
  }
}
