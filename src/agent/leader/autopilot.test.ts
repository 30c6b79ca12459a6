import { describe, expect, it } from 'vitest';

import { AUTOPILOT_DEFAULTS, decide, learnersWanted } from './autopilot.ts';
import type { AutopilotInput, AutopilotMember, MembershipAction } from './autopilot.ts';

const NOW_MS = 1_000_000_000;
const GRACE_MS = AUTOPILOT_DEFAULTS.deadVoterGraceMs;
const STABLE_MS = AUTOPILOT_DEFAULTS.stabilizationMs;

/** Alive for an hour, caught up, in no known zone; what is given instead. */
function member(
  id: number,
  role: 'voter' | 'learner',
  given: Partial<AutopilotMember> = {},
): AutopilotMember {
  return {
    id,
    name: `n${id}`,
    zone: null,
    incoming: role === 'voter',
    outgoing: false,
    isAlive: true,
    sinceMs: NOW_MS - 3_600_000,
    isCaughtUp: true,
    isLeader: id === 1,
    isGone: false,
    ...given,
  };
}

/** Voters n1 (who leads), n2, … */
function voters(count: number, given: Partial<AutopilotMember> = {}): AutopilotMember[] {
  return Array.from({ length: count }, (_, at) => member(at + 1, 'voter', given));
}

function deadFor(ms: number): Partial<AutopilotMember> {
  return { isAlive: false, isCaughtUp: false, sinceMs: NOW_MS - ms };
}

function input(members: readonly AutopilotMember[], given: Partial<AutopilotInput> = {}): AutopilotInput {
  return {
    ...AUTOPILOT_DEFAULTS,
    targetVoters: 3,
    learnersKept: 20,
    nowMs: NOW_MS,
    isChangeUnderWay: false,
    members,
    ...given,
  };
}

/** `+4` promotes, `-2` demotes, `x2` removes. */
function brief(action: MembershipAction | null): string {
  const signs = { addVoter: '+', addLearner: '-', remove: 'x' };
  const changes = action?.changes.map(({ type, id }) => `${signs[type]}${id}`).join(' ');
  return action === null ? 'nothing' : `${action.kind} ${changes}`;
}

function decided(members: readonly AutopilotMember[], given: Partial<AutopilotInput> = {}): string {
  return brief(decide(input(members, given)));
}

/** Voters n1, n2 and n3, of which n3 is dead for so long, and the learner n4. */
function dying(ms: number, given: Partial<AutopilotMember> = {}): AutopilotMember[] {
  return [...voters(2), member(3, 'voter', { ...deadFor(ms), ...given }), member(4, 'learner')];
}

/** Two voters in zone a, one in b; and a learner. */
function crowded(zone: string | null, given: Partial<AutopilotMember> = {}): AutopilotMember[] {
  return [
    member(1, 'voter', { zone: 'a' }),
    member(2, 'voter', { zone: 'a' }),
    member(3, 'voter', { zone: 'b' }),
    member(4, 'learner', { zone, ...given }),
  ];
}

describe('the autopilot leaves alone', () => {
  it('what is as it should be', () => {
    expect(decided([...voters(3), member(4, 'learner')])).toBe('nothing');
  });

  it('everything while a change is under way, or a joint configuration is not left', () => {
    const missing = [...voters(2), member(3, 'learner')];
    expect(decided(missing)).toBe('promote +3');
    expect(decided(missing, { isChangeUnderWay: true })).toBe('nothing');
    expect(decided([...voters(2, { outgoing: true }), member(3, 'learner')])).toBe('nothing');
  });

  it('everything where no majority lives, and where the leader does not vote', () => {
    const dead = deadFor(GRACE_MS);
    const lost = [
      member(1, 'voter'),
      member(2, 'voter', dead),
      member(3, 'voter', dead),
      member(4, 'learner'),
    ];
    expect(decided(lost)).toBe('nothing');
    expect(decided([...voters(2, { isLeader: false }), member(3, 'learner')])).toBe('nothing');
    expect(decided([...voters(2, { isLeader: false }), member(3, 'learner', { isLeader: true })])).toBe(
      'nothing',
    );
  });

  it('a dead voter without a replacement: the cluster does not shrink by itself', () => {
    const fewer = [...voters(4), member(5, 'voter', deadFor(GRACE_MS * 100))];
    expect(decided(fewer, { targetVoters: 5 })).toBe('nothing');
  });
});

describe('a dead voter', () => {
  it('is replaced by a learner in one change once the grace time is over', () => {
    expect(decided(dying(GRACE_MS - 1))).toBe('nothing');
    expect(decided(dying(GRACE_MS))).toBe('replace +4 -3');
    expect(decide(input(dying(GRACE_MS)))?.reason).toBe('n4 promoted in place of n3: n3 is dead for 300 s');
  });

  it('that never comes back is removed, at once', () => {
    expect(decided(dying(0, { isGone: true }))).toBe('replace +4 x3');
    expect(decide(input(dying(0, { isGone: true })))?.reason).toBe(
      'n4 promoted in place of n3: n3 never comes back',
    );
  });

  it('whose node lives under another id never comes back', () => {
    const lostDisk = [...voters(2), member(3, 'voter', deadFor(1)), member(4, 'learner', { name: 'n3' })];
    expect(decided(lostDisk)).toBe('replace +4 x3');
  });

  it('waits for a learner that lives, has caught up, and has done so for a while', () => {
    const unfit = [deadFor(1), { isCaughtUp: false }, { isGone: true }, { sinceMs: NOW_MS - STABLE_MS + 1 }];
    for (const given of unfit) {
      const members = [...dying(GRACE_MS).slice(0, 3), member(4, 'learner', given)];
      expect(decide(input(members))?.kind).not.toBe('replace');
    }
    const fit = [...dying(GRACE_MS).slice(0, 3), member(4, 'learner', { sinceMs: NOW_MS - STABLE_MS })];
    expect(decided(fit)).toBe('replace +4 -3');
  });

  it('is replaced together with others, and from the zone with the fewest voters', () => {
    const members = [
      member(1, 'voter', { zone: 'a' }),
      member(2, 'voter', { zone: 'b' }),
      member(3, 'voter', { zone: 'b' }),
      member(4, 'voter', { zone: 'c', ...deadFor(GRACE_MS) }),
      member(5, 'voter', { zone: 'c', ...deadFor(GRACE_MS + 1) }),
      member(6, 'learner', { zone: 'b' }),
      member(7, 'learner', { zone: 'a' }),
      member(8, 'learner', { zone: 'c' }),
    ];
    expect(decided(members, { targetVoters: 5 })).toBe('replace +8 +7 -5 -4');
    // With one replacement only, the one that is dead for longer makes room.
    expect(decided(members.slice(0, 6), { targetVoters: 5 })).toBe('replace +6 -5');
  });

  it('is replaced before missing voters are added', () => {
    const members = [...dying(GRACE_MS), member(5, 'learner')];
    expect(decided(members, { targetVoters: 5 })).toBe('replace +4 -3');
  });
});

describe('the number of voters', () => {
  it('rises to the target, as far as learners are fit', () => {
    const learners = [4, 5, 6].map((id) => member(id, 'learner'));
    expect(decided([...voters(3), ...learners], { targetVoters: 5 })).toBe('promote +4 +5');
    expect(decided([...voters(3), ...learners.slice(0, 1)], { targetVoters: 5 })).toBe('promote +4');
    expect(decided([...voters(1), ...learners])).toBe('promote +4 +5');
  });

  it('rises from zones without a voter first', () => {
    const members = [
      member(1, 'voter', { zone: 'a' }),
      member(2, 'voter', { zone: 'b' }),
      member(3, 'learner', { zone: 'b' }),
      member(4, 'learner'),
      member(5, 'learner', { zone: 'c' }),
    ];
    expect(decided(members)).toBe('promote +5');
    expect(decided(members, { targetVoters: 4 })).toBe('promote +5 +3');
  });

  it('falls to the target: the dead go first, then the late, then from crowded zones, and never the leader', () => {
    expect(decided(voters(5))).toBe('demoteSurplus -5 -4');
    const leading = voters(5).map((one) => ({ ...one, isLeader: one.id === 5 }));
    expect(decided(leading)).toBe('demoteSurplus -4 -3');
    const dead = [...voters(4).slice(0, 3), member(4, 'voter'), member(2, 'voter', { ...deadFor(5), id: 5 })];
    expect(decided(dead.slice(1).concat(voters(1)), { targetVoters: 4 })).toBe('demoteSurplus x5');
    const late = voters(4).map((one) => ({ ...one, isCaughtUp: one.id !== 2 }));
    expect(decided(late)).toBe('demoteSurplus -2');
    const zones = voters(5).map((one) => ({ ...one, zone: one.id < 4 ? 'a' : 'b' }));
    expect(decided(zones)).toBe('demoteSurplus -3 -5');
  });

  it('falls at once by voters that died just now: fewer of those that live are then needed', () => {
    expect(decided([...voters(3), member(4, 'voter', deadFor(1))])).toBe('demoteSurplus -4');
  });
});

describe('zones', () => {
  it('get a voter each where they can', () => {
    expect(decided(crowded('c'))).toBe('spread +4 -2');
    expect(decide(input(crowded('c')))?.reason).toBe(
      'n4 promoted in place of n2: zone a has 2 voters, zone c has 0',
    );
  });

  it('are left alone where nothing is won, or a zone is not known', () => {
    expect(decided(crowded('b'))).toBe('nothing');
    expect(decided(crowded('a'))).toBe('nothing');
    expect(decided(crowded(null))).toBe('nothing');
    expect(decided(voters(3).concat(member(4, 'learner', { zone: 'c' })))).toBe('nothing');
  });

  it('wait for calm: every voter lives, and the newcomer for as long as the grace time', () => {
    expect(decided(crowded('c', { sinceMs: NOW_MS - GRACE_MS + 1 }))).toBe('nothing');
    expect(decided(crowded('c', { sinceMs: NOW_MS - GRACE_MS }))).toBe('spread +4 -2');
    for (const third of [deadFor(1), { sinceMs: NOW_MS - STABLE_MS + 1 }]) {
      expect(decided(crowded('c').map((one) => (one.id === 3 ? { ...one, ...third } : one)))).toBe('nothing');
    }
  });
});

describe('learners', () => {
  it('that never come back are removed', () => {
    expect(decided([...voters(3), member(4, 'learner', { isGone: true })])).toBe('removeLearner x4');
    const replaced = [...voters(3), member(4, 'learner', { name: 'n3', ...deadFor(1) })];
    expect(decided(replaced)).toBe('removeLearner x4');
  });

  it('that stay dead are removed after a long time', () => {
    const keptMs = AUTOPILOT_DEFAULTS.deadLearnerKeptMs;
    const dead = [keptMs - 1, keptMs].map((ms) => [...voters(3), member(4, 'learner', deadFor(ms))]);
    expect(dead.map((members) => decided(members))).toEqual(['nothing', 'removeLearner x4']);
  });

  it('are kept up to their number, and as many more as voters do not live', () => {
    const learners = [member(4, 'learner'), member(5, 'learner', deadFor(1)), member(6, 'learner')];
    expect(decided([...voters(3), ...learners], { learnersKept: 3 })).toBe('nothing');
    expect(decided([...voters(3), ...learners], { learnersKept: 2 })).toBe('removeLearner x5');
    const dying = [...voters(2), member(3, 'voter', deadFor(1)), ...learners];
    expect(decided(dying, { learnersKept: 2 })).toBe('nothing');
    expect(decided(dying, { learnersKept: 1 })).toBe('removeLearner x5');
  });

  it('are wanted for voters that are missing or stay dead', () => {
    const clusters = [
      voters(3),
      voters(1),
      voters(5),
      [...voters(2), member(3, 'voter', deadFor(1))],
      [...voters(2), member(3, 'voter', deadFor(GRACE_MS))],
    ];
    const wanted = clusters.map((members) => learnersWanted(input(members, { learnersKept: 2 })));
    expect(wanted).toEqual([2, 4, 2, 2, 3]);
  });
});
