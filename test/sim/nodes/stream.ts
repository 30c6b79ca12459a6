/**
 * A worker's stream to the member that it takes for the leader. In each direction messages come in order, and late where
 * the network is cut: then what was sent lies in buffers, and arrives when it heals, whoever leads by then.
 */
import type { LeaderMessage, WorkerMessage } from '../../../src/generated/worker.ts';
import type { SessionStream, SessionStreamEvents } from '../../../src/agent/worker/session-connector.ts';
import type { WorkerCall } from '../../../src/agent/leader/node-session.ts';
import type { Member } from '../member.ts';
import type { Host } from './host.ts';
import type { SimulatedProcess } from './process.ts';

type Listener = (value: never) => void;

export class WorkerStream implements SessionStream {
  readonly address: string;
  readonly #host: Host;
  readonly #daemon: SimulatedProcess;
  readonly #member: Member;
  readonly #events: SessionStreamEvents;
  readonly #listeners = new Map<string, Listener[]>();
  #isClosed = false;
  #isEnded = false;
  #upMs = 0;
  #downMs = 0;

  constructor(host: Host, daemon: SimulatedProcess, member: Member, events: SessionStreamEvents) {
    this.#host = host;
    this.#daemon = daemon;
    this.#member = member;
    this.#events = events;
    this.address = `n${member.id}`;
    this.#up(() => {
      if (!member.scheduler.acceptWorker(this.#call())) this.end('this node does not lead');
      else host.streams.add(this);
    });
  }

  get member(): Member {
    return this.#member;
  }

  send(message: WorkerMessage): void {
    if (!this.#isClosed) this.#up(() => this.#tell('data', structuredCloneOf(message)));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#up(() => this.#tell('close', undefined));
    this.#host.streams.delete(this);
  }

  /** The leader's side has ended it, or its process has. */
  end(reason: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#host.streams.delete(this);
    this.#down(() => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      this.#events.ended(reason);
    });
  }

  #call(): WorkerCall {
    const call = {
      on: (event: string, listener: Listener) => {
        this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
        return call;
      },
      write: (message: LeaderMessage) => {
        if (!this.#isEnded) this.#down(() => this.#deliver(message));
        return true;
      },
      writableLength: 0,
      end: () => this.end('the leader has ended the stream'),
      emit: () => {
        this.end('the leader has refused the stream');
        return true;
      },
      getPeer: () => this.#host.name,
    };
    return call as unknown as WorkerCall;
  }

  #deliver(message: LeaderMessage): void {
    if (!this.#isClosed) this.#events.message(message);
  }

  #tell(event: string, value: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(value as never);
  }

  #up(action: () => void): void {
    this.#upMs = this.#arrivalMs(this.#upMs, this.#host.upCutUntilMs);
    this.#member.later(this.#upMs - this.#host.world.time.nowMs, action);
  }

  #down(action: () => void): void {
    this.#downMs = this.#arrivalMs(this.#downMs, this.#host.downCutUntilMs);
    this.#daemon.later(this.#downMs - this.#host.world.time.nowMs, action);
  }

  #arrivalMs(lastMs: number, cutUntilMs: number): number {
    const { world, chance, latencyMs } = this.#host;
    const delayMs = chance.happens(0.01) ? chance.between(0, 800) : latencyMs * chance.between(0.5, 1.5);
    return Math.max(lastMs, world.time.nowMs + delayMs, cutUntilMs);
  }
}

/** Both ends are in one process here: neither may see what the other changes. */
function structuredCloneOf(message: WorkerMessage): WorkerMessage {
  return { ...message };
}
