/** Clients that submit through all peers, each its own one first, and write down when they were acknowledged. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { dialGrpc } from '../../src/cli/grpc-connection.ts';
import { Peers } from '../../src/cli/peers.ts';
import { wireFromPlain } from '../../src/spec/wire.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Scope } from '../scope.ts';

const CLIENTS = 12;
/** Between two submits of a client. All together they are acknowledged every two milliseconds or so. */
const PAUSE_MS = 20;

export class SteadyLoad {
  readonly #clients: readonly Peers[];
  readonly #stopping = new AbortController();
  /** Of `performance.now`; in order. */
  #acknowledgedMs: number[] = [];
  #failure: unknown = null;
  #lines: readonly Promise<void>[] = [];

  private constructor(addresses: readonly string[]) {
    this.#clients = Array.from({ length: CLIENTS }, (_, at) => {
      const first = at % addresses.length;
      const rotated = [...addresses.slice(first), ...addresses.slice(0, first)];
      return new Peers({ addresses: rotated, dial: dialGrpc, onOutage: () => undefined });
    });
  }

  static own(scope: Scope, addresses: readonly string[]): Promise<SteadyLoad> {
    return scope.own({
      start: () => {
        const load = new SteadyLoad(addresses);
        load.#lines = load.#clients.map((client) => load.#submit(client));
        return Promise.resolve(load);
      },
      end: async (load) => {
        load.#stopping.abort();
        await Promise.all(load.#lines);
        for (const client of load.#clients) client.close();
      },
    });
  }

  /**
   * Resolves once so many were acknowledged from now on.
   * @returns when each was, by `performance.now`
   * @throws Error where it takes too long, or a submit was refused
   */
  async next(count: number): Promise<readonly number[]> {
    const from = this.#acknowledgedMs.length;
    await waitFor(
      `${count} acknowledged submits`,
      () => this.#failure !== null || this.#acknowledgedMs.length >= from + count,
      { intervalMs: 5 },
    );
    if (this.#failure !== null) throw this.#failure;
    return this.#acknowledgedMs.slice(from);
  }

  async #submit(client: Peers): Promise<void> {
    const { signal } = this.#stopping;
    const spec = wireFromPlain({ name: 'bench', command: ['noop'] });
    try {
      while (!signal.aborted) {
        const request = { tasks: [spec], idempotency_key: randomUUID() };
        await client.call((peer, inner) => peer.submitTasks(request, inner), signal);
        this.#acknowledgedMs.push(performance.now());
        await delay(PAUSE_MS, undefined, { signal });
      }
    } catch (error) {
      if (!signal.aborted) this.#failure = error;
    }
  }
}

/**
 * From a fault until submits are acknowledged again: the end of the longest silence since the fault. What was answered
 * before the fault and arrived right after it so does not count as the end.
 * @param acknowledgedMs after the fault, in order, by the same clock
 */
export function gapMs(faultMs: number, acknowledgedMs: readonly number[]): number {
  let [longest, end] = [0, faultMs];
  let last = faultMs;
  for (const atMs of acknowledgedMs) {
    if (atMs <= faultMs) continue;
    if (atMs - last > longest) [longest, end] = [atMs - last, atMs];
    last = atMs;
  }
  return end - faultMs;
}
