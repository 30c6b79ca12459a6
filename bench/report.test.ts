import { describe, expect, it } from 'vitest';

import type { Result } from './benchmark.ts';
import { jsonOf, tableOf } from './report.ts';

const results: readonly Result[] = [
  { name: 'process', unit: 'tasks/s', median: 450.5, spread: 12, ceiling: 700, ratio: 0.6436, goal: 0.6 },
  { name: 'docker latency', unit: 'ms', median: 230, spread: 9.5, ceiling: 150, ratio: 0.6522, goal: 0.8696 },
];

describe('the report', () => {
  it('is a table that says which goals are reached', () => {
    expect(tableOf(results)).toBe(
      [
        'BENCHMARK        MEDIAN   SPREAD   CEILING   UNIT      RATIO   GOAL    REACHED',
        'process          450.5    12       700       tasks/s   0.644   0.600   yes',
        'docker latency   230      9.5      150       ms        0.652   0.870   no',
      ].join('\n'),
    );
  });

  it('is a list of the same in JSON', () => {
    expect(JSON.parse(jsonOf(results))).toEqual(results);
    expect(Object.keys((JSON.parse(jsonOf(results)) as object[])[0] ?? {})).toEqual([
      'name',
      'unit',
      'median',
      'spread',
      'ceiling',
      'ratio',
      'goal',
    ]);
  });
});
