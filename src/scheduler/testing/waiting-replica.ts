/** For tests of a leader's loop: a replica whose proposals wait until the test commits or drops them. */
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { Outcome } from '../../model/commands.ts';
import type { ClusterState } from '../core/state.ts';
import { TestCluster } from '../core/testing/test-cluster.ts';
import { MIB, specOf } from '../core/testing/values.ts';
import type { Applied, CommandInput, Leadership, Replica } from '../ports.ts';

class ManualClock implements Clock {
  nowMs: number;
  /** How far the wall clock was set back. */
  setBackMs = 0;
  readonly timers = new Map<() => void, number>();

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  wallMs(): number {
    return this.nowMs - this.setBackMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = (): void => callback();
    this.timers.set(timer, this.nowMs + delayMs);
    return () => void this.timers.delete(timer);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (const [timer, atMs] of this.timers) {
      if (atMs > this.nowMs || !this.timers.delete(timer)) continue;
      timer();
    }
  }
}

/** A replica whose proposals wait until the test commits or drops them. */
export class WaitingReplica implements Replica {
  readonly nodeName = 'n1';
  readonly cluster = TestCluster.formed();
  readonly clock = new ManualClock(this.cluster.atMs);
  readonly waiting: {
    input: CommandInput;
    settle: (outcome: Outcome) => void;
    drop: (error: Error) => void;
  }[] = [];
  readonly #listeners = new Set<(applied: Applied) => void>();

  get state(): ClusterState {
    return this.cluster.state;
  }

  get appliedIndex(): number {
    return this.cluster.index;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  onApplied(listener: (applied: Applied) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  propose(input: CommandInput): Promise<Outcome> {
    return new Promise((settle, drop) => {
      this.waiting.push({ input, settle, drop });
    });
  }

  /** As if another shell's command came through the log. */
  apply(input: CommandInput): Outcome {
    this.cluster.atMs = this.clock.nowMs;
    const { outcome, changes } = this.cluster.run(input);
    const command = { ...input, atMs: this.cluster.atMs };
    const applied = { index: this.cluster.index, term: this.cluster.term, command, outcome, changes };
    for (const listener of this.#listeners) listener(applied);
    return outcome;
  }

  /** The oldest proposal goes through the log. */
  async commit(): Promise<CommandInput | undefined> {
    const proposal = this.waiting.shift();
    if (proposal !== undefined) proposal.settle(this.apply(proposal.input));
    await settled();
    return proposal?.input;
  }

  /** Until nothing is proposed any more. @returns how many were */
  async commitAll(): Promise<number> {
    let count = 0;
    while (this.waiting.length > 0) {
      await this.commit();
      count += 1;
      if (count > 1000) throw new Error('it proposes for ever');
    }
    return count;
  }

  async drop(code: 'too_many' | 'outcome_unknown' = 'too_many'): Promise<CommandInput | undefined> {
    const proposal = this.waiting.shift();
    proposal?.drop(new JarvisError(code, 'dropped'));
    await settled();
    return proposal?.input;
  }

  submit(count: number, cpuMillis = 1000): void {
    const resources = { cpuMillis, memoryBytes: MIB };
    const tasks = Array.from({ length: count }, () => specOf({ resources }));
    this.apply({ type: 'submitTasks', tasks, idempotency: null });
  }

  statuses(): Record<string, number> {
    const found: Record<string, number> = {};
    for (const { status } of this.state.tasks.values()) found[status] = (found[status] ?? 0) + 1;
    return found;
  }

  leadership(): Leadership {
    throw new Error('not used');
  }

  onLeadership(): () => void {
    throw new Error('not used');
  }

  readBarrier(): Promise<void> {
    throw new Error('not used');
  }

  confirmLeadership(): Promise<number> {
    throw new Error('not used');
  }

  read(): Promise<null> {
    throw new Error('not used');
  }

  onAdvanced(): () => void {
    throw new Error('not asked for');
  }

  rowsFrom(): Promise<never> {
    throw new Error('not asked for');
  }

  taskIdsWithPrefix(): Promise<readonly string[]> {
    throw new Error('not used');
  }

  tasksNewestFirst(): ReturnType<Replica['tasksNewestFirst']> {
    throw new Error('not used');
  }

  groupIdsWithPrefix(): Promise<readonly string[]> {
    throw new Error('not used');
  }

  groupsNewestFirst(): ReturnType<Replica['groupsNewestFirst']> {
    throw new Error('not used');
  }
}

/** What a turn of the event loop wakes has been done, and what that proposed is waiting. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await nextTurn();
}
