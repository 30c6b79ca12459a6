import { describe, expect, it } from 'vitest';

import { DEFAULT_POLICY } from '../../model/policy.ts';
import type { NodeRow, NodeStatus } from '../../model/node.ts';
import type { InstanceRow } from '../../model/scaling.ts';
import { LIFECYCLE_LIMITS, nextActions, type LifecycleAction, type LifecycleInput } from './lifecycle.ts';
import { NO_SIGHTINGS, type Sighting, type Sightings } from './sightings.ts';

const NOW_MS = 10_000_000;
const GONE: Sighting = seenAs('gone', 'it broke');
const LATE: Sighting = { seen: null, missing: 50, wasSeen: false };
const UNSEEN: Sighting = { seen: null, missing: LIFECYCLE_LIMITS.missingLists, wasSeen: true };

function instance(changes: Partial<InstanceRow> = {}): InstanceRow {
  return {
    id: 'instance-1',
    node: 'node-1',
    provider: 'command',
    phase: 'REQUESTED',
    phaseSinceMs: NOW_MS,
    createdAtMs: NOW_MS,
    revision: 7,
    reason: '',
    host: null,
    providerId: null,
    joinTokenId: null,
    askedAtMs: null,
    isAsked: false,
    isEnded: false,
    failures: 0,
    notBeforeMs: 0,
    error: null,
    cameBy: 1,
    leavesBy: null,
    ...changes,
  };
}

function node(name: string, status: NodeStatus, isDrained = false): NodeRow {
  const drain = {
    index: 1,
    startedAtMs: 0,
    deadlineMs: 0,
    graceMs: null,
    isOverdue: false,
    finishedAtMs: null,
    startId: null,
  };
  return {
    name,
    incarnation: name,
    machineId: name,
    bootId: name,
    startId: name,
    startCounter: 1,
    session: 1,
    bootSession: 0,
    sessionOpen: status !== 'OFFLINE',
    reconciled: true,
    status,
    schedulable: true,
    version: '',
    address: '',
    http: '',
    labels: [],
    drivers: [],
    policy: DEFAULT_POLICY,
    isolation: '',
    capacity: { cpuMillis: 1000, memoryBytes: 1 },
    joinedAtMs: 0,
    ...(isDrained ? { drain } : {}),
  };
}

function seenAs(state: 'pending' | 'running' | 'stopping' | 'gone', message?: string): Sighting {
  const seen = { id: 'i-1', clientToken: 'instance-1', node: 'node-1', state };
  return { seen: message === undefined ? seen : { ...seen, message }, missing: 0, wasSeen: true };
}

interface Facts {
  readonly row?: Partial<InstanceRow>;
  readonly node?: NodeRow;
  readonly host?: NodeRow;
  readonly sighting?: Sighting;
  readonly tasks?: number;
  readonly isMember?: boolean;
  readonly offlineForMs?: number;
  readonly mayBegin?: boolean;
}

function actionsOn(facts: Facts): readonly LifecycleAction[] {
  const { sighting, node: own, host, tasks = 0, isMember = false, offlineForMs, mayBegin = true } = facts;
  const row = instance(facts.row);
  const nodes = [own, host].filter((one) => one !== undefined).map((one) => [one.name, one] as const);
  const known = new Map(sighting === undefined ? [] : [[row.id, sighting]]);
  const input: LifecycleInput = {
    nowMs: NOW_MS,
    mayBegin,
    instances: new Map([[row.id, row]]),
    nodes: new Map(nodes),
    tasksOn: () => tasks,
    isMember: () => isMember,
    offlineSinceMs: () => (offlineForMs === undefined ? null : NOW_MS - offlineForMs),
    sightings: { ...NO_SIGHTINGS, known },
  };
  return nextActions(input);
}

/** In a word: the phase that it goes to, with `failed` where a person may have to know, or what is to be done. */
function on(facts: Facts): string {
  const [action, ...more] = actionsOn(facts);
  expect(more).toEqual([]);
  if (action === undefined) return 'wait';
  if (action.type === 'leave') return action.isGone ? 'leave gone' : 'leave';
  if (action.type === 'terminate') return `terminate ${action.providerId}`;
  if (action.type === 'create') return 'create';
  const { step, failure } = action;
  expect(step).toMatchObject({ id: 'instance-1', revision: 7 });
  return `${step.type === 'moved' ? step.phase : step.type}${failure === null ? '' : ' failed'}`;
}

const earlier = { phaseSinceMs: NOW_MS - LIFECYCLE_LIMITS.lateMs };
const lately = { phaseSinceMs: earlier.phaseSinceMs + 1 };
const longAgo = { createdAtMs: NOW_MS - LIFECYCLE_LIMITS.bootMs };
const booting = { createdAtMs: NOW_MS - LIFECYCLE_LIMITS.bootMs + 1 };

describe('one that is REQUESTED', () => {
  it.each<[string, Facts, string]>([
    ['is asked for', {}, 'create'],
    ['is asked for once its time has come', { row: { notBeforeMs: NOW_MS + 1 } }, 'wait'],
    ['is asked for again, with nothing known of it', { row: { isAsked: true } }, 'create'],
    ['is CREATED once a list has it', { sighting: seenAs('pending') }, 'CREATED'],
    [
      'is asked for again where it is on a machine and not begun',
      { row: { isAsked: true, host: 'n1' }, sighting: seenAs('pending') },
      'create',
    ],
    [
      'is CREATED once it is begun there',
      { row: { isAsked: true, host: 'n1' }, sighting: seenAs('running') },
      'CREATED',
    ],
    ['is JOINED once its node is there, whatever lists say', { node: node('node-1', 'AVAILABLE') }, 'JOINED'],
    [
      'is ended where it has ended by itself',
      { row: { isAsked: true }, sighting: GONE },
      'TERMINATING failed',
    ],
    ['is ended where it is about to end', { sighting: seenAs('stopping') }, 'TERMINATING failed'],
    ['is ended where it was not made in time', { row: { ...longAgo, isAsked: true } }, 'TERMINATING failed'],
    ['has its time', { row: booting }, 'create'],
    ['is dropped where none is to be asked for any more', { mayBegin: false }, 'gone'],
    ['is ended then, where one was asked for', { row: { isAsked: true }, mayBegin: false }, 'TERMINATING'],
  ])('%s', (_, facts, expected) => {
    expect(on(facts)).toBe(expected);
  });

  it('keeps the id that the list has', () => {
    expect(actionsOn({ sighting: seenAs('running') })).toMatchObject([{ step: { providerId: 'i-1' } }]);
  });

  it('says why it was given up', () => {
    const row = { ...longAgo, error: 'no more of them' };
    expect(actionsOn({ row })).toMatchObject([
      { failure: 'node node-1: it was not made in time: no more of them', step: { hasFailed: true } },
    ]);
    expect(actionsOn({ sighting: GONE })).toMatchObject([
      { failure: 'node node-1: instance i-1 has ended before its node came: it broke' },
    ]);
  });
});

describe('one that is CREATED', () => {
  const row = { phase: 'CREATED', isAsked: true, providerId: 'i-1' } as const;
  it.each<[string, Facts, string]>([
    ['waits for its node', { row, sighting: seenAs('running') }, 'wait'],
    ['waits where no list has come yet', { row }, 'wait'],
    [
      'is JOINED once its node is there',
      { row, node: node('node-1', 'AVAILABLE'), sighting: GONE },
      'JOINED',
    ],
    ['is ended where it has ended', { row, sighting: GONE }, 'TERMINATING failed'],
    ['is ended where its end has begun', { row, sighting: seenAs('stopping') }, 'TERMINATING failed'],
    ['is not lost by a list or two without it', { row, sighting: { ...UNSEEN, missing: 2 } }, 'wait'],
    ['is lost by three', { row, sighting: UNSEEN }, 'TERMINATING failed'],
    ['is late where none has shown it yet', { row: { ...row, ...lately }, sighting: LATE }, 'wait'],
    [
      'is lost where none has for long',
      { row: { ...row, ...earlier }, sighting: LATE },
      'TERMINATING failed',
    ],
    ['has its time', { row: { ...row, ...booting } }, 'wait'],
    ['is ended where its node has not come', { row: { ...row, ...longAgo } }, 'TERMINATING failed'],
    ['goes on where none is to be asked for any more', { row, mayBegin: false }, 'wait'],
  ])('%s', (_, facts, expected) => {
    expect(on(facts)).toBe(expected);
  });
});

describe('one that is JOINED', () => {
  const row = { phase: 'JOINED', isAsked: true, providerId: 'i-1' } as const;
  const away = node('node-1', 'OFFLINE');
  const long = LIFECYCLE_LIMITS.awayMs;
  it.each<[string, Facts, string]>([
    ['is let be', { row, node: node('node-1', 'AVAILABLE') }, 'wait'],
    ['is let be where it is UNHEALTHY', { row, node: node('node-1', 'UNHEALTHY') }, 'wait'],
    // A list may lie: the node is what counts.
    [
      'is let be where a list says that it has gone',
      { row, node: node('node-1', 'AVAILABLE'), sighting: GONE },
      'wait',
    ],
    ['is let be where lists lack it', { row, node: node('node-1', 'AVAILABLE'), sighting: UNSEEN }, 'wait'],
    ['is ended where its node was removed', { row }, 'TERMINATING'],
    ['leaves where it has ended, and its node is OFFLINE', { row, node: away, sighting: GONE }, 'LEAVING'],
    [
      'leaves then whatever was there: it is the word of its provider',
      { row, node: away, sighting: GONE, tasks: 1 },
      'LEAVING',
    ],
    [
      'stays where it was a process and something was there: that may live on',
      { row: { ...row, provider: 'process' }, node: away, sighting: GONE, offlineForMs: long, tasks: 1 },
      'wait',
    ],
    [
      'leaves where it was a process and nothing was there',
      { row: { ...row, provider: 'process' }, node: away, sighting: GONE },
      'LEAVING',
    ],
    ['is waited for where it is away', { row, node: away, offlineForMs: long - 1 }, 'wait'],
    ['is given up where it stays away', { row, node: away, offlineForMs: long }, 'LEAVING'],
    ['is waited for where this leader has not seen since when', { row, node: away }, 'wait'],
    [
      'waits for the word of an operator on what was there',
      { row, node: away, offlineForMs: long, tasks: 1 },
      'wait',
    ],
    ['is not given up because lists lack it', { row, node: away, offlineForMs: 0, sighting: UNSEEN }, 'wait'],
  ])('%s', (_, facts, expected) => {
    expect(on(facts)).toBe(expected);
  });
});

describe('one that is DRAINING', () => {
  const row = { phase: 'DRAINING', isAsked: true, providerId: 'i-1', leavesBy: 2 } as const;
  it.each<[string, Facts, string]>([
    ['has its time', { row, node: node('node-1', 'DRAINING', true), tasks: 1 }, 'wait'],
    ['leaves once it is DRAINED', { row, node: node('node-1', 'DRAINED', true) }, 'LEAVING'],
    ['stays while something is on it', { row, node: node('node-1', 'DRAINED', true), tasks: 1 }, 'wait'],
    ['is kept where an operator has undrained it', { row, node: node('node-1', 'AVAILABLE') }, 'JOINED'],
    ['is ended where its node was removed', { row }, 'TERMINATING'],
    [
      'leaves where it has ended by itself',
      { row, node: node('node-1', 'OFFLINE', true), sighting: GONE, tasks: 1 },
      'LEAVING',
    ],
    [
      'waits where it was a process, and something was there: that may live on',
      {
        row: { ...row, provider: 'process' },
        node: node('node-1', 'OFFLINE', true),
        sighting: GONE,
        tasks: 1,
      },
      'wait',
    ],
    [
      'is let be where a list only says so',
      { row, node: node('node-1', 'DRAINING', true), sighting: GONE },
      'wait',
    ],
    [
      'leaves where its node is away, and nothing is on it',
      { row, node: node('node-1', 'OFFLINE', true) },
      'LEAVING',
    ],
    ['waits where something is', { row, node: node('node-1', 'OFFLINE', true), tasks: 1 }, 'wait'],
  ])('%s', (_, facts, expected) => {
    expect(on(facts)).toBe(expected);
  });
});

describe('one that is LEAVING', () => {
  const row = { phase: 'LEAVING', isAsked: true, providerId: 'i-1' } as const;
  it.each<[string, Facts, string]>([
    ['goes on leaving while it is on the list', { row, node: node('node-1', 'DRAINED', true) }, 'leave'],
    ['goes on leaving while it is a member', { row, isMember: true }, 'leave'],
    ['tells that it has ended', { row, node: node('node-1', 'OFFLINE'), sighting: GONE }, 'leave gone'],
    [
      'tells nothing of the kind of a process: what it had begun may live on',
      { row: { ...row, provider: 'process' }, node: node('node-1', 'OFFLINE'), sighting: GONE },
      'leave',
    ],
    ['waits after a failure', { row: { ...row, notBeforeMs: NOW_MS + 1 }, isMember: true }, 'wait'],
    ['is ended once it is neither', { row }, 'TERMINATING'],
  ])('%s', (_, facts, expected) => {
    expect(on(facts)).toBe(expected);
  });
});

describe('one that is TERMINATING', () => {
  const row = { phase: 'TERMINATING', isAsked: true, providerId: 'i-1' } as const;
  const ended = { ...row, isEnded: true, askedAtMs: NOW_MS } as const;
  const late = { ...ended, askedAtMs: NOW_MS - LIFECYCLE_LIMITS.endingMs };
  const unknown = { ...row, providerId: null, phaseSinceMs: NOW_MS - LIFECYCLE_LIMITS.unmadeMs };
  it.each<[string, Facts, string]>([
    ['is ended by its provider', { row }, 'terminate i-1'],
    ['is ended later after a failure', { row: { ...row, notBeforeMs: NOW_MS + 1 } }, 'wait'],
    ['is ended by its provider also where it has ended by itself', { row, sighting: GONE }, 'terminate i-1'],
    [
      'goes where its provider was never asked',
      { row: { ...row, isAsked: false, providerId: null } },
      'gone',
    ],
    ['stays until lists lack it', { row: ended, sighting: seenAs('stopping') }, 'wait'],
    ['stays until there is a list', { row: ended }, 'wait'],
    ['goes once a list lacks it', { row: ended, sighting: { ...UNSEEN, missing: 1 } }, 'gone'],
    ['goes once a list says that it has gone', { row: ended, sighting: GONE }, 'gone'],
    [
      'is ended again where its end takes too long',
      { row: late, sighting: seenAs('running') },
      'terminate i-1',
    ],
    [
      'is ended by the id of the list, where none was told',
      { row: unknown, sighting: seenAs('running') },
      'terminate i-1',
    ],
    [
      'is waited for where it may have been made',
      { row: { ...unknown, phaseSinceMs: NOW_MS }, sighting: UNSEEN },
      'wait',
    ],
    ['is waited for while few lists lack it', { row: unknown, sighting: { ...UNSEEN, missing: 2 } }, 'wait'],
    ['goes where it was never made', { row: unknown, sighting: UNSEEN }, 'gone'],
    ['goes with the machine that it was on', { row: { ...row, host: 'n1' } }, 'gone'],
    [
      'is ended on the machine that it is on',
      { row: { ...row, host: 'n1' }, host: node('n1', 'OFFLINE') },
      'terminate i-1',
    ],
    [
      'has its node leave that came too late',
      { row: ended, node: node('node-1', 'AVAILABLE'), sighting: GONE },
      'leave gone',
    ],
    [
      'has its node leave that was a process, and proves nothing',
      { row: { ...ended, provider: 'process' }, node: node('node-1', 'AVAILABLE'), sighting: GONE },
      'leave',
    ],
    [
      'has its node leave that is a member',
      { row: ended, isMember: true, sighting: { ...UNSEEN, missing: 1 } },
      'leave',
    ],
  ])('%s', (_, facts, expected) => {
    expect(on(facts)).toBe(expected);
  });
});

interface StrayFacts {
  readonly nodes?: readonly NodeRow[];
  readonly rows?: readonly InstanceRow[];
  readonly state?: 'running' | 'stopping';
  readonly host?: string | null;
}

function strayOf(
  lists: number,
  sinceMs: number,
  { nodes = [], rows = [], state = 'running', host = null }: StrayFacts = {},
): readonly LifecycleAction[] {
  const seen = { id: 'i-9', clientToken: 'instance-9', node: 'node-9', state };
  const stray = { provider: 'command', host, seen, lists, sinceMs } as const;
  const sightings: Sightings = { known: new Map(), strays: new Map([['command  i-9', stray]]) };
  return nextActions({
    nowMs: NOW_MS,
    mayBegin: true,
    instances: new Map(rows.map((row) => [row.id, row])),
    nodes: new Map(nodes.map((one) => [one.name, one])),
    tasksOn: () => 0,
    isMember: () => false,
    offlineSinceMs: () => null,
    sightings,
  });
}

describe('one that is listed, and that nobody knows', () => {
  const { strayLists, strayMs, endingMs } = LIFECYCLE_LIMITS;
  const step = { type: 'adopted', id: 'instance-9', node: 'node-9', providerId: 'i-9', host: null };
  const there = node('node-9', 'AVAILABLE');

  it('is let be for three lists, and for five minutes', () => {
    expect(strayOf(strayLists - 1, NOW_MS - strayMs)).toEqual([]);
    expect(strayOf(strayLists, NOW_MS - strayMs + 1)).toEqual([]);
  });

  it('is then taken in to be ended, and as a node where it is one', () => {
    expect(strayOf(strayLists, NOW_MS - strayMs)).toMatchObject([
      { step: { ...step, phase: 'TERMINATING' } },
    ]);
    expect(strayOf(strayLists, NOW_MS - strayMs, { nodes: [there] })).toMatchObject([
      { step: { ...step, phase: 'JOINED' } },
    ]);
  });

  it('is given more time where it is stopping, and none without end: one that was only stopped costs on', () => {
    expect(strayOf(strayLists, NOW_MS - endingMs + 1, { state: 'stopping' })).toEqual([]);
    expect(strayOf(strayLists, NOW_MS - endingMs, { state: 'stopping' })).toMatchObject([
      { step: { ...step, phase: 'TERMINATING' } },
    ]);
  });

  it('is ended under a name of its own, and its node let be, where it is the second one with its token', () => {
    const first = instance({ id: 'instance-9', node: 'node-9', phase: 'JOINED', providerId: 'i-1' });
    expect(strayOf(strayLists, NOW_MS - strayMs, { nodes: [there], rows: [first] })).toMatchObject([
      { step: { ...step, id: 'found-i-9', node: 'i-9', phase: 'TERMINATING' } },
    ]);
  });

  it('is taken in once, and not where the machine that it was seen on is no part of the cluster', () => {
    const own = instance({ id: 'instance-9', node: 'node-9', phase: 'JOINED', isAsked: true });
    const found = { ...own, id: 'found-i-9', node: 'i-9', providerId: 'i-9' };
    const nodes = [there, node('i-9', 'AVAILABLE')];
    expect(strayOf(strayLists, NOW_MS - strayMs, { nodes, rows: [own] })).toEqual([]);
    expect(strayOf(strayLists, NOW_MS - strayMs, { nodes, rows: [{ ...own, providerId: 'i-9' }] })).toEqual(
      [],
    );
    expect(
      strayOf(strayLists, NOW_MS - strayMs, { nodes, rows: [{ ...own, providerId: 'i-1' }, found] }),
    ).toEqual([]);
    expect(strayOf(strayLists, NOW_MS - strayMs, { nodes, host: 'n1' })).toEqual([]);
    const both = [...nodes, node('n1', 'OFFLINE')];
    expect(strayOf(strayLists, NOW_MS - strayMs, { nodes: both, host: 'n1' })).toHaveLength(1);
  });
});
