/** What must hold after a run, whatever was done to the nodes. Each judge is a pure function of the evidence. */
import { FINAL_STATUSES, type TaskJson } from '../support/api.ts';
import type { Operation, Sighting } from './calls.ts';
import type { HistoryOperation } from './history.ts';
import { judgeGroups, type GroupJson } from './groups.ts';
import { checkHistory } from './linearizability.ts';
import { judgeOverlap, type IsUnguarded } from './overlap.ts';
import type { RunLine } from './recorder.ts';

export interface Evidence {
  readonly operations: readonly Operation[];
  readonly sightings: readonly Sighting[];
  readonly history: readonly HistoryOperation[];
  readonly isUnguarded: IsUnguarded;
  /** All tasks at the end, as each node shows them. */
  readonly final: Readonly<Record<string, readonly TaskJson[]>>;
  readonly runs: readonly RunLine[];
  /** Batches and DAGs at the end, as one node shows them. */
  readonly groups: readonly GroupJson[];
  /** A run in which less was acknowledged, or less of the history succeeded, proves nothing. */
  readonly least: { readonly acknowledged: number; readonly history: number };
}

export interface Finding {
  readonly judge: string;
  readonly message: string;
}

const DIFFERENCES_SHOWN = 2;
const DIFFERENCE_CONTEXT = 80;

type Judge = (evidence: Evidence) => readonly string[];

export const JUDGES = {
  acknowledged: judgeAcknowledged,
  keys: judgeKeys,
  finality: judgeFinality,
  outcomes: judgeOutcomes,
  order: judgeOrder,
  runs: judgeRuns,
  record: judgeRecord,
  groups: (evidence) => judgeGroups([...finalTasks(evidence).values()], evidence.runs, evidence.groups),
  agreement: judgeAgreement,
  overlap: ({ runs, isUnguarded }) => judgeOverlap(runs, isUnguarded),
  linearizability: judgeHistory,
  progress: judgeProgress,
} as const satisfies Readonly<Record<string, Judge>>;

/** @param without those that are not asked */
export function judge(evidence: Evidence, without: readonly string[] = []): readonly Finding[] {
  return Object.entries(JUDGES)
    .filter(([name]) => !without.includes(name))
    .flatMap(([name, find]) => find(evidence).map((message) => ({ judge: name, message })));
}

/** Task ids by key, of submits that were answered. */
export function acknowledgedIds(operations: readonly Operation[]): ReadonlyMap<string, ReadonlySet<string>> {
  const ids = new Map<string, Set<string>>();
  for (const { f, key, ok, out } of operations) {
    if (f !== 'submit' || ok !== true) continue;
    const known = ids.get(key) ?? new Set();
    ids.set(key, known.add((out as { id: string }).id));
  }
  return ids;
}

function finalTasks({ final }: Evidence): ReadonlyMap<string, TaskJson> {
  const [tasks = []] = Object.values(final);
  return new Map(tasks.map((task) => [task.id, task]));
}

/** Promise 1: nothing acknowledged is lost, neither at the end nor from the eyes of a later read. */
function judgeAcknowledged(evidence: Evidence): readonly string[] {
  const tasks = finalTasks(evidence);
  const lost = [...acknowledgedIds(evidence.operations)].flatMap(([key, ids]) =>
    [...ids].filter((id) => !tasks.has(id)).map((id) => `${key}: ${id} was acknowledged and is gone`),
  );
  const unseen = evidence.operations
    .filter(({ f, out }) => f === 'read' && (out as { status: unknown }).status === 404)
    .map(
      (operation) => `${operation.key}: not found at ${operation.call} ms: ${JSON.stringify(operation.in)}`,
    );
  return [...lost, ...unseen];
}

/** Promise 2: one key, one task. */
function judgeKeys(evidence: Evidence): readonly string[] {
  const faults: string[] = [];
  for (const [key, ids] of acknowledgedIds(evidence.operations)) {
    if (ids.size > 1) faults.push(`${key}: acknowledged as ${[...ids].join(' and ')}`);
  }
  const byName = Map.groupBy(finalTasks(evidence).values(), ({ name }) => name);
  for (const [key, tasks] of byName) {
    if (tasks.length > 1) faults.push(`${key}: ${tasks.map(({ id }) => id).join(', ')} have the same key`);
  }
  const ids = Object.values(evidence.final)[0]?.map(({ id }) => id) ?? [];
  if (new Set(ids).size !== ids.length) faults.push('a task is listed twice');
  return faults;
}

/** Promise 3: exactly one terminal status. */
function judgeFinality(evidence: Evidence): readonly string[] {
  return [...finalTasks(evidence).values()]
    .filter(({ status }) => !FINAL_STATUSES.has(status))
    .map((task) => `${task.name}: ${task.id} is still ${task.status} on ${task.node ?? 'no node'}`);
}

/** The status is the one that follows from what the task does, and from what was asked of it. */
function judgeOutcomes(evidence: Evidence): readonly string[] {
  const cancels = Map.groupBy(
    evidence.operations.filter(({ f }) => f === 'cancel'),
    ({ in: { id } }) => String(id),
  );
  const ended = new Set(evidence.runs.filter(({ what }) => what === 'end').map(({ id }) => id));
  return [...finalTasks(evidence).values()].flatMap(({ id, name, status, attempts }) => {
    const asked = cancels.get(id) ?? [];
    const faults: string[] = [];
    if (status === 'CANCELLED' && asked.every(({ ok }) => ok === false)) faults.push('nobody cancelled it');
    if (status !== 'COMPLETED' && status !== 'CANCELLED') faults.push(`it is ${status}`);
    if (
      asked.some(({ out }) => (out as { status: unknown }).status === 'CANCELLED') &&
      status !== 'CANCELLED'
    ) {
      faults.push(`its cancellation was acknowledged, and it is ${status}`);
    }
    if (status === 'COMPLETED' && !ended.has(id)) faults.push('it is COMPLETED and has never run to its end');
    const completed = attempts.filter((attempt) => attempt.status === 'COMPLETED').length;
    if (completed !== (status === 'COMPLETED' ? 1 : 0)) faults.push(`${completed} attempts are COMPLETED`);
    return faults.map((fault) => `${name}: ${id}: ${fault}`);
  });
}

const RANKS: Readonly<Record<string, number>> = { ASSIGNED: 1, RUNNING: 2, FAILED: 3, PENDING: 4 };
const FINAL_RANK = 9;

/** Grows with every move of the phase table; an attempt that was lost or failed is PENDING once more, after all else. */
function rank({ status, attempt }: Sighting): number {
  if (FINAL_STATUSES.has(status)) return Number.MAX_SAFE_INTEGER;
  if (status === 'WAITING') return -1;
  if (status === 'PENDING' && attempt === 0) return 0;
  return attempt * (FINAL_RANK + 1) + (RANKS[status] ?? FINAL_RANK);
}

/** Statuses only move forward; what was seen by anybody is never unseen by a read that begins later. */
function judgeOrder({ sightings }: Evidence): readonly string[] {
  const faults: string[] = [];
  for (const [id, seen] of Map.groupBy(sightings, (sighting) => sighting.id)) {
    const back = seen.find((later) => seen.some((earlier) => isBackward(earlier, later)));
    if (back === undefined) continue;
    const before = seen.find((earlier) => isBackward(earlier, back));
    faults.push(`${id}: ${JSON.stringify(before)}, and later ${JSON.stringify(back)}`);
  }
  return faults;
}

function isBackward(earlier: Sighting, later: Sighting): boolean {
  if (earlier.return >= later.call) return false;
  if (FINAL_STATUSES.has(earlier.status) && earlier.status !== later.status) return true;
  return rank(earlier) > rank(later) || earlier.attempt > later.attempt;
}

/** An assignment is started once at most, belongs to one attempt, and later attempts have higher tokens. */
function judgeRuns(evidence: Evidence): readonly string[] {
  const faults: string[] = [];
  const tasks = finalTasks(evidence);
  for (const [key, lines] of Map.groupBy(evidence.runs, (line) => line.key)) {
    const starts = lines.filter(({ what }) => what === 'start');
    if (new Set(starts.map(({ token }) => token)).size < starts.length) {
      faults.push(`${key}: an assignment was started twice: ${starts.map(({ token }) => token).join(', ')}`);
    }
    const ids = new Set(lines.map(({ id }) => id));
    if (ids.size > 1) faults.push(`${key}: ran as ${[...ids].join(' and ')}`);
    const tokens = starts.toSorted((a, b) => a.attempt - b.attempt).map(({ token }) => BigInt(token));
    if (tokens.some((token, at) => at > 0 && token <= (tokens[at - 1] ?? 0n))) {
      faults.push(`${key}: tokens do not rise with attempts: ${tokens.join(', ')}`);
    }
    for (const { id, attempt } of starts) {
      const task = tasks.get(id);
      if (task === undefined) faults.push(`${key}: ${id} ran and is not known`);
      else if (attempt > task.attempt) faults.push(`${key}: attempt ${attempt} ran, of ${task.attempt}`);
    }
  }
  return faults;
}

/** Promise 3: what the tasks themselves have left outside the cluster agrees with the attempts on record. */
function judgeRecord(evidence: Evidence): readonly string[] {
  const runs = Map.groupBy(evidence.runs, ({ id, attempt }) => `${id}/${attempt}`);
  return [...finalTasks(evidence).values()].flatMap(({ id, name, attempts }) => {
    const faults: string[] = [];
    for (const [at, { attempt, node, status }] of attempts.entries()) {
      if (attempt <= (attempts[at - 1]?.attempt ?? 0))
        faults.push(`attempt ${attempt} stands behind a later one`);
      const lines = runs.get(`${id}/${attempt}`) ?? [];
      const elsewhere = lines.find((line) => line.node !== node);
      if (elsewhere !== undefined) faults.push(`attempt ${attempt} ran on ${elsewhere.node}, not on ${node}`);
      if (status === 'COMPLETED' && !lines.some(({ what }) => what === 'end'))
        faults.push(`attempt ${attempt} is COMPLETED and has not run to its end`);
    }
    return faults.map((fault) => `${name}: ${id}: ${fault}`);
  });
}

function judgeAgreement({ final }: Evidence): readonly string[] {
  const [first, ...others] = Object.entries(final);
  if (first === undefined) return ['no node has shown its tasks'];
  const expected = new Map(first[1].map((task) => [task.id, JSON.stringify(task)]));
  return others.flatMap(([name, tasks]) => {
    const shown = new Map(tasks.map((task) => [task.id, JSON.stringify(task)]));
    const ids = new Set([...expected.keys(), ...shown.keys()]);
    const different = [...ids].filter((id) => expected.get(id) !== shown.get(id));
    if (different.length === 0)
      return [...shown.keys()].join() === [...expected.keys()].join()
        ? []
        : [`${first[0]} and ${name} list in another order`];
    const examples = different
      .slice(0, DIFFERENCES_SHOWN)
      .map((id) => differenceOf(expected.get(id) ?? 'nothing', shown.get(id) ?? 'nothing'));
    return [`${first[0]} and ${name} differ in ${different.length} tasks: ${examples.join('; ')}`];
  });
}

/** From a little before where they part. */
function differenceOf(one: string, other: string): string {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  const from = Math.max(0, at - DIFFERENCE_CONTEXT);
  const cut = (text: string): string => text.slice(from, at + DIFFERENCE_CONTEXT);
  return `${cut(one)} and ${cut(other)}`;
}

/** Promise 2: whoever was asked, the answers are those of one register that does one thing after the other. */
function judgeHistory({ history }: Evidence): readonly string[] {
  return [...checkHistory(history)].map(([key, verdict]) =>
    verdict.type === 'undecided'
      ? `${key}: not decided after ${verdict.steps} steps`
      : `${key}: no order explains ${JSON.stringify(verdict.stuck)}; before it there was ${verdict.value ?? 'nothing'}`,
  );
}

function judgeProgress({ operations, history, least }: Evidence): readonly string[] {
  const faults: string[] = [];
  const { size } = acknowledgedIds(operations);
  if (size < least.acknowledged)
    faults.push(`${size} tasks were acknowledged, fewer than ${least.acknowledged}`);
  const succeeded = history.filter(({ ok }) => ok === true).length;
  if (succeeded < least.history)
    faults.push(`${succeeded} operations of the history succeeded, fewer than ${least.history}`);
  return faults;
}
