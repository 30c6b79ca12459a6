/** Batches and DAGs of a run: how their tasks are named, and what must hold of each at the end. */
import type { TaskJson } from '../support/api.ts';
import type { RunLine } from './recorder.ts';

export type GroupKind = 'batch' | 'dag';

/** As a node shows one. */
export interface GroupJson {
  readonly id: string;
  readonly status: string;
  readonly size: number;
  readonly counts: Readonly<Record<string, number>>;
}

const MEMBER = /^(batch|dag)-(\d+)\.(\d+)\.(\d+)$/;

/** Also its name: which group, which of its tasks, and how many there are. */
export function memberKey(
  { kind, at, size }: { readonly kind: GroupKind; readonly at: number; readonly size: number },
  position: number,
): string {
  return `${kind}-${at}.${position}.${size}`;
}

/** All or none of a group is there; it counts what is; and no task of a chain begins before the one before it is over. */
export function judgeGroups(
  tasks: readonly TaskJson[],
  runs: readonly RunLine[],
  shown: readonly GroupJson[],
): readonly string[] {
  const faults: string[] = [];
  const members = tasks.filter(({ name }) => MEMBER.test(name));
  const lines = Map.groupBy(runs, ({ id }) => id);
  const ids = new Set<string>();
  for (const [group, found] of Map.groupBy(members, ({ name }) => name.replace(MEMBER, '$1-$2'))) {
    const ordered = found.toSorted((a, b) => positionOf(a) - positionOf(b));
    const size = Number(MEMBER.exec(found[0]?.name ?? '')?.[4]);
    if (found.length !== size) faults.push(`${group}: ${found.length} of its ${size} tasks are there`);
    const own = new Set(found.map((task) => task.batch_id ?? task.dag_id ?? ''));
    if (own.size !== 1) faults.push(`${group}: its tasks are of ${[...own].join(' and ')}`);
    for (const id of own) ids.add(id);
    const counted = shown.find(({ id }) => own.has(id));
    faults.push(...countFaults(counted, found).map((fault) => `${group}: ${fault}`));
    if (group.startsWith('dag')) faults.push(...chainFaults(ordered, lines));
  }
  const others = shown.filter(({ id }) => !ids.has(id)).map(({ id }) => `${id} has none of its tasks`);
  return [...faults, ...others];
}

function positionOf({ name }: TaskJson): number {
  return Number(MEMBER.exec(name)?.[3]);
}

function countFaults(group: GroupJson | undefined, tasks: readonly TaskJson[]): readonly string[] {
  if (group === undefined) return ['it is not shown'];
  const counts = Map.groupBy(tasks, ({ status }) => status);
  const wrong = Object.entries(group.counts)
    .filter(([status, count]) => count !== (counts.get(status)?.length ?? 0))
    .map(([status, count]) => `${group.id} counts ${count} tasks ${status}, and there are others`);
  if (group.size !== tasks.length) wrong.push(`${group.id} has ${group.size} tasks`);
  const isAll = tasks.every(({ status }) => status === 'COMPLETED');
  if (isAll !== (group.status === 'COMPLETED')) wrong.push(`${group.id} is ${group.status}`);
  return wrong;
}

/** By what they wrote themselves: the end of the attempt that completed, and the first beginning of the next task. */
function chainFaults(
  chain: readonly TaskJson[],
  lines: ReadonlyMap<string, readonly RunLine[]>,
): readonly string[] {
  return chain.slice(1).flatMap((task, at) => {
    const before = chain[at];
    const start = Math.min(...timesOf(lines.get(task.id), 'start'));
    if (before === undefined || start === Infinity) return [];
    const completed = before.attempts.find(({ status }) => status === 'COMPLETED')?.attempt;
    const ends = lines.get(before.id)?.filter(({ attempt }) => attempt === completed);
    const end = Math.max(...timesOf(ends, 'end'));
    return end <= start ? [] : [`${task.name} began at ${start} ms, and ${before.name} ended at ${end} ms`];
  });
}

function timesOf(lines: readonly RunLine[] | undefined, what: RunLine['what']): readonly number[] {
  return (lines ?? []).filter((line) => line.what === what).map(({ atMs }) => atMs);
}
