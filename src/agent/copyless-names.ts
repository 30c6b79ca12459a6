/** The names of the nodes without a copy, made anew only where something of them has changed: there may be thousands. */
import { copylessNodes } from '../model/copyless-node.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Replica } from '../scheduler/ports.ts';

interface CopylessNamesOptions {
  readonly raft: Pick<RaftNode, 'membership' | 'onMembership'>;
  readonly replica: Pick<Replica, 'state' | 'onApplied' | 'onAdvanced'>;
}

export class CopylessNames {
  readonly #options: CopylessNamesOptions;
  readonly #listeners = new Set<() => void>();
  readonly #stops: readonly (() => void)[];
  #state: unknown;
  /** Null: to be made anew. */
  #names: readonly string[] | null = null;

  constructor(options: CopylessNamesOptions) {
    const { raft, replica } = options;
    this.#options = options;
    this.#state = replica.state;
    this.#stops = [
      // A row of one that is a member now does not count.
      raft.onMembership(() => this.#changed()),
      replica.onApplied(({ changes }) => {
        if (changes.some(({ table }) => table === 'copylessNode')) this.#changed();
      }),
      // A snapshot puts another state in its place.
      replica.onAdvanced(() => {
        if (replica.state === this.#state) return;
        this.#state = replica.state;
        this.#changed();
      }),
    ];
  }

  /** Sorted; the same object as long as nothing has changed. */
  get all(): readonly string[] {
    const { raft, replica } = this.#options;
    this.#names ??= copylessNodes(replica.state, raft.membership.peers).map(({ name }) => name);
    return this.#names;
  }

  /** They may be others now. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  #changed(): void {
    this.#names = null;
    for (const listener of this.#listeners) listener();
  }
}
