/** What has been handed to the host already, and so what is new; and which persist requests are under way. */
import { invariant } from '../../lib/assert.ts';
import type { Member } from './member.ts';
import type { HardState, PersistRequest, Ready, SoftState } from './types.ts';

/** A persist request under way: what its completion proves. */
interface HandedOut {
  readonly term: number;
  readonly index: number;
  /** Of the entry at `index`: in the same term another leader's may have replaced it. */
  readonly entryTerm: number;
  readonly snapshotIndex: number;
}

export class ReadyTracker {
  readonly #member: Member;
  #softState: SoftState = { leader: 0, role: 'follower' };
  #hardState: HardState;
  #handedOut: HandedOut[] = [];

  constructor(member: Member, stored: HardState) {
    this.#member = member;
    this.#hardState = stored;
  }

  hasReady(): boolean {
    const { messages, afterDurable, readStates, log, config } = this.#member;
    return (
      messages.length > 0 ||
      afterDurable.length > 0 ||
      readStates.length > 0 ||
      log.hasUnhanded() ||
      log.hasApplicable(config.applyBeforeDurable === true) ||
      this.#changedSoftState() !== null ||
      this.#changedHardState() !== null
    );
  }

  take(): Ready {
    const { log, config, messages, readStates } = this.#member;
    const softState = this.#changedSoftState();
    if (softState !== null) this.#softState = softState;
    const persist = this.#takePersist();
    const committed = log.takeApplicable(config.applyBeforeDurable === true);
    return { softState, readStates: readStates.splice(0), persist, messages: messages.splice(0), committed };
  }

  /** @returns what the oldest such request proves; those before it proved nothing that is not in it */
  complete(done: { term: number; index: number; snapshotIndex: number }): HandedOut {
    const position = this.#handedOut.findIndex(
      ({ term, index, snapshotIndex }) =>
        term === done.term && index === done.index && snapshotIndex === done.snapshotIndex,
    );
    const request = this.#handedOut[position];
    invariant(request !== undefined, 'what is completed was handed out');
    this.#handedOut = this.#handedOut.slice(position + 1);
    return request;
  }

  #takePersist(): PersistRequest | null {
    const { log, term, afterDurable: promises } = this.#member;
    const before = this.#hardState;
    const hardState = this.#changedHardState();
    if (hardState !== null) this.#hardState = hardState;
    const { entries, snapshot } = log.takeUnhanded();
    const afterDurable = promises.splice(0);
    const isNothing = hardState === null && entries.length === 0 && snapshot === null;
    if (isNothing && afterDurable.length === 0) return null;
    const isNewTermOrVote =
      hardState !== null && (hardState.term !== before.term || hardState.vote !== before.vote);
    const mustSync = entries.length > 0 || snapshot !== null || isNewTermOrVote;
    const index = log.durable < log.lastIndex ? log.lastIndex : 0;
    this.#handedOut.push({ term, index, entryTerm: log.lastTerm, snapshotIndex: snapshot?.index ?? 0 });
    return { term, index, hardState, entries, snapshot, mustSync, afterDurable };
  }

  #changedSoftState(): SoftState | null {
    const { leader, role } = this.#member;
    return leader === this.#softState.leader && role === this.#softState.role ? null : { leader, role };
  }

  #changedHardState(): HardState | null {
    const { term, vote, log } = this.#member;
    const before = this.#hardState;
    if (before.term === term && before.vote === vote && before.commit === log.committed) return null;
    return { term, vote, commit: log.committed };
  }
}
