/**
 * Which members should vote, decided by the leader from what it sees of them. Pure: the facts in, the next change of
 * membership out, with its reason. One change at a time; whoever carries it out asks again once it is done.
 *
 * - Voters beyond the target are demoted, dead ones first and the leader never.
 * - A voter that is dead for longer than the grace time is replaced by a learner that has caught up: one joint change
 *   promotes the one and demotes the other. Promoting first and demoting later would ask a larger majority of the same
 *   living voters in between, and a second failure would then end the cluster (hashicorp/raft-autopilot#55).
 * - Where voters are missing, learners are promoted.
 * - Voters move to other zones where that spreads them more evenly, once everything has been calm for the grace time.
 * - Learners that cannot come back, that stay dead, or that are more than are kept are removed.
 *
 * No action lowers the failure tolerance of the living voters, except down to that of the target when there are more
 * voters than asked for; and none leaves fewer voters than the target. So a cluster whose voters die one after the other,
 * with nothing to replace them, does not shrink until a few nodes decide alone what the many had agreed upon
 * (hashicorp/consul#5922): it stops, and says so.
 *
 * It does not flap: each action brings (surplus voters, dead voters, missing voters, crowding of zones, members) down
 * in lexicographic order while who lives stays the same, and nothing happens for a death or a life that was shorter
 * than the grace and the stabilization time.
 */
import { quorumMargin } from '../../model/quorum.ts';
import type { VotingMember } from '../../model/quorum.ts';

export interface AutopilotMember extends VotingMember {
  /** Its Raft id. */
  readonly id: number;
  /** Of its node: a node that lost its disk comes back with the same name and another id. */
  readonly name: string;
  /** null: not known. Such members are never moved for the sake of zones. */
  readonly zone: string | null;
  /** Since when it lives, or is dead, as far as this leader knows; on the clock of `nowMs`. */
  readonly sinceMs: number;
  /** Holds the log up to what is committed, or nearly. */
  readonly isCaughtUp: boolean;
  readonly isLeader: boolean;
  /** Never comes back under this id: its node was removed, or lost its disk. Counts as dead, without a grace time. */
  readonly isGone: boolean;
}

export interface AutopilotSettings {
  /** Voters wanted: 3, 5 or 7. */
  readonly targetVoters: number;
  /** Learners kept beside the voters; as many more as voters are missing or dead do no harm. */
  readonly learnersKept: number;
  /** A voter dead for so long is replaced; a learner that lives for so long may take over for the sake of its zone. */
  readonly deadVoterGraceMs: number;
  /** A learner that lives for so long may be promoted. */
  readonly stabilizationMs: number;
  /** A learner dead for so long is removed: its node can then come back only as a new member. */
  readonly deadLearnerKeptMs: number;
}

export const AUTOPILOT_DEFAULTS = {
  deadVoterGraceMs: 5 * 60_000,
  stabilizationMs: 10_000,
  deadLearnerKeptMs: 72 * 3_600_000,
} as const satisfies Partial<AutopilotSettings>;

export interface AutopilotInput extends AutopilotSettings {
  /** Monotonic. */
  readonly nowMs: number;
  /** Proposed and not yet applied, or a joint configuration that is not left yet. */
  readonly isChangeUnderWay: boolean;
  readonly members: readonly AutopilotMember[];
}

interface MembershipChange {
  /** `addVoter` promotes a learner, `addLearner` demotes a voter. */
  readonly type: 'addVoter' | 'addLearner' | 'remove';
  readonly id: number;
}

export interface MembershipAction {
  readonly kind: 'demoteSurplus' | 'replace' | 'promote' | 'spread' | 'removeLearner';
  /** To be made together, as one change; more than one go through a joint configuration. */
  readonly changes: readonly MembershipChange[];
  /** For people: who, and why. */
  readonly reason: string;
}

/** The facts as the rules use them. */
interface View extends AutopilotSettings {
  readonly nowMs: number;
  readonly voters: readonly AutopilotMember[];
  readonly learners: readonly AutopilotMember[];
}

/** Which of two is to be taken first; negative: the first of them. */
type Order = (a: AutopilotMember, b: AutopilotMember) => number;
type Rule = (view: View) => MembershipAction | null;

/** The most urgent first. */
const RULES: readonly Rule[] = [demoteSurplus, replaceDead, promoteMissing, spreadOverZones, removeLearner];

/** The next change, or null where nothing is to be done, can be done, or may be done yet. */
export function decide(input: AutopilotInput): MembershipAction | null {
  const members = judged(input.members);
  if (input.isChangeUnderWay || members.some(({ outgoing }) => outgoing)) return null;
  // A leader without a vote is about to resign, and without a majority nothing is committed, no change either.
  if (!members.some(({ isLeader, incoming }) => isLeader && incoming) || quorumMargin(members) < 0)
    return null;
  const view = viewOf(input, members);
  for (const rule of RULES) {
    const action = rule(view);
    if (action !== null && isSafe(view, action)) return action;
  }
  return null;
}

/**
 * How many learners there should be: those kept, and one for each voter that is missing, or dead beyond the grace time.
 * Nodes without a copy become learners up to this number; learners are removed only beyond a higher one.
 */
export function learnersWanted(input: AutopilotInput): number {
  const view = viewOf(input, judged(input.members));
  const lasting = view.voters.filter((voter) => !isDeadForGood(view, voter)).length;
  return view.learnersKept + Math.max(0, view.targetVoters - lasting);
}

function viewOf(input: AutopilotInput, members: readonly AutopilotMember[]): View {
  const voters = members.filter(({ incoming }) => incoming);
  return { ...input, voters, learners: members.filter(({ incoming }) => !incoming) };
}

/** A dead member whose node lives under another id has been replaced by it, whether or not anybody has said so. */
function judged(members: readonly AutopilotMember[]): readonly AutopilotMember[] {
  const living = new Set(members.filter(({ isAlive, isGone }) => isAlive && !isGone).map(({ name }) => name));
  return members.map((member) => {
    const isGone = member.isGone || (!member.isAlive && living.has(member.name));
    return { ...member, isGone, isAlive: member.isAlive && !isGone };
  });
}

/** No rule is trusted with this: what the voters can survive, and their number, are compared before and after. */
function isSafe({ voters, learners, targetVoters }: View, { changes }: MembershipAction): boolean {
  const typeOf = new Map(changes.map(({ type, id }) => [id, type]));
  const after = [...voters, ...learners].map((member) => {
    const type = typeOf.get(member.id);
    return type === undefined ? member : { ...member, incoming: type === 'addVoter' };
  });
  const votersAfter = after.filter(({ incoming }) => incoming).length;
  const toleranceOfTarget = Math.floor((targetVoters - 1) / 2);
  return (
    quorumMargin(after) >= Math.min(quorumMargin(voters), toleranceOfTarget) &&
    votersAfter >= Math.min(voters.length, targetVoters)
  );
}

function demoteSurplus(view: View): MembershipAction | null {
  const { voters, targetVoters } = view;
  const surplus = voters.length - targetVoters;
  if (surplus <= 0) return null;
  const chosen: AutopilotMember[] = [];
  const staying = new Set(voters);
  for (let count = 0; count < surplus; count += 1) {
    const zones = zonesOf(staying);
    const candidates = [...staying].filter(({ isLeader }) => !isLeader);
    const voter = first(candidates, [deadFirst, lateFirst, crowdedFirst(zones), newestFirst]);
    if (voter === null) break;
    staying.delete(voter);
    chosen.push(voter);
  }
  const reason = `${namesOf(chosen)} demoted: ${voters.length} voters are more than ${targetVoters}`;
  return chosen.length === 0 ? null : { kind: 'demoteSurplus', changes: chosen.map(demotion), reason };
}

function replaceDead(view: View): MembershipAction | null {
  const { voters, nowMs } = view;
  const dead = voters.filter((voter) => isDeadForGood(view, voter) && !voter.isLeader);
  const staying = voters.filter((voter) => !dead.includes(voter));
  const promoted = promotable(view, staying, dead.length);
  const replaced = dead.sort(by([deadFirst, newestFirst])).slice(0, promoted.length);
  if (promoted.length === 0) return null;
  const why = replaced.map(({ name, isGone, sinceMs }) =>
    isGone ? `${name} never comes back` : `${name} is dead for ${Math.floor((nowMs - sinceMs) / 1000)} s`,
  );
  return {
    kind: 'replace',
    changes: [...promoted.map(promotion), ...replaced.map(demotion)],
    reason: `${namesOf(promoted)} promoted in place of ${namesOf(replaced)}: ${why.join(', ')}`,
  };
}

function promoteMissing(view: View): MembershipAction | null {
  const { voters, targetVoters } = view;
  const promoted = promotable(view, voters, targetVoters - voters.length);
  const reason = `${namesOf(promoted)} promoted: ${voters.length} voters are fewer than ${targetVoters}`;
  return promoted.length === 0 ? null : { kind: 'promote', changes: promoted.map(promotion), reason };
}

/** Exchanges one voter for a learner of a zone that has at least two voters fewer, in calm times only. */
function spreadOverZones(view: View): MembershipAction | null {
  const { voters, targetVoters, deadVoterGraceMs } = view;
  const isCalm = voters.every((voter) => voter.isAlive && livesFor(view, voter) >= view.stabilizationMs);
  if (voters.length !== targetVoters || !isCalm) return null;
  const zones = zonesOf(voters);
  const newcomers = candidates(view).filter(
    (learner) => learner.zone !== null && livesFor(view, learner) >= deadVoterGraceMs,
  );
  const newcomer = first(newcomers, [(a, b) => -crowdedFirst(zones)(a, b), oldestFirst]);
  const leavers = voters.filter(({ isLeader, zone }) => !isLeader && zone !== null);
  const leaver = first(leavers, [crowdedFirst(zones), lateFirst, newestFirst]);
  if (newcomer === null || leaver === null) return null;
  const crowd = votersIn(zones, leaver.zone);
  const company = votersIn(zones, newcomer.zone);
  if (crowd - company < 2) return null;
  return {
    kind: 'spread',
    changes: [promotion(newcomer), demotion(leaver)],
    reason:
      `${newcomer.name} promoted in place of ${leaver.name}: zone ${leaver.zone} has ${crowd} voters, ` +
      `zone ${newcomer.zone} has ${company}`,
  };
}

function removeLearner(view: View): MembershipAction | null {
  const { learners, voters, learnersKept, targetVoters, deadLearnerKeptMs } = view;
  const learner = first(
    learners.filter(({ isLeader }) => !isLeader),
    [deadFirst, lateFirst, newestFirst],
  );
  if (learner === null) return null;
  const { id, name, isGone } = learner;
  const removal = (why: string): MembershipAction => ({
    kind: 'removeLearner',
    changes: [{ type: 'remove', id }],
    reason: `${name} removed: ${why}`,
  });
  if (isGone) return removal('it never comes back');
  const deadMs = deadFor(view, learner);
  if (deadMs >= deadLearnerKeptMs) return removal(`a learner, dead for ${Math.floor(deadMs / 1000)} s`);
  // Also for voters that died just now: a learner that may soon be needed stays.
  const useful = learnersKept + Math.max(0, targetVoters - voters.filter(({ isAlive }) => isAlive).length);
  return learners.length > useful ? removal(`${learners.length} learners are more than ${useful}`) : null;
}

/** Up to `count` learners, each of the zone that then has the fewest voters. */
function promotable(
  view: View,
  staying: readonly AutopilotMember[],
  count: number,
): readonly AutopilotMember[] {
  const chosen: AutopilotMember[] = [];
  while (chosen.length < count) {
    const zones = zonesOf([...staying, ...chosen]);
    const left = candidates(view).filter((learner) => !chosen.includes(learner));
    const learner = first(left, [(a, b) => -crowdedFirst(zones)(a, b), oldestFirst]);
    if (learner === null) break;
    chosen.push(learner);
  }
  return chosen;
}

function candidates(view: View): readonly AutopilotMember[] {
  return view.learners.filter(
    (learner) => learner.isAlive && learner.isCaughtUp && livesFor(view, learner) >= view.stabilizationMs,
  );
}

function isDeadForGood(view: View, member: AutopilotMember): boolean {
  return member.isGone || deadFor(view, member) >= view.deadVoterGraceMs;
}

/** Milliseconds; negative while it lives. */
function deadFor({ nowMs }: View, { isAlive, sinceMs }: AutopilotMember): number {
  return isAlive ? -1 : nowMs - sinceMs;
}

/** Milliseconds; negative where it is dead. */
function livesFor({ nowMs }: View, { isAlive, sinceMs }: AutopilotMember): number {
  return isAlive ? nowMs - sinceMs : -1;
}

function promotion({ id }: AutopilotMember): MembershipChange {
  return { type: 'addVoter', id };
}

/** Whoever may come back stays as a learner. */
function demotion({ id, isGone }: AutopilotMember): MembershipChange {
  return { type: isGone ? 'remove' : 'addLearner', id };
}

/** Voters by zone. */
function zonesOf(voters: Iterable<AutopilotMember>): ReadonlyMap<string, number> {
  const zones = new Map<string, number>();
  for (const { zone } of voters) if (zone !== null) zones.set(zone, (zones.get(zone) ?? 0) + 1);
  return zones;
}

/** Where the zone is not known, it might be one that has a voter. */
function votersIn(zones: ReadonlyMap<string, number>, zone: string | null): number {
  return zone === null ? 1 : (zones.get(zone) ?? 0);
}

function crowdedFirst(zones: ReadonlyMap<string, number>): Order {
  return (a, b) => votersIn(zones, b.zone) - votersIn(zones, a.zone);
}

/** Those that never come back, then the dead, the longest dead first of them. */
function deadFirst(a: AutopilotMember, b: AutopilotMember): number {
  if (a.isGone !== b.isGone) return a.isGone ? -1 : 1;
  if (a.isAlive !== b.isAlive) return a.isAlive ? 1 : -1;
  return a.isAlive ? 0 : a.sinceMs - b.sinceMs;
}

function lateFirst(a: AutopilotMember, b: AutopilotMember): number {
  return Number(a.isCaughtUp) - Number(b.isCaughtUp);
}

function newestFirst(a: AutopilotMember, b: AutopilotMember): number {
  return b.id - a.id;
}

function oldestFirst(a: AutopilotMember, b: AutopilotMember): number {
  return a.id - b.id;
}

function by(orders: readonly Order[]): Order {
  return (a, b) => orders.reduce((found, order) => (found === 0 ? order(a, b) : found), 0);
}

function first(members: readonly AutopilotMember[], orders: readonly Order[]): AutopilotMember | null {
  return [...members].sort(by(orders))[0] ?? null;
}

function namesOf(members: readonly AutopilotMember[]): string {
  return members.map(({ name }) => name).join(', ');
}
