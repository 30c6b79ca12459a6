/** Ends a container: TERM, KILL after the grace, and by host pid where the engine does not carry that out. */
import { pause } from '../../../lib/backoff.ts';
import { systemClock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import type { Cgroups } from '../../cgroups/cgroups.ts';
import { Timer } from '../../watchdog/timer.ts';
import type { Engine } from './engine.ts';
import { insist } from './insist.ts';
import { DOCKER_LIMITS } from './limits.ts';

export interface KillerOptions {
  readonly id: string;
  readonly cgroup: string;
  readonly engine: Engine;
  readonly cgroups: Cgroups;
  /** Called when it may have ended. */
  readonly ring: () => void;
  readonly log: Log;
}

export class Killer {
  readonly #options: KillerOptions;
  readonly #over = new AbortController();
  readonly #grace = new Timer();
  #termSent = false;
  #killing = false;
  /** It must not run any longer: nothing waits for the engine. */
  #isUrgent = false;
  #isAsking = false;
  #engineRefused = false;

  constructor(options: KillerOptions) {
    this.#options = options;
  }

  /** A shorter grace than one under way counts. Without one, as when the lease is over, it is killed by host pid at once. */
  end(graceMs: number): void {
    if (this.#over.signal.aborted) return;
    if (graceMs === 0 && !this.#isUrgent) {
      this.#isUrgent = true;
      this.#options.cgroups.kill(this.#options.cgroup);
    }
    this.#grace.startNoLater(graceMs, () => void this.#kill());
    if (graceMs === 0 || this.#termSent) return;
    this.#termSent = true;
    void this.#terminate();
  }

  get hasKilled(): boolean {
    return this.#killing || this.#isUrgent;
  }

  /** It has ended: no more signals. */
  stop(): void {
    this.#grace.clear();
    this.#over.abort(new Error('it has ended'));
  }

  async #terminate(): Promise<void> {
    const { signal } = this.#over;
    const { engine, id, log } = this.#options;
    try {
      await insist(signal, () => engine.kill(id, 'SIGTERM', signal));
    } catch (error) {
      if (!signal.aborted) log.warn({ error: messageOf(error) }, 'TERM was not delivered');
    }
  }

  /** Again and again: it may fork, and a start whose answer never came may still happen. */
  async #kill(): Promise<void> {
    if (this.#killing) return;
    this.#killing = true;
    const { signal } = this.#over;
    const { cgroups, cgroup, ring } = this.#options;
    let pauseMs: number = DOCKER_LIMITS.killPauseMinMs;
    const sinceMs = performance.now();
    while (!signal.aborted) {
      if (!this.#isAsking) void this.#askEngine();
      // Whatever the engine said of it: it may take a container that it lost track of for one that does not run.
      const isLate = performance.now() - sinceMs > DOCKER_LIMITS.engineKillTimeoutMs;
      if (this.#isUrgent || this.#engineRefused || isLate) cgroups.kill(cgroup);
      ring();
      await pause(systemClock, pauseMs, signal);
      pauseMs = Math.min(pauseMs * 2, DOCKER_LIMITS.killPauseMaxMs);
    }
  }

  async #askEngine(): Promise<void> {
    const { engine, id, log } = this.#options;
    const signal = AbortSignal.any([
      this.#over.signal,
      AbortSignal.timeout(DOCKER_LIMITS.engineKillTimeoutMs),
    ]);
    this.#isAsking = true;
    try {
      await engine.kill(id, 'SIGKILL', signal);
      this.#engineRefused = false;
    } catch (error) {
      if (this.#over.signal.aborted) return;
      this.#engineRefused = true;
      log.debug({ error: messageOf(error) }, 'the engine did not kill a container; killing it by pid');
    } finally {
      this.#isAsking = false;
    }
  }
}
