import { describe, expect, it } from 'vitest';

import { reportText, type Report } from './report.ts';

const PASSED: Report = {
  seed: 7,
  seconds: 30,
  passed: true,
  plant: null,
  workloads: ['tasks'],
  nemesis: ['kill'],
  judges: ['keys', 'order'],
  command: 'npm run chaos -- --seed 7',
  findings: [],
  counts: { acknowledged: 40 },
  inflicted: { kill: 3 },
  faults: [],
  tookMs: 41_000,
};

function failed(...judges: readonly string[]): Report {
  return { ...PASSED, passed: false, findings: judges.map((judge) => ({ judge, message: 'bad' })) };
}

describe('the report', () => {
  it('says what a run came to and how to have it again', () => {
    const text = reportText(PASSED);
    expect(text.split('\n')[0]).toBe('PASS seed 7');
    expect(text).toContain('again: npm run chaos -- --seed 7\n');
    expect(text).toContain('faults: kill 3\ncounts: acknowledged 40\n');
    expect(reportText(failed('keys'))).toContain('FAIL seed 7\n');
    expect(reportText(failed('keys'))).toContain('FAULT keys: bad');
  });

  it('shows the first findings and counts the others', () => {
    expect(reportText(failed(...Array.from({ length: 33 }, () => 'keys')))).toContain(
      'and 3 more, see report.json',
    );
  });

  it('says whether a plant was found by those who are to find it', () => {
    expect(reportText({ ...failed('keys', 'end'), plant: 'keys-ignored' })).toContain('caught by: keys\n');
    expect(reportText({ ...failed('end'), plant: 'keys-ignored' })).toContain('NOT caught by keys, ');
  });
});
