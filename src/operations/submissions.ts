/**
 * Submissions on the leader, on their way into the log: those that come in one turn of the event loop share a command,
 * each with its own outcome. What is paid per entry (coding, replication, the stamp of the state) is paid once for all.
 */
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Outcome, Submission } from '../model/commands.ts';
import type { CommandInput, Replica } from '../scheduler/ports.ts';

/** Of a submission in an entry, beside its tasks: its key and its digest. */
const KEY_BYTES = 512;

interface Waiting {
  readonly submission: Submission;
  readonly bytes: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

export class Submissions {
  readonly #replica: Pick<Replica, 'propose'>;
  #gathered: Waiting[] = [];
  /** Without an outcome yet. */
  #open = 0;

  constructor(replica: Pick<Replica, 'propose'>) {
    this.#replica = replica;
  }

  /**
   * Resolves with the submission's own outcome: `{ taskIds }`, or the refusal of apply.
   * @param bytes the size of the tasks, roughly
   * @throws JarvisError too_many; as {@link Replica.propose}
   */
  async accept(submission: Submission, bytes: number): Promise<Outcome> {
    if (this.#open >= limits.pendingProposals)
      throw new JarvisError('too_many', `${limits.pendingProposals} submissions are waiting already`);
    this.#open += 1;
    try {
      return await new Promise((resolve, reject) => {
        this.#gathered.push({ submission, bytes: bytes + KEY_BYTES, resolve, reject });
        if (this.#gathered.length === 1) setImmediate(() => this.#flush());
      });
    } finally {
      this.#open -= 1;
    }
  }

  #flush(): void {
    for (const group of groupsOf(this.#gathered.splice(0))) void this.#propose(group);
  }

  /** Whatever becomes of the entry becomes of all that it holds. */
  async #propose(group: readonly Waiting[]): Promise<void> {
    try {
      const outcomes = outcomesOf(await this.#replica.propose(commandOf(group)), group.length);
      for (const [at, { resolve }] of group.entries()) resolve(outcomes[at] as Outcome);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}

/** In their order; one that is larger than the bounds stands alone. */
function groupsOf(waiting: readonly Waiting[]): readonly (readonly Waiting[])[] {
  const groups: Waiting[][] = [];
  let bytes = 0;
  let tasks = 0;
  for (const one of waiting) {
    bytes += one.bytes;
    tasks += one.submission.tasks.length;
    const last = groups.at(-1);
    if (last !== undefined && bytes <= limits.messageBytes && tasks <= limits.tasksTogether) last.push(one);
    else {
      groups.push([one]);
      bytes = one.bytes;
      tasks = one.submission.tasks.length;
    }
  }
  return groups;
}

function commandOf(group: readonly Waiting[]): CommandInput {
  const [first] = group;
  if (first !== undefined && group.length === 1) return { type: 'submitTasks', ...first.submission };
  return { type: 'submitMany', submissions: group.map(({ submission }) => submission) };
}

function outcomesOf(outcome: Outcome, count: number): readonly Outcome[] {
  if (count === 1 || outcome.type === 'refused') return Array.from({ length: count }, () => outcome);
  // The result of `submitMany`, which apply gives it.
  return (outcome.result as { readonly outcomes: readonly Outcome[] }).outcomes;
}
