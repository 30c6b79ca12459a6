import { describe, expect, it } from 'vitest';

import type { Clock } from '../lib/clock.ts';
import type { Leadership } from '../scheduler/ports.ts';
import { FreshnessWatch } from './freshness.ts';
import type { ClusterInsight, MemberInsight, NodeFacts } from './insight.ts';

/** A node named n1 among three, as its Raft node and its replica show it. */
class Node {
  nowMs = 0;
  appliedIndex = 5;
  commitIndex = 5;
  role: NodeFacts['role'] = 'follower';
  /** Since each was heard of; null: never. */
  contacts: (number | null)[] = [0, 20, 70];
  leader: string | null = 'n2';
  readonly #advanced: (() => void)[] = [];
  readonly #led: ((leadership: Leadership) => void)[] = [];
  readonly watch: FreshnessWatch;

  constructor() {
    const clock: Pick<Clock, 'monotonicMs'> = { monotonicMs: () => this.nowMs };
    const appliedIndex = (): number => this.appliedIndex;
    this.watch = new FreshnessWatch({
      clock: clock as Clock,
      replica: {
        get appliedIndex() {
          return appliedIndex();
        },
        leadership: () => this.#leadership(),
        onAdvanced: (listener) => {
          this.#advanced.push(listener);
          return () => undefined;
        },
        onLeadership: (listener) => {
          this.#led.push(listener);
          return () => undefined;
        },
      },
      insight: {
        commitIndex: () => this.commitIndex,
        node: () =>
          ({
            role: this.role,
            raftId: 1,
            leader: Number(this.leader?.slice(1) ?? 0),
            appliedIndex: this.appliedIndex,
            commitIndex: this.commitIndex,
          }) as NodeFacts,
        members: () =>
          this.contacts.map(
            (lastContactMs, at) =>
              ({ name: `n${at + 1}`, raftId: at + 1, role: 'voter', lastContactMs }) as MemberInsight,
          ),
      } as Partial<ClusterInsight> as ClusterInsight,
    });
  }

  #leadership(): Leadership {
    const leader = this.leader === null ? null : { name: this.leader, address: '' };
    return { isLeader: this.role === 'leader', term: 1, leader };
  }

  lead(name: string | null): void {
    this.leader = name;
    for (const listener of this.#led) listener(this.#leadership());
  }

  apply(index: number): void {
    this.appliedIndex = index;
    for (const listener of this.#advanced) listener();
  }
}

describe('the age of the state', () => {
  it('of a follower is the time since it heard of its leader', () => {
    const node = new Node();
    expect(node.watch.now()).toEqual({ index: 5, ageMs: 20 });
  });

  it('of a leader is the time since a majority spoke to it', () => {
    const node = new Node();
    node.role = 'leader';
    node.leader = 'n1';
    expect(node.watch.now()).toEqual({ index: 5, ageMs: 20 });
    node.contacts = [0, null, null];
    expect(node.watch.now()).toEqual({ index: 5, ageMs: null });
  });

  it('grows while entries that are committed are not applied', () => {
    const node = new Node();
    node.nowMs = 1000;
    node.apply(5);
    node.commitIndex = 9;
    node.nowMs = 4000;
    node.apply(7);
    expect(node.watch.now()).toEqual({ index: 7, ageMs: 3000 });
    node.apply(9);
    expect(node.watch.now()).toEqual({ index: 9, ageMs: 20 });
  });

  it('goes on growing where the leader is lost', () => {
    const node = new Node();
    node.nowMs = 1000;
    node.contacts = [0, 300, 70];
    node.lead(null);
    node.nowMs = 1500;
    // Whoever else speaks, and the one that led until then, says nothing of what is committed.
    node.contacts = [0, 5, 5];
    expect(node.watch.now()).toEqual({ index: 5, ageMs: 800 });
    node.lead('n3');
    expect(node.watch.now()).toEqual({ index: 5, ageMs: 5 });
  });

  it('is not known where no leader was ever heard of', () => {
    const node = new Node();
    node.lead(null);
    node.contacts = [0, null, null];
    const other = new Node();
    other.contacts = [0, null, null];
    other.lead(null);
    expect(other.watch.now()).toEqual({ index: 5, ageMs: null });
  });
});
