/** Snapshots of one process: taken after so many entries, sent to followers that need them, as the shell does. */
import { compactionPoint } from '../../src/raft/applier.ts';
import type { Message, SnapshotMeta } from '../../src/raft/core/types.ts';
import type { Member } from './member.ts';
import type { Image } from './replica.ts';

const SENDS_AT_ONCE = 2;
const STALL_MS = 1500;

export class SnapshotWork {
  readonly #member: Member;
  #newestIndex: number;
  readonly #sending = new Set<number>();
  isTaking = false;

  constructor(member: Member) {
    this.#member = member;
    this.#newestIndex = member.core.status().firstIndex - 1;
  }

  consider(): void {
    const member = this.#member;
    const { replica, core, world } = member;
    if (this.isTaking || replica.appliedIndex - this.#newestIndex < world.snapshotEntries) return;
    this.#newestIndex = replica.appliedIndex;
    const term = core.termAt(replica.appliedIndex);
    // A received one is about to replace everything.
    if (term === null) return;
    this.isTaking = true;
    const meta: SnapshotMeta = { index: replica.appliedIndex, term, confState: member.confState };
    const image = replica.image();
    // Half-written files do not count: until it is complete there is none.
    member.later(world.chance.between(1, 300), () => this.#taken(meta, image));
  }

  async #taken(meta: SnapshotMeta, image: Image): Promise<void> {
    const { disk, log, core, world, machine } = this.#member;
    if (!(await machine.io(() => disk.takeSnapshot(meta, image)))) return;
    world.trace.count('snapshot taken');
    const { base, keep } = compactionPoint(disk.snapshots, meta.index);
    if (base === null) {
      this.#finish();
      return;
    }
    log.post({
      type: 'compact',
      meta: base,
      done: async () => {
        this.#member.input(() => core.compact(base));
        world.trace.count('log compacted');
        if (await machine.io(() => disk.keepNewestSnapshots(keep))) this.#finish();
      },
    });
  }

  #finish(): void {
    this.isTaking = false;
    this.#member.pumpApply();
  }

  /** Carries out a `snap` message; the core hears how it ended. */
  send(message: Message): void {
    const member = this.#member;
    const { to } = message;
    if (this.#sending.has(to)) return;
    const wanted = message.snapshot?.index ?? 0;
    const file = member.disk.snapshots.findLast(({ meta }) => meta.index >= wanted);
    if (file === undefined || this.#sending.size >= SENDS_AT_ONCE) {
      member.later(0, () => this.#sent(to, false));
      return;
    }
    this.#sending.add(to);
    const { world } = member;
    // It stays open: that it is deleted meanwhile does not matter.
    const bytes = Buffer.from(member.disk.files.bytes(file.path));
    world.trace.count('snapshot sent');
    const giveUp = member.later(STALL_MS, () => this.#ended(to, false));
    const tookMs = world.chance.between(1, 400);
    // The rows arrive first, the message with the last of them.
    member.later(tookMs, () => {
      world.sendSnapshot(member, { ...message, snapshot: file.meta }, bytes, () => {
        giveUp();
        member.later(1, () => this.#ended(to, true));
      });
    });
  }

  #ended(to: number, ok: boolean): void {
    if (!this.#sending.delete(to)) return;
    if (!ok) this.#member.world.trace.count('snapshot transfer failed');
    this.#sent(to, ok);
  }

  #sent(to: number, ok: boolean): void {
    this.#member.input(() => this.#member.core.reportSnapshot(to, ok));
  }
}
