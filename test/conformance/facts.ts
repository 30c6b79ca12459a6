/**
 * What the output of an interaction says about the nodes, apart from which messages carried it: roles, terms, leaders,
 * votes, commit indexes, logs, configurations, and the entries that were committed, in order. The expected and the
 * actual output are read by the same rules.
 */
export interface Facts {
  /** The newest value of each fact, such as `1 term`. */
  readonly values: Map<string, string>;
  /** By node: committed entries, in order. */
  readonly committed: Map<string, string[]>;
}

const LOG_LINE = /^(DEBUG|INFO|WARN|ERROR|FATAL)\b/;
const HEADER =
  /^> (\d+) (handling Ready|receiving messages|processing append thread|processing apply thread)$/;
const ENTRY = /^\d+\/(\d+) Entry/;

/** Without what the library logged; where nothing else is left, `ok`. */
export function withoutLog(lines: readonly string[]): readonly string[] {
  const rest = lines
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !LOG_LINE.test(line.trim()));
  return rest.length === 0 ? ['ok'] : rest;
}

/** @param node whom the lines before any header are about, where the directive names one */
export function readFacts(lines: readonly string[], node: string): Facts {
  const facts: Facts = { values: new Map(), committed: new Map() };
  let current = node;
  let section = '';
  for (const line of lines.map((text) => text.trim())) {
    const header = HEADER.exec(line);
    if (header?.[1] !== undefined) {
      current = header[1];
      section = '';
      continue;
    }
    if (/^(Entries|CommittedEntries|Messages|Responses|Processing):$/.test(line)) {
      section = line;
      continue;
    }
    const entry = ENTRY.exec(line);
    if (entry?.[1] !== undefined && section === 'Entries:')
      facts.values.set(`${current} log ${entry[1]}`, line);
    if (entry !== null && section === 'CommittedEntries:') {
      facts.committed.set(current, [...(facts.committed.get(current) ?? []), line]);
    }
    readLine(facts.values, current, line);
  }
  return facts;
}

function readLine(values: Map<string, string>, node: string, line: string): void {
  const soft = /^Lead:(\d+) State:(\w+)$/.exec(line);
  if (soft !== null) {
    values.set(`${node} leader`, soft[1] ?? '');
    values.set(`${node} role`, soft[2] ?? '');
  }
  const hard = /^HardState Term:(\d+)(?: Vote:(\d+))? Commit:(\d+)$/.exec(line);
  if (hard !== null) {
    values.set(`${node} term`, hard[1] ?? '');
    values.set(`${node} vote`, hard[2] ?? '0');
    values.set(`${node} commit`, hard[3] ?? '');
  }
  const state = /^(\d+): (State\w+) \(([\w-]+)\) Term:(\d+) Lead:(\d+)$/.exec(line);
  if (state !== null) {
    const id = state[1] ?? '';
    values.set(`${id} state`, line);
  }
  const snapshot = /^Snapshot (Index:.*)$/.exec(line);
  if (snapshot !== null) values.set(`${node} snapshot`, snapshot[1] ?? '');
  const configuration = /^INFO (\d+) switched to configuration (.*)$/.exec(line);
  if (configuration !== null) values.set(`${configuration[1]} configuration`, configuration[2] ?? '');
}
