/**
 * What happens to nodes, for people who must know: lines in the leader's log, each with its `event`, by the names that
 * docs/contract.md lists in section 5; `node` is the one that writes the log. They follow what is applied, so that each is told once, by whoever leads then.
 */
import type { Log } from '../../lib/log.ts';
import { formatTime } from '../../lib/times.ts';
import { drainOf } from '../../model/earlier-rows.ts';
import type { NodeRow } from '../../model/node.ts';
import type { RowChange } from '../../model/rows.ts';
import type { Applied, Replica } from '../../scheduler/ports.ts';

type NodeChange = Extract<RowChange, { table: 'node' }>;

export class NodeEvents {
  readonly #replica: Pick<Replica, 'onApplied'>;
  readonly #log: Log;
  #unsubscribe: () => void = () => {};

  constructor(options: { readonly replica: Pick<Replica, 'onApplied'>; readonly log: Log }) {
    this.#replica = options.replica;
    this.#log = options.log;
  }

  start(): void {
    this.stop();
    this.#unsubscribe = this.#replica.onApplied((applied) => {
      for (const change of applied.changes) if (change.table === 'node') this.#tell(applied, change);
    });
  }

  stop(): void {
    this.#unsubscribe();
    this.#unsubscribe = () => {};
  }

  #tell({ command, changes }: Applied, { key: worker, before, after }: NodeChange): void {
    if (before === null) return;
    if (after !== null && before.schedulable !== after.schedulable) this.#tellCordon(worker, after);
    if (before.status === after?.status) return;
    if (after === null) {
      const { principal, dead } = command.type === 'removeNode' ? command : { principal: '', dead: false };
      const removed = { event: 'node.removed', worker, principal, dead, ...tasksOf(changes) };
      return this.#log.warn(
        removed,
        dead ? 'a node was removed: it was vouched for its end' : 'a node was removed',
      );
    }
    const { session, status } = after;
    if (status === 'UNHEALTHY')
      this.#log.warn({ event: 'node.unhealthy', worker, session }, 'a node is silent and gets no new work');
    else if (status === 'OFFLINE')
      this.#log.warn(
        { event: 'node.offline', worker, session, ...tasksOf(changes) },
        'a node is taken for gone',
      );
    else if (status === 'DRAINING')
      this.#log.info({ event: 'node.draining', worker, session, ...deadlineOf(after) }, 'a node is drained');
    else if (status === 'DRAINED')
      this.#log.info({ event: 'node.drained', worker, session }, 'nothing is left on a node');
    else if (status === 'AVAILABLE')
      this.#log.info({ event: 'node.available', worker, session }, 'a node is available');
  }

  #tellCordon(worker: string, { schedulable }: NodeRow): void {
    if (schedulable) this.#log.info({ event: 'node.uncordoned', worker }, 'a node takes work again');
    else this.#log.info({ event: 'node.cordoned', worker }, 'a node takes no new work');
  }
}

function deadlineOf(node: NodeRow): { readonly deadline: string; readonly onExit: boolean } {
  const drain = drainOf(node);
  return { deadline: formatTime(drain?.deadlineMs ?? 0), onExit: drain !== null && drain.startId !== null };
}

/** What the same entry has made of the node's tasks. */
function tasksOf(changes: readonly RowChange[]): {
  readonly rescheduled: number;
  readonly waiting: number;
  readonly ended: number;
} {
  const counts = { rescheduled: 0, waiting: 0, ended: 0 };
  for (const change of changes) {
    if (change.table !== 'task' || change.after === null) continue;
    const { status } = change.after;
    if (status === 'PENDING') counts.rescheduled += 1;
    else if (status === 'RUNNING' || status === 'ASSIGNED') counts.waiting += 1;
    else counts.ended += 1;
  }
  return counts;
}
