/**
 * Clients that submit through all peers, each its own one first, and write down when they were acknowledged. A client
 * stays with a peer that works, so after a few faults all might be at the next leader to fail, and what is measured would
 * be how soon a client finds a connection dead: between faults they are sent home.
 */
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

interface Client {
  /** Its own peer first. */
  readonly addresses: readonly string[];
  peers: Peers;
  isSentHome: boolean;
}

export class SteadyLoad {
  readonly #clients: readonly Client[];
  readonly #stopping = new AbortController();
  /** Of `performance.now`; in order. */
  #acknowledgedMs: number[] = [];
  #failure: unknown = null;
  #lines: readonly Promise<void>[] = [];

  private constructor(addresses: readonly string[]) {
    this.#clients = Array.from({ length: CLIENTS }, (_, at) => {
      const first = at % addresses.length;
      const rotated = [...addresses.slice(first), ...addresses.slice(0, first)];
      return { addresses: rotated, peers: peersOf(rotated), isSentHome: false };
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
        for (const { peers } of load.#clients) peers.close();
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

  /** Each submits through its own peer again, once it has an answer to what is under way. */
  sendHome(): void {
    for (const client of this.#clients) client.isSentHome = true;
  }

  async #submit(client: Client): Promise<void> {
    const { signal } = this.#stopping;
    const spec = wireFromPlain({ name: 'bench', command: ['noop'] });
    try {
      while (!signal.aborted) {
        if (client.isSentHome) goHome(client);
        const request = { tasks: [spec], idempotency_key: randomUUID() };
        await client.peers.call((peer, inner) => peer.submitTasks(request, inner), signal);
        this.#acknowledgedMs.push(performance.now());
        await delay(PAUSE_MS, undefined, { signal });
      }
    } catch (error) {
      if (!signal.aborted) this.#failure = error;
    }
  }
}

function goHome(client: Client): void {
  client.isSentHome = false;
  if (client.peers.address === client.addresses[0]) return;
  client.peers.close();
  client.peers = peersOf(client.addresses);
}

function peersOf(addresses: readonly string[]): Peers {
  return new Peers({ addresses, dial: dialGrpc, onOutage: () => undefined });
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
