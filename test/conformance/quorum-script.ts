/** quorum/: the committed index and the result of a vote, of single and joint majorities. */
import { allVoters, jointCommitted, jointVote, type Majorities } from '../../src/raft/core/quorum.ts';
import { Arguments, type Directive } from './datadriven.ts';

export function runQuorum(directive: Directive): readonly string[] {
  const args = new Arguments(directive);
  // `cfgj=zero` makes it a joint quorum whose second half is empty, which changes nothing.
  const second = args.text('cfgj') === 'zero' ? [] : args.numberList('cfgj');
  const majorities: Majorities = { voters: args.numberList('cfg'), votersOutgoing: second };
  // The inputs are in the order of the voters: the first half's, then the second's without repeats.
  const order = [...new Set([...majorities.voters, ...majorities.votersOutgoing])];
  if (directive.name === 'vote') {
    const votes = args.list('votes') ?? [];
    const cast = new Map(order.map((id, at) => [id, votes[at]]));
    const result = jointVote(majorities, (id) => {
      const vote = cast.get(id);
      return vote === 'y' ? true : vote === 'n' ? false : undefined;
    });
    return [{ won: 'VoteWon', lost: 'VoteLost', pending: 'VotePending' }[result]];
  }
  const indexes = args.list('idx') ?? [];
  const acknowledged = new Map<number, number | undefined>(
    order.map((id, at) => [id, indexes[at] === '_' ? undefined : Number(indexes[at])]),
  );
  const committed = jointCommitted(majorities, (id) => acknowledged.get(id) ?? 0);
  const text = Number.isFinite(committed) ? String(committed) : '∞';
  const ids = allVoters(majorities);
  if (ids.length === 0) return [`<empty majority quorum>${text}`];
  return [...bars(ids, acknowledged), text];
}

/** One bar per voter: as long as there are voters that acknowledged less. */
function bars(
  ids: readonly number[],
  acknowledged: ReadonlyMap<number, number | undefined>,
): readonly string[] {
  const width = ids.length;
  const rows = ids.map((id) => {
    const index = acknowledged.get(id);
    const behind = ids.filter((other) => (acknowledged.get(other) ?? 0) < (index ?? 0)).length;
    const bar =
      index === undefined ? `?${' '.repeat(width)}` : `${'x'.repeat(behind)}>${' '.repeat(width - behind)}`;
    return `${bar} ${String(index ?? 0).padStart(5)}    (id=${id})`;
  });
  return [`${' '.repeat(width)}    idx`, ...rows];
}
