/** Deliberate mistakes, put into the nodes' own sources as they load them; each must be caught by one of its judges. */
export interface Plant {
  readonly name: string;
  readonly what: string;
  /** One of them is to find it. */
  readonly judges: readonly string[];
  readonly edits: readonly Edit[];
}

/** `find` occurs once in the file. */
interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** The watchdog is planted too: it otherwise starts without what is meant for the daemon. */
const ALSO_IN_THE_WATCHDOG: Edit = {
  file: 'src/agent/watchdog/launch.ts',
  find: "'NODE_OPTIONS', ",
  replace: '',
};
const APPLY = 'src/scheduler/core/apply';

export const PLANTS: readonly Plant[] = [
  {
    name: 'keys-ignored',
    what: 'a submit that is sent again with its idempotency key makes another task',
    judges: ['keys', 'linearizability', 'runs'],
    edits: [
      {
        file: `${APPLY}/idempotency.ts`,
        find: 'if (idempotency === null) return carryOut();',
        replace: 'if (idempotency !== null) return carryOut();',
      },
    ],
  },
  {
    name: 'stale-reads',
    what: 'every node answers reads at once, from what it has applied itself',
    judges: ['linearizability', 'order', 'acknowledged'],
    edits: [
      {
        file: 'src/operations/leader-route.ts',
        find: 'tries = new Tries(this.#options.clock)): Promise<T> {',
        replace:
          'tries = new Tries(this.#options.clock)): Promise<T> {\n    if (tries !== null) return await this.#options.staleReads.read(context, call);',
      },
      {
        file: 'src/operations/local.ts',
        find: 'if (asItIs === true) return;',
        replace: 'if (!signal.aborted) return;',
      },
    ],
  },
  {
    name: 'acknowledged-alone',
    what: 'a leader acknowledges what only its own disk holds',
    judges: ['acknowledged', 'linearizability', 'agreement', 'order', 'processes', 'run', 'end'],
    edits: [
      {
        file: 'src/raft/core/quorum.ts',
        find: 'matches[Math.floor(voters.length / 2)]',
        replace: 'matches[0]',
      },
    ],
  },
  {
    name: 'offline-at-once',
    what: 'a node that is silent for half a second is taken for gone, and its tasks are started elsewhere',
    judges: ['overlap'],
    edits: [
      {
        file: 'src/agent/leader/node-monitor.ts',
        find: 'if (silentMs >= timeoutMs) {',
        replace: 'if (silentMs >= 500) {',
      },
    ],
  },
  {
    name: 'cancelled-after-all',
    what: 'a cancellation changes a task that is over already',
    judges: ['order', 'outcomes'],
    edits: [
      {
        file: `${APPLY}/cancel-task.ts`,
        find: 'if (isTerminal(task.status)) return refuse',
        replace:
          "if (isTerminal(task.status)) {\n      transaction.putTask({ ...task, status: 'CANCELLED' });\n      return done(result);\n    }\n    if (isTerminal(task.status)) return refuse",
      },
    ],
  },
  {
    name: 'strays-left',
    what: 'what a task has left running is not ended with it',
    judges: ['end', 'processes'],
    edits: [
      ALSO_IN_THE_WATCHDOG,
      {
        file: 'src/agent/watchdog/containment.ts',
        find: 'if (!(await this.#killOnce(contained))) return { outOfMemory: false };',
        replace: 'if (contained !== null) return { outOfMemory: false };',
      },
      {
        file: 'src/agent/watchdog/cgroup-containment.ts',
        find: 'if (removed !== null) return removed;',
        replace: 'return removed ?? { outOfMemory: false };',
      },
    ],
  },
  {
    name: 'status-back',
    what: 'a running task that is cancelled is ASSIGNED once more until it has ended',
    judges: ['order'],
    edits: [
      {
        file: `${APPLY}/cancel-task.ts`,
        find: "cancelRequested: true, statusReason: 'stopping' });",
        replace: "cancelRequested: true, statusReason: 'stopping', status: 'ASSIGNED' });",
      },
    ],
  },
];

/** @returns null where there is none of that name */
export function plantOf(name: string): Plant | null {
  return PLANTS.find((plant) => plant.name === name) ?? null;
}
