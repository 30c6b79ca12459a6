/**
 * What a change of the membership becomes in the log (Raft dissertation, chapter 4), and when it must not be made. Pure.
 * The core keeps changes safe; this keeps them sensible: none after which too few voters live to decide anything.
 */
import { unreachable } from '../lib/assert.ts';
import { JarvisError } from '../lib/errors.ts';
import { changeConfiguration, isJoint, type ConfChange, type SingleChange } from './core/confchange.ts';
import { jointVote } from './core/quorum.ts';
import type { RaftId } from './core/types.ts';
import { encodePeers, joinedIdAt, type Membership } from './membership.ts';
import type { Peer } from './ports.ts';

/** A node that wants to be a member. */
type Newcomer = Omit<Peer, 'raftId'>;

/**
 * As a learner. One that comes with the name of a member that does not answer, and another incarnation, has lost its
 * disk: the old id leaves in the same change. A member that comes again with another address has moved.
 */
interface AddChange {
  readonly type: 'add';
  readonly node: Newcomer;
  /** How many learners there may be with it; one that takes the place of a lost disk is let in all the same. */
  readonly learnersAllowed: number;
  /** It says that it holds no log at all: it never goes on under an id that has had one. Default: false. */
  readonly hasNoLog?: boolean;
}

export type MembershipChange =
  | AddChange
  | { readonly type: 'promote' | 'demote' | 'remove'; readonly id: RaftId }
  /** Several at once, through a joint configuration. */
  | { readonly type: 'together'; readonly changes: readonly SingleChange[] };

/** The leader's view of the members. */
export interface MembershipView {
  readonly membership: Membership;
  /** Of the entry that the change becomes. */
  readonly index: number;
  /** Answers at present. */
  isActive(id: RaftId): boolean;
  /** Has answered this leader at some time. */
  wasHeard(id: RaftId): boolean;
  /** Holds, or nearly, what is committed (dissertation 4.2.1). */
  isCaughtUp(id: RaftId): boolean;
}

/**
 * @returns null where everything is as the change wants it
 * @throws JarvisError not_found, conflict
 */
export function planChange(change: MembershipChange, view: MembershipView): ConfChange | null {
  const { confState } = view.membership;
  if (isJoint(confState)) throw new JarvisError('conflict', 'another change of the membership is under way');
  const planned = plan(change, view);
  if (planned === null) return null;
  const next = changeConfiguration(confState, planned);
  if (next.type === 'refused')
    throw new JarvisError('conflict', `the membership cannot change so: ${next.reason}`);
  checkQuorum(planned, view);
  return planned;
}

function plan(change: MembershipChange, view: MembershipView): ConfChange | null {
  switch (change.type) {
    case 'add':
      return planNewcomer(change, view);
    case 'promote':
      checkMember(change.id, view);
      if (view.membership.confState.voters.includes(change.id)) return null;
      checkCaughtUp(change.id, view);
      return asChange([{ type: 'addVoter', id: change.id }]);
    case 'demote':
      checkMember(change.id, view);
      if (view.membership.confState.learners.includes(change.id)) return null;
      return asChange([{ type: 'addLearner', id: change.id }]);
    case 'remove':
      checkMember(change.id, view);
      return asChange([{ type: 'remove', id: change.id }]);
    case 'together':
      for (const { type, id } of change.changes) {
        checkMember(id, view);
        if (type === 'addVoter') checkCaughtUp(id, view);
      }
      return asChange(change.changes);
    default:
      return unreachable(change);
  }
}

function planNewcomer(
  { node, learnersAllowed, hasNoLog = false }: AddChange,
  view: MembershipView,
): ConfChange | null {
  const { peers, confState } = view.membership;
  const known = peers.find(({ incarnation }) => incarnation === node.incarnation);
  const neighbour = peers.find(({ address, name }) => address === node.address && name !== node.name);
  if (neighbour !== undefined)
    throw new JarvisError('conflict', `${node.address} is the address of member ${neighbour.name}`);
  if (known !== undefined) {
    if (known.name !== node.name)
      throw new JarvisError('conflict', `this data directory is member ${known.name}, not ${node.name}`);
    if (hasNoLog && hasTakenPart(known.raftId, view)) return planAnew(known, node, view);
    if (known.address === node.address) return null;
    const moved = { ...known, address: node.address };
    return asChange([{ type: 'update', id: known.raftId }], [moved]);
  }
  const raftId = joinedIdAt(view.index);
  const additions: readonly SingleChange[] = [{ type: 'addLearner', id: raftId }];
  const former = peers.find(({ name }) => name === node.name);
  if (former === undefined) {
    // Let in, it would be removed again, and its data directory with it.
    const { length } = confState.learners;
    if (length >= learnersAllowed)
      throw new JarvisError(
        'conflict',
        `${length} of at most ${learnersAllowed} learners are there (membership.learners): remove one first`,
      );
    return asChange(additions, [{ raftId, ...node }]);
  }
  if (view.isActive(former.raftId))
    throw new JarvisError(
      'conflict',
      `a member named ${node.name} is there and answers (${former.address}): give this node another name`,
    );
  return asChange([{ type: 'remove', id: former.raftId }, ...additions], [{ raftId, ...node }]);
}

/** Its log may count for something. One that was added and has never begun may be told its id again. */
function hasTakenPart(id: RaftId, view: MembershipView): boolean {
  const { voters, votersOutgoing } = view.membership.confState;
  return voters.includes(id) || votersOutgoing.includes(id) || view.wasHeard(id);
}

/**
 * Its data directory is an older one or a copy, from before it became that member: without the log it would have forgotten votes
 * and acknowledgements.
 */
function planAnew(known: Peer, node: Newcomer, view: MembershipView): ConfChange {
  if (view.isActive(known.raftId))
    throw new JarvisError(
      'conflict',
      `member ${known.name} has this data directory, and answers (${known.address}): this one is a copy of it, or an older state`,
    );
  const raftId = joinedIdAt(view.index);
  const changes: readonly SingleChange[] = [
    { type: 'remove', id: known.raftId },
    { type: 'addLearner', id: raftId },
  ];
  return asChange(changes, [{ raftId, ...node }]);
}

function asChange(changes: readonly SingleChange[], peers: readonly Peer[] = []): ConfChange {
  return { transition: 'auto', changes, context: peers.length === 0 ? new Uint8Array() : encodePeers(peers) };
}

function checkMember(id: RaftId, { membership }: MembershipView): void {
  if (membership.peers.some(({ raftId }) => raftId === id)) return;
  throw new JarvisError('not_found', `there is no member ${id}`);
}

function checkCaughtUp(id: RaftId, view: MembershipView): void {
  if (view.isCaughtUp(id)) return;
  throw new JarvisError(
    'conflict',
    `${nameOf(id, view)} has not caught up with the log: as a voter it would hold up what is written`,
  );
}

/** Of the voters after it, enough must answer now: a change that ends the cluster is nobody's wish. */
function checkQuorum(planned: ConfChange, view: MembershipView): void {
  const changed = changeConfiguration(view.membership.confState, planned);
  if (changed.type === 'refused') return;
  const { voters } = changed.confState;
  // Who is new to the log has to be waited for in any case.
  const living = jointVote({ voters, votersOutgoing: [] }, (id) => view.isActive(id));
  if (living === 'won') return;
  const names = voters.map((id) => `${nameOf(id, view)}${view.isActive(id) ? '' : ' (does not answer)'}`);
  throw new JarvisError('conflict', `too few of the voters would be left that answer: ${names.join(', ')}`);
}

function nameOf(id: RaftId, { membership }: MembershipView): string {
  return membership.peers.find(({ raftId }) => raftId === id)?.name ?? `member ${id}`;
}
