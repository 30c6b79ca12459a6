/**
 * What a leader does for batches and DAGs beside placing their tasks: proposes the next slice of whatever is left to do
 * of one, one proposal at a time. A new leader finds in the state where its predecessor stood.
 */
import type { Outcome } from '../model/commands.ts';
import type { GroupRef } from '../model/group.ts';
import type { CommandResults } from './core/apply/results.ts';
import { idsFrom } from './core/groups/rows.ts';
import type { CommandInput, StateView } from './ports.ts';

interface GroupWorkOptions {
  readonly state: () => StateView;
  readonly term: number;
  /** Never throws; null where the proposal was dropped. */
  readonly propose: (command: CommandInput) => Promise<Outcome | null>;
  /** It came to nothing: to be called again after a pause. */
  readonly pause: () => void;
  readonly wake: () => void;
}

export class GroupWork {
  readonly #options: GroupWorkOptions;
  #isUnderWay = false;

  constructor(options: GroupWorkOptions) {
    this.#options = options;
  }

  step(): void {
    if (this.#isUnderWay) return;
    const state = this.#options.state();
    const next = state.nextWorkingGroup();
    if (next === null) return;
    const command = advance(state, next, this.#options.term);
    if (command === null) return;
    this.#isUnderWay = true;
    void this.#carryOut(command);
  }

  async #carryOut(command: CommandInput): Promise<void> {
    const outcome = await this.#options.propose(command);
    this.#isUnderWay = false;
    // Null has paused already; a refusal is one of an earlier term.
    if (outcome?.type === 'done' && !(outcome.result as CommandResults['advanceGroup']).advanced)
      this.#options.pause();
    this.#options.wake();
  }
}

function advance(state: StateView, { table, id }: GroupRef, term: number): CommandInput | null {
  const group = state.batches.get(id) ?? state.dags.get(id);
  if (group === undefined) return null;
  const at = group.sweep?.next ?? group.made;
  const taskIds = group.sweep?.type === 'retry' ? idsFrom(group, at) : [];
  return { type: 'advanceGroup', term, table, id, at, taskIds };
}
