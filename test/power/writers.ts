/**
 * Clients that write all the time and keep what they were told: which key was acknowledged as which task, and which
 * tasks were seen to be over. What is not acknowledged is asked for again with its key, also across a power cut.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { Random } from '../../src/lib/random.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { FINAL_STATUSES, type TaskJson } from '../support/api.ts';
import type { TestCluster } from '../support/cluster.ts';
import { waitFor } from '../support/wait.ts';
import { submitUntilAcknowledged } from '../support/workload.ts';

export interface Acknowledged {
  readonly key: string;
  readonly id: string;
  readonly spec: object;
  readonly round: number;
  readonly size: TaskSize;
}

/** Large ones fill segments and checkpoints; a list of all small ones fits a few pages. */
type TaskSize = 'small' | 'large';

export interface Sighting {
  readonly status: string;
  readonly attempt: number;
}

const WRITERS = 6;
/** Every so many: large tasks only. */
const LARGE_EVERY = 3;
/** Of one variable; a process can be given 128 KiB in one. */
const LARGE_CHARACTERS = 96 * 1024;
const PAUSE_MS = 15;
const READ_PAUSE_MS = 40;
/** A cut of all nodes, their start, and some more. */
const PATIENCE_MS = 90_000;
const RECENT = 50;

export class Writers {
  readonly acknowledged: Acknowledged[] = [];
  /** By id: what a read that was answered said of a task that was over. */
  readonly sightings = new Map<string, Sighting>();
  readonly #cluster: TestCluster;
  readonly #random: Random;
  readonly #stopping = new AbortController();
  readonly #done: Promise<unknown>;
  #failure: unknown = null;

  constructor(cluster: TestCluster, round: number, seed: number) {
    this.#cluster = cluster;
    this.#random = seededRandom(seed);
    const writers = Array.from({ length: WRITERS }, (_, at) => this.#write(at, round));
    this.#done = Promise.all([...writers, this.#read()]);
    this.#done.catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** Resolves once so many more are acknowledged. @throws what a writer failed with; Error where it takes too long */
  async progress(count: number): Promise<void> {
    const wanted = this.acknowledged.length + count;
    await waitFor(
      `${count} more acknowledged`,
      () => this.#failure !== null || this.acknowledged.length >= wanted,
      {
        intervalMs: 5,
      },
    );
    if (this.#failure !== null) throw this.#failure;
  }

  /** Nothing new is begun; what was begun is acknowledged. @throws Error where it is not, in time */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  async #write(at: number, round: number): Promise<void> {
    const size = at % LARGE_EVERY === 0 ? 'large' : 'small';
    for (let count = 0; !this.#stopping.signal.aborted; count += 1) {
      const key = `r${round}-w${at}-${count}`;
      const spec = specOf(key, size, this.#random);
      const options = { key, firstNode: at + count, timeoutMs: PATIENCE_MS };
      const { id } = await submitUntilAcknowledged(this.#cluster, spec, options);
      this.acknowledged.push({ key, id, spec, round, size });
      await delay(PAUSE_MS);
    }
  }

  async #read(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await delay(READ_PAUSE_MS);
      const at = this.acknowledged.length - 1 - Math.floor(this.#random() * RECENT);
      const known = this.acknowledged[at];
      const node = this.#cluster.nodes[Math.floor(this.#random() * this.#cluster.nodes.length)];
      if (known === undefined || node?.isRunning !== true) continue;
      try {
        this.#saw(await node.api.task(known.id, { timeoutMs: 2000 }));
      } catch {
        // Cut off, or without a leader: it has said nothing. A task that is missing is found at the end of the round.
      }
    }
  }

  #saw({ id, status, attempt }: TaskJson): void {
    if (FINAL_STATUSES.has(status)) this.sightings.set(id, { status, attempt });
  }
}

function specOf(key: string, size: TaskSize, random: Random): object {
  const characters = Math.floor(random() * LARGE_CHARACTERS);
  return {
    name: key,
    command: ['true'],
    labels: { size },
    env: size === 'large' ? { PADDING: 'x'.repeat(characters) } : {},
    resources: { cpu: '10m', memory: '1Mi' },
  };
}
