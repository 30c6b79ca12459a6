/**
 * Whether to believe that this node was removed. One peer alone may be wrong: it may have forgotten who is a member, and
 * would otherwise end healthy nodes one after the other. A leader knows, and so does a majority of the others.
 */
import type { RaftId } from '../core/types.ts';

export class RemovalWord {
  readonly #saidBy = new Set<RaftId>();

  /** A peer refuses this node as removed. @param others all other members that this node knows */
  isBelieved(from: RaftId, leads: boolean, others: readonly RaftId[]): boolean {
    this.#saidBy.add(from);
    if (leads) return true;
    const count = others.filter((id) => this.#saidBy.has(id)).length;
    return count > others.length / 2;
  }

  /** The peer takes this node for a member. */
  takenBack(from: RaftId): void {
    this.#saidBy.delete(from);
  }
}
