/** What must hold after each power cut; pure. */
import { FINAL_STATUSES, type TaskJson } from '../support/api.ts';
import type { Acknowledged, Sighting } from './writers.ts';

export interface PowerEvidence {
  /** Of all rounds so far. */
  readonly acknowledged: readonly Acknowledged[];
  readonly sightings: ReadonlyMap<string, Sighting>;
  /** By node: all small tasks, and the large ones of this round, as it shows them. */
  readonly shown: ReadonlyMap<string, readonly TaskJson[]>;
  /** The large tasks that were looked at. */
  readonly looked: ReadonlySet<string>;
}

/** @returns one line for each breach of a promise */
export function faultsOf(evidence: PowerEvidence): readonly string[] {
  return [...evidence.shown].flatMap(([node, tasks]) => [
    ...lost(evidence, tasks).map((fault) => `${node}: ${fault}`),
    ...doubled(tasks).map((fault) => `${node}: ${fault}`),
    ...changed(evidence, tasks).map((fault) => `${node}: ${fault}`),
    ...open(tasks).map((fault) => `${node}: ${fault}`),
  ]);
}

/** Promise 1: an acknowledged submit is there, under the id that was given. */
function lost({ acknowledged, looked }: PowerEvidence, tasks: readonly TaskJson[]): readonly string[] {
  const ids = new Set(tasks.map(({ id }) => id));
  return acknowledged
    .filter(({ id, size }) => !ids.has(id) && (size === 'small' || looked.has(id)))
    .map(({ id, key, round }) => `${id} (${key}) was acknowledged in round ${round} and is gone`);
}

/** Promise 2: one key, one task; each is named by its key. */
function doubled(tasks: readonly TaskJson[]): readonly string[] {
  return [...Map.groupBy(tasks, ({ name }) => name)]
    .filter(([, same]) => same.length > 1)
    .map(([name, same]) => `${name} is ${same.length} tasks: ${same.map(({ id }) => id).join(', ')}`);
}

/** Promises 1 and 3: a status that was told stays, and so does the number of attempts. */
function changed({ sightings }: PowerEvidence, tasks: readonly TaskJson[]): readonly string[] {
  return tasks.flatMap(({ id, status, attempt }) => {
    const seen = sightings.get(id);
    if (seen === undefined || (seen.status === status && seen.attempt === attempt)) return [];
    return [
      `${id} was ${seen.status} after attempt ${seen.attempt}, and is ${status} after attempt ${attempt}`,
    ];
  });
}

/** Promise 3: everything becomes final; here each can only complete. */
function open(tasks: readonly TaskJson[]): readonly string[] {
  return tasks
    .filter(({ status }) => !FINAL_STATUSES.has(status) || status !== 'COMPLETED')
    .map(({ id, status, status_reason: reason }) => `${id} is ${status}: ${reason ?? ''}`);
}
