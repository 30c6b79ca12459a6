/** Changes the membership throughout: learners come, are promoted, take a voter's place, go; lost nodes are replaced. */
import type { ConfChangeTransition, SingleChange } from '../../src/raft/core/confchange.ts';
import { changeConfiguration, isJoint } from '../../src/raft/core/confchange.ts';
import { allMembers } from '../../src/raft/core/quorum.ts';
import type { ConfState, RaftId } from '../../src/raft/core/types.ts';
import type { Chance } from './chance.ts';
import { decides } from './checks.ts';
import type { Member } from './member.ts';
import { Violation, type Counter } from './trace.ts';
import type { World } from './world.ts';

/** A learner so close behind counts as caught up. */
const CAUGHT_UP_ENTRIES = 20;
const NOTHING = new Uint8Array();

export class Operator {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #pauseMs: number;
  #stopped = false;
  /** Proposed, with what it is called when it is committed. */
  #pending: { readonly term: number; readonly index: number; readonly counter: Counter | null } | null = null;

  constructor(world: World) {
    this.#world = world;
    this.#chance = world.chance.fork();
    this.#pauseMs = this.#chance.pick([400, 1500, 5000]) ?? 1500;
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
  }

  #next(): void {
    this.#world.time.after(this.#chance.between(0, 2 * this.#pauseMs), () => {
      if (this.#stopped) return;
      this.#next();
      this.#act();
    });
  }

  #act(): void {
    this.#settle();
    const { leader, machines } = this.#world;
    // Whoever runs from an older copy of its directory must be told by those who know better, and by nobody else.
    if (leader === undefined || machines.some(({ disk }) => disk.damage === 'olderCopy')) return;
    const { term, commit, applied, confState } = leader.core.status();
    // The shell's rule: not before an entry of its own term is committed.
    if (leader.core.termAt(commit) !== term || applied < commit) return;
    if (isJoint(confState)) {
      if (!confState.autoLeave) this.#propose(leader, 'auto', [], null);
      return;
    }
    if (this.#world.changeInDoubt) return;
    if (this.#replaceLost(leader, confState)) return;
    if (this.#wipeRemoved(confState)) return;
    this.#change(leader, confState);
  }

  /** What was proposed is committed, or something else stands there; else its fate is open. */
  #settle(): void {
    const { checks } = this.#world;
    if (this.#pending !== null && this.#pending.index <= checks.committedIndex) {
      const { index, term, counter } = this.#pending;
      if (checks.committed[index] === term && counter !== null) this.#world.trace.count(counter);
      this.#pending = null;
    }
    const newest = checks.configuration;
    const isPassed = this.#pending === null && !isJoint(newest.confState);
    this.#world.changeInDoubt = !isPassed;
  }

  /** A member whose disk is gone for ever leaves, and a blank node takes its place as a learner. */
  #replaceLost(leader: Member, confState: ConfState): boolean {
    const gone = allMembers(confState).find((id) => this.#world.machineOf(id)?.isHealthy !== true);
    if (gone === undefined) return false;
    const blank = this.#outsider(confState);
    const changes: SingleChange[] = [{ type: 'remove', id: gone }];
    if (blank !== undefined) changes.push({ type: 'addLearner', id: blank });
    return this.#propose(leader, 'auto', changes, 'disk lost and replaced under a new id');
  }

  /** Removed nodes run on for a while, then their machine starts anew, once nobody needs what they hold. */
  #wipeRemoved(confState: ConfState): boolean {
    const { machines, members, checks } = this.#world;
    const remaining = new Set(allMembers(confState));
    const machine = machines.find(
      ({ disk }) => !remaining.has(disk.raftId) && (disk.retired || disk.log.lastIndex > 0),
    );
    if (machine === undefined || !this.#chance.happens(0.3)) return false;
    const { index } = checks.configuration;
    const knows = (id: RaftId): boolean =>
      members.some((member) => member.id === id && member.replica.appliedIndex >= index);
    if (!confState.voters.every(knows)) return false;
    this.#world.time.after(0, async () => {
      await machine.crash(false);
      this.#world.newDisk(machine);
      await machine.start();
    });
    return true;
  }

  #change(leader: Member, confState: ConfState): void {
    const chance = this.#chance;
    const { voters, learners } = confState;
    const { progress, commit } = leader.core.status();
    const caughtUp = progress.find((one) => one.isLearner && one.match + CAUGHT_UP_ENTRIES >= commit)?.id;
    const voter = chance.pick(voters) ?? 0;
    const outsider = this.#outsider(confState);
    const transition = chance.pick<ConfChangeTransition>(['auto', 'auto', 'implicit', 'explicit']) ?? 'auto';
    const removes: Counter = voter === leader.id ? 'leader removed' : 'voter removed';
    if (caughtUp !== undefined && chance.happens(0.6)) {
      const changes: SingleChange[] = [{ type: 'addVoter', id: caughtUp }];
      const isReplacing = voters.length >= 3 && chance.happens(0.6);
      if (isReplacing) changes.push({ type: chance.happens(0.5) ? 'remove' : 'addLearner', id: voter });
      this.#propose(
        leader,
        transition,
        changes,
        isReplacing ? 'voter replaced through a joint configuration' : 'learner promoted',
      );
    } else if (outsider !== undefined && learners.length < 2) {
      this.#propose(leader, transition, [{ type: 'addLearner', id: outsider }], null);
    } else if (voters.length > 3) {
      this.#propose(leader, transition, [{ type: 'remove', id: voter }], removes);
    } else if (learners.length > 0 && chance.happens(0.3)) {
      this.#propose(leader, 'auto', [{ type: 'remove', id: chance.pick(learners) ?? 0 }], null);
    }
  }

  /** A node that runs and has not been a member. */
  #outsider(confState: ConfState): RaftId | undefined {
    const members = new Set(allMembers(confState));
    const { machines } = this.#world;
    return machines.find(
      ({ disk, member, isHealthy }) => isHealthy && member !== null && !members.has(disk.raftId),
    )?.disk.raftId;
  }

  #propose(
    leader: Member,
    transition: ConfChangeTransition,
    changes: readonly SingleChange[],
    counter: Counter | null,
  ): boolean {
    const change = { transition, changes, context: NOTHING };
    const next = changeConfiguration(leader.core.confState, change);
    // Never one that could not decide any more: that is the operator's to see to, not Raft's.
    if (next.type !== 'changed' || !this.#isAlive(next.confState)) return false;
    const { type, term, index } = { term: 0, index: 0, ...leader.core.proposeConfChange(change) };
    if (type === 'accepted' && leader.core.proposeConfChange(change).type === 'accepted')
      throw new Violation(`leader ${leader.id} takes a change of membership while one is pending`);
    leader.input(() => {});
    if (type === 'refused') return false;
    this.#pending = { term, index, counter };
    this.#world.changeInDoubt = true;
    return true;
  }

  #isAlive(confState: ConfState): boolean {
    return decides(confState, (id) => this.#world.isHealthy(id));
  }
}
