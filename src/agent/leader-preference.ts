/**
 * Who should rather not lead: a node that is being drained or takes no work, one in a zone with fewer voters than another
 * zone has, and one whose clock differs from what most nodes say. It waits longer than the others before it stands for
 * election, and a leader hands over to a voter that has nothing against it. Where all have something, one of them leads.
 */
import type { Clock } from '../lib/clock.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { zoneOf, type NodeRow } from '../model/node.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Replica } from '../scheduler/ports.ts';

/** @param voters names of all @returns what stands against that voter's leading, for people; null: nothing */
export function objectionTo(
  name: string,
  nodes: ReadonlyMap<string, Pick<NodeRow, 'status' | 'schedulable' | 'labels'>>,
  voters: readonly string[],
): string | null {
  const node = nodes.get(name);
  if (node === undefined) return null;
  if (node.status === 'DRAINING' || node.status === 'DRAINED') return `it is ${node.status}`;
  if (!node.schedulable) return 'it is cordoned';
  const zone = zoneOf(node);
  if (zone === null) return null;
  const counts = new Map<string, number>();
  for (const voter of voters) {
    const its = zoneOf(nodes.get(voter));
    // Where one is not known the zones cannot be compared.
    if (its === null) return null;
    counts.set(its, (counts.get(its) ?? 0) + 1);
  }
  const own = counts.get(zone) ?? 0;
  return Math.max(...counts.values()) > own ? `zone ${zone} has fewer voters than another` : null;
}

/**
 * How far the clocks of most members are ahead of this one's. Time in the cluster is the leader's stamp, so one that is
 * wrong by a minute would retry, expire and order things wrongly.
 * @param offsets of the others, milliseconds @returns their median with this node's own 0
 */
export function clockOffsetMs(offsets: readonly number[]): number {
  const sorted = [...offsets, 0].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? 0;
  const lower = sorted[Math.ceil(middle) - 1] ?? 0;
  // Of an even number the one nearer to this node's clock: only a majority puts it in the wrong.
  return Math.abs(lower) < Math.abs(upper) ? lower : upper;
}

export interface LeaderPreferenceOptions {
  readonly name: string;
  readonly raft: RaftNode;
  readonly replica: Pick<Replica, 'state'>;
  /** Of others that were heard of lately, against this node's own; empty where none was. */
  readonly clockOffsets: () => readonly number[];
  readonly clock: Clock;
  readonly log: Log;
}

export class LeaderPreference {
  readonly #options: LeaderPreferenceOptions;
  #cancelTimer: () => void = () => {};
  #told: string | null = null;

  constructor(options: LeaderPreferenceOptions) {
    this.#options = options;
  }

  start(): void {
    this.#cancelTimer = this.#options.clock.after(limits.preferenceIntervalMs, () => {
      this.#look();
      this.start();
    });
  }

  close(): void {
    this.#cancelTimer();
  }

  #look(): void {
    const { raft, log } = this.#options;
    if (!raft.isRunning) return;
    const { peers, confState } = raft.membership;
    const voters = peers.filter(({ raftId }) => confState.voters.includes(raftId));
    const names = voters.map((voter) => voter.name);
    const objection = this.#ownObjection(names);
    raft.setDeferred(objection !== null);
    if (objection !== this.#told && objection !== null)
      log.info({ reason: objection }, 'this node leads only where nobody else can');
    this.#told = objection;
    if (objection === null || raft.status().role !== 'leader') return;
    const { nodes } = this.#options.replica.state;
    const heir = raft.heir(
      (candidate) =>
        raft.isCaughtUp(candidate) &&
        voters.some((voter) => voter.raftId === candidate && objectionTo(voter.name, nodes, names) === null),
    );
    if (heir === null) return;
    log.warn(
      { reason: objection, to: peers.find(({ raftId }) => raftId === heir)?.name },
      'another is to lead',
    );
    raft.transferLeadership(heir);
  }

  #ownObjection(voters: readonly string[]): string | null {
    const { name, replica, clockOffsets } = this.#options;
    const offsetMs = clockOffsetMs(clockOffsets());
    if (Math.abs(offsetMs) > limits.clockOffsetMs)
      return `its clock differs by ${Math.round(offsetMs / 1000)} s from those of most nodes`;
    return objectionTo(name, replica.state.nodes, voters);
  }
}
