/** Nodes that are cut off, stopped, failed and restarted at random, while proposals and reads go on. */
import { describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { seededRandom, type Random } from '../lib/random.ts';
import type { RaftNode } from './node.ts';
import { MemoryCluster, type MemoryMember } from './testing/memory-cluster.ts';

const STEPS = 150;

interface Proposal {
  readonly text: string;
  result: 'pending' | 'done' | 'refused' | 'unknown';
}

class Run {
  readonly cluster: MemoryCluster;
  readonly proposals: Proposal[] = [];
  /** Reads that came back with less than was acknowledged before they began. */
  readonly staleReads: string[] = [];
  readonly #random: Random;
  #failures = 0;

  constructor(seed: number, size: number) {
    this.#random = seededRandom(seed);
    this.cluster = new MemoryCluster({ size, snapshotBounds: { entries: 8, logBytes: 1_000_000 } });
    this.cluster.start();
  }

  async play(): Promise<void> {
    for (let step = 0; step < STEPS; step += 1) {
      await this.#step();
      for (let ticks = this.#below(12); ticks > 0; ticks -= 1) await this.cluster.pass();
    }
  }

  /** Everything works again: whatever is not decided by then is unknown for good. */
  async settle(): Promise<void> {
    const { cluster } = this;
    cluster.network.heal();
    for (const member of cluster.members) {
      member.log.gate.open();
      member.state.gate.open();
      if (!member.node.isRunning || member.log.hasFailed) await this.#restart(member);
    }
    await cluster.until(() => this.proposals.every(({ result }) => result !== 'pending'));
    await this.#proposeTheLast();
    await cluster.until(() => cluster.members.every(({ state }) => state.texts.at(-1) === 'the last'));
  }

  /** A leader that was just overtaken still takes proposals, and refuses them later: they did not happen. */
  async #proposeTheLast(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.cluster.propose(await this.cluster.leader(), 'the last');
        return;
      } catch (error) {
        const isRefused = error instanceof JarvisError && error.code === 'no_leader';
        if (!isRefused || attempt === 5) throw error;
      }
    }
  }

  async #step(): Promise<void> {
    const { members, network } = this.cluster;
    const member = members[this.#below(members.length)];
    if (member === undefined) return;
    const kind = this.#below(24);
    if (kind < 8) {
      for (const each of members) {
        if (each.node.leadership().isLeader) this.#propose(each, `text ${this.proposals.length}`);
      }
    } else if (kind < 11) this.#read(members);
    else if (kind < 13) network.cut(member.id);
    else if (kind < 15) network.heal();
    else if (kind === 15) member.log.gate.close();
    else if (kind === 16) member.state.gate.close();
    else if (kind === 17) {
      for (const { log, state } of members) {
        log.gate.open();
        state.gate.open();
      }
    } else if (kind === 18) {
      this.#failures += 1;
      member.log.fail(new Error(`failure ${this.#failures}`));
    } else if (kind === 19) await this.#restart(member);
    else await this.#repair();
  }

  /** Most things that break are mended before the next one does. */
  async #repair(): Promise<void> {
    const { members, network } = this.cluster;
    network.heal();
    for (const member of members) {
      member.log.gate.open();
      member.state.gate.open();
      if (!member.node.isRunning) await this.#restart(member);
    }
  }

  async #restart(member: MemoryMember): Promise<void> {
    member.log.gate.open();
    member.state.gate.open();
    await member.node.stop();
    this.cluster.restart(member.id);
  }

  #propose(member: MemoryMember, text: string): void {
    const proposal: Proposal = { text, result: 'pending' };
    this.proposals.push(proposal);
    member.node.propose(Buffer.from(text)).then(
      () => (proposal.result = 'done'),
      (error: unknown) => {
        const isRefused = error instanceof JarvisError && ['no_leader', 'too_many'].includes(error.code);
        proposal.result = isRefused ? 'refused' : 'unknown';
      },
    );
  }

  #read(members: readonly MemoryMember[]): void {
    const done = this.proposals.filter(({ result }) => result === 'done').map(({ text }) => text);
    for (const { node, state, id } of members) {
      if (!node.leadership().isLeader) continue;
      void this.#readFrom(node, () => {
        const missing = done.filter((text) => !state.texts.includes(text));
        if (missing.length > 0) this.staleReads.push(`member ${id} did not have ${missing.join()}`);
      });
    }
  }

  async #readFrom(node: RaftNode, look: () => void): Promise<void> {
    try {
      await node.readIndex(new AbortController().signal);
    } catch (error) {
      if (error instanceof JarvisError) return;
      throw error;
    }
    look();
  }

  texts(result: Proposal['result']): readonly string[] {
    return this.proposals.filter((proposal) => proposal.result === result).map(({ text }) => text);
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }
}

describe('whatever fails', () => {
  it.each([
    [3, 1],
    [3, 2],
    [3, 3],
    [3, 4],
    [3, 5],
    [5, 6],
    [5, 7],
    [5, 8],
    [5, 9],
    [5, 10],
  ])('%i members, seed %i: what was said of a proposal stays true', async (size, seed) => {
    const run = new Run(seed, size);
    await run.play();
    await run.settle();
    const { members } = run.cluster;
    const texts = members[0]?.state.texts ?? [];
    for (const { state } of members) expect(state.texts).toEqual(texts);
    expect(new Set(texts).size).toBe(texts.length);
    expect(run.texts('done').filter((text) => !texts.includes(text))).toEqual([]);
    expect(run.texts('refused').filter((text) => texts.includes(text))).toEqual([]);
    expect(run.staleReads).toEqual([]);
    // Otherwise nothing was tested.
    expect(run.texts('done').length).toBeGreaterThan(5);
    await run.cluster.stop();
  });
});
