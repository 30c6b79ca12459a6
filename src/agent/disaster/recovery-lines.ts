/** What `jarvisd recover` says, for people: where what is left ends, and what may be lost behind it. */
import type { Done, RecoveryReport } from './recover.ts';

export function recoveryLines(report: RecoveryReport | Done, name: string): readonly string[] {
  if (!('done' in report))
    return [
      'An earlier recovery was not finished; what it had made has taken its place.',
      ...made(report, name),
    ];
  const { clusterId, members, log, stateIndex, done } = report;
  return [
    `Cluster ${clusterId} with the members ${members.join(', ')}.`,
    ...(log === null ? withoutLog(stateIndex, name) : withLog(log, stateIndex, name)),
    'Tasks that ran on nodes that do not come back are placed again; if those nodes still run, stop them first.',
    '',
    ...(done === null ? ['Nothing was changed. To make a new cluster of it, say --yes.'] : made(done, name)),
  ];
}

function withLog(log: NonNullable<RecoveryReport['log']>, stateIndex: number, name: string): string[] {
  const { lastIndex, lastTerm, commitIndex } = log;
  // Only what is committed is in the state.
  const committed = Math.max(commitIndex, stateIndex);
  const open = lastIndex - committed;
  const end = Math.max(lastIndex, stateIndex);
  return [
    `The log of ${name} ends at index ${lastIndex} (term ${lastTerm}); it knew of ${committed} as committed.`,
    ...(stateIndex > lastIndex
      ? [
          `The state goes further, to index ${stateIndex}, and is kept: the log is an older one, or has lost its end.`,
        ]
      : []),
    open > 0
      ? `What stands behind that (entries: ${open}) is kept: it may have been acknowledged to somebody, or not.`
      : 'Nothing of it is open.',
    `What others acknowledged behind index ${end}, and never reached ${name}, is lost: it cannot be told whether there was any.`,
  ];
}

function withoutLog(stateIndex: number, name: string): string[] {
  return [
    `The log of ${name} is damaged or gone, and is done without: the state ends at index ${stateIndex}, and so does the new cluster.`,
    `Everything that was acknowledged behind index ${stateIndex} is lost, by ${name} as well: as a rule the last 30 s, or 10,000 entries.`,
    'It cannot be told how much that is. The members are those of the newest snapshot file.',
  ];
}

function made({ clusterId, epoch, kept }: Done, name: string): string[] {
  return [
    `Made cluster ${clusterId}, epoch ${epoch}. What was there is in ${kept}.`,
    `Start ${name} as before, with itself alone in --peers; other nodes enter with blank data directories and --join.`,
  ];
}
