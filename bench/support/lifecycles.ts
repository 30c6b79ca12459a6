/** Clients that have many tasks done, and know when all of them have COMPLETED without being told of each. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { watchTask } from '../../src/cli/follow.ts';
import { dialGrpc } from '../../src/cli/grpc-connection.ts';
import { Peers } from '../../src/cli/peers.ts';
import {
  ClusterService,
  type SubmitAnswer,
  type SubmitBatchRequest,
  type SubmitTasksRequest,
} from '../../src/generated/cluster.ts';
import { batchToWire } from '../../src/spec/group-wire.ts';
import { wireFromPlain } from '../../src/spec/wire.ts';
import type { TestCluster } from '../../test/support/cluster.ts';
import type { BenchmarkContext } from '../benchmark.ts';
import { MAX_BATCH } from './clusters.ts';
import { StreamCallers } from './stream-callers.ts';

/** Tasks of one request of the stream, and requests under way: so many are enough for the leader never to wait for more. */
const PER_REQUEST = 250;
const UNDER_WAY = 8;
/** Between looks at what the nodes have left. */
const LOOK_MS = 5;
/** Of a batch. */
const TERMINAL = new Set(['COMPLETED', 'FAILED', 'CANCELLED']);
/** Ends at once. A second attempt would hide that the first one failed. */
const TASK = { command: ['noop'], retry_policy: { max_attempts: 1 } } as const;

export interface Lived {
  /** From the first submission until all have COMPLETED. */
  readonly tookMs: number;
  /** To be asked outside of what is measured. @throws Error where one of them came to another end */
  confirm(signal: AbortSignal): Promise<void>;
}

export class Lifecycles {
  readonly #peers: Peers;
  readonly #submits: StreamCallers<SubmitTasksRequest, SubmitAnswer>;

  private constructor(peers: Peers, submits: StreamCallers<SubmitTasksRequest, SubmitAnswer>) {
    this.#peers = peers;
    this.#submits = submits;
  }

  /** At the leader. */
  static async connect(
    { scope, say }: Pick<BenchmarkContext, 'scope' | 'say'>,
    cluster: TestCluster,
  ): Promise<Lifecycles> {
    const { listen: address } = (await cluster.leader()).settings;
    const peers = await scope.own({
      start: () =>
        Promise.resolve(
          new Peers({
            addresses: [address],
            dial: dialGrpc,
            onOutage: (message) => say(`client: ${message}`),
          }),
        ),
      end: (opened) => {
        opened.close();
        return Promise.resolve();
      },
    });
    const submits = await StreamCallers.own(scope, { address, method: ClusterService.streamSubmits });
    return new Lifecycles(peers, submits);
  }

  /**
   * Tasks of their own, over one stream of submissions.
   * @param count a multiple of {@link PER_REQUEST}
   * @throws Error where one of them is refused, or comes to another end
   */
  async streamed(count: number, signal: AbortSignal): Promise<Lived> {
    const name = `bench-${randomUUID()}`;
    const spec = wireFromPlain({ ...TASK, name });
    const tasks = Array.from({ length: PER_REQUEST }, () => spec);
    const last: string[] = [];
    const begunMs = performance.now();
    await this.#submits.rate(
      {
        calls: Math.ceil(count / PER_REQUEST),
        clients: UNDER_WAY,
        request: () => ({ tasks, idempotency_key: randomUUID() }),
        check: ({ task_ids: ids, refusal }) => {
          if (ids.length !== PER_REQUEST) throw new Error(`${ids.length} tasks: ${refusal?.message}`);
          last.push(ids.at(-1) ?? '');
        },
      },
      signal,
    );
    // Equal tasks begin in the order of their submission: with the last requests all have begun, and then all have ended
    // when no node has any left.
    for (const id of last.slice(-UNDER_WAY)) await this.#untilOver(id, signal);
    await this.#untilIdle(signal);
    const tookMs = performance.now() - begunMs;
    return { tookMs, confirm: (inner) => this.#expectCompleted(name, count, inner) };
  }

  /**
   * One batch of a template, which has COMPLETED when all of its tasks have.
   * @throws Error where it comes to another end
   */
  async batch(count: number, signal: AbortSignal): Promise<Lived> {
    const name = `bench-${randomUUID()}`;
    const request: SubmitBatchRequest = batchToWire({ name, template: { ...TASK, name }, count }, name);
    const stopping = new AbortController();
    const both = AbortSignal.any([signal, stopping.signal]);
    const events = this.#peers.follow(
      (peer, inner) => peer.watchEvents({ since: '', follow: true, kind: ['batch'], id: [] }, inner),
      both,
    );
    try {
      // The stream says at once that it is there.
      await events.next();
      const begunMs = performance.now();
      const { batch_id: id } = await this.#peers.call(
        (peer, inner) => peer.submitBatch(request, inner),
        signal,
      );
      for await (const piece of events) {
        for (const event of piece.events) {
          const status = event.new_status ?? '';
          if (event.id !== id || !TERMINAL.has(status)) continue;
          if (status !== 'COMPLETED') throw new Error(`${id} is ${status}: ${event.reason}`);
          return { tookMs: performance.now() - begunMs, confirm: () => Promise.resolve() };
        }
      }
      throw new Error(`the events ended before ${id} did`);
    } finally {
      stopping.abort();
    }
  }

  async #untilOver(id: string, signal: AbortSignal): Promise<void> {
    let status = '';
    for await (const task of watchTask(this.#peers, id, signal)) status = task.status;
    if (status !== 'COMPLETED') throw new Error(`${id} is ${status}`);
  }

  async #untilIdle(signal: AbortSignal): Promise<void> {
    for (;;) {
      const { items } = await this.#peers.call((peer, inner) => peer.listNodes(inner), signal);
      if (items.every(({ active_tasks: active }) => active === 0)) return;
      await delay(LOOK_MS, undefined, { signal });
    }
  }

  async #expectCompleted(name: string, count: number, signal: AbortSignal): Promise<void> {
    const query = { status: ['COMPLETED'], node: '', name, label: [], batch_id: '', dag_id: '' };
    let completed = 0;
    let cursor = '';
    while (completed < count) {
      const page = { ...query, limit: Math.min(MAX_BATCH, count - completed), cursor };
      const answer = await this.#peers.call((peer, inner) => peer.listTasks(page, inner), signal);
      completed += answer.items.length;
      cursor = answer.next_cursor;
      if (cursor === '') break;
    }
    if (completed !== count) throw new Error(`${completed} of ${count} tasks have COMPLETED`);
  }
}
