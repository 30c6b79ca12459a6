import { describe, expect, it } from 'vitest';

import { parseScript } from './datadriven.ts';
import { judgeScript, listScripts, locateScripts, runScript } from './suite.ts';

const { directory, isNamed } = locateScripts(process.env);
const scripts = listScripts(directory);

const reason = `there are no scripts at ${directory}; RAFT_CONFORMANCE_DIR names another directory`;
const isAbsent = scripts === null && !isNamed;
if (isAbsent) process.stdout.write(`skipped: ${reason}\n`);

describe.skipIf(isAbsent)('the public Raft scripts', () => {
  it('are there', () => {
    expect(scripts?.length ?? 0).toBeGreaterThan(0);
  });

  it.each(scripts ?? [])('agree: %s', (file) => {
    const { outcomeFaults, strictFaults } = runScript(directory, file);
    expect(outcomeFaults).toEqual([]);
    expect(strictFaults).toEqual([]);
  });
});

const SCENARIO = `# A comment.
add-nodes 1 voters=(1) index=3
----
INFO newRaft 1

campaign 1
----
ok

stabilize
----
> 1 handling Ready
  Ready MustSync=true:
  Lead:0 State:StateCandidate
  HardState Term:1 Vote:1 Commit:3
> 1 handling Ready
  Ready MustSync=true:
  Lead:1 State:StateLeader
  Entries:
  1/4 EntryNormal ""
> 1 handling Ready
  Ready MustSync=false:
  HardState Term:1 Vote:1 Commit:4
  CommittedEntries:
  1/4 EntryNormal ""
`;

describe('the judge', () => {
  it('passes what agrees', () => {
    expect(judgeScript('x', SCENARIO)).toMatchObject({ directives: 3, agreeing: 3, outcomeFaults: [] });
  });

  it.each([
    ['another role', 'Lead:1 State:StateLeader', 'Lead:1 State:StateFollower'],
    ['another commit index', 'Vote:1 Commit:4', 'Vote:1 Commit:5'],
    ['another log', '1/4 EntryNormal ""\n> 1', '1/4 EntryNormal "x"\n> 1'],
    ['another committed entry', 'CommittedEntries:\n  1/4', 'CommittedEntries:\n  1/5'],
  ])('fails the outcome for %s', (_, right, wrong) => {
    const result = judgeScript('x', SCENARIO.replace(right, wrong));
    expect(result.outcomeFaults).not.toEqual([]);
    expect(result.agreeing).toBe(2);
  });

  it('fails a file without directives, and one that does not parse', () => {
    expect(judgeScript('x', '# nothing\n').outcomeFaults).not.toEqual([]);
    expect(judgeScript('x', 'campaign 1\n').outcomeFaults).not.toEqual([]);
    expect(judgeScript('x', 'dance 1\n----\nok\n').outcomeFaults).not.toEqual([]);
  });

  it('tells a difference of messages from one of the outcome', () => {
    const result = judgeScript('x', SCENARIO.replace('MustSync=false', 'MustSync=true'));
    expect(result).toMatchObject({ agreeing: 2, outcomeFaults: [] });
  });
});

describe('the format', () => {
  it('has arguments with lists and blanks, input lines, and output with blank lines', () => {
    const [first, second] = parseScript(
      'do 1 a=(1, 2) b=x c=()\nin put\n----\nout\n\ndo 2\n----\n----\none\n\ntwo\n----\n----\n',
    );
    expect(first).toMatchObject({
      line: 1,
      name: 'do',
      arguments: [
        { key: '1', values: [] },
        { key: 'a', values: ['1', '2'] },
        { key: 'b', values: ['x'] },
        { key: 'c', values: [] },
      ],
      input: ['in put'],
      expected: ['out'],
    });
    expect(second).toMatchObject({ line: 6, name: 'do', expected: ['one', '', 'two'] });
  });
});
