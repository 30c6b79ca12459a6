import { describe, expect, it } from 'vitest';

import { checkTaskSpec, parseTaskSpec } from './task-schema.ts';
import { formatPath } from './faults.ts';
import { readSpecFile } from './spec-file.ts';

const IN_A = { key: 'zone', operator: 'in', values: ['a'] };

function faultsOf(fields: object): Record<string, string> {
  const result = checkTaskSpec({ command: ['a'], ...fields });
  if (result.type === 'valid') return {};
  return Object.fromEntries(result.faults.map(({ path, message }) => [formatPath(path), message]));
}

describe('where and when a task may run', () => {
  it('is read in full', async () => {
    const { tasks } = await readSpecFile(
      `command: [a]
not_before: 2026-12-01T00:00:00Z
concurrency: {key: db, max: 3}
affinity:
  required:  [{key: zone, operator: in, values: [a, b]}]
  preferred: [{key: ssd, operator: exists, weight: 20}, {key: old, operator: not_exists}]
  anti: [{batch: self}, {labels: {team: data, app: x}}]
locality: {near: [zone=a, {task: extract}]}
`,
      'task.yaml',
    );
    expect(tasks[0]?.spec).toMatchObject({
      notBeforeMs: Date.UTC(2026, 11, 1),
      concurrency: { key: 'db', max: 3 },
      affinity: {
        required: [{ key: 'zone', operator: 'in', values: ['a', 'b'] }],
        preferred: [
          { key: 'ssd', operator: 'exists', values: [], weight: 20 },
          { key: 'old', operator: 'not_exists', values: [], weight: 50 },
        ],
        anti: [
          { batch: 'self', labels: null },
          {
            batch: null,
            labels: [
              ['app', 'x'],
              ['team', 'data'],
            ],
          },
        ],
      },
      locality: {
        near: [
          { place: { key: 'zone', value: 'a' }, task: null },
          { place: null, task: 'extract' },
        ],
      },
    });
  });

  it('is absent where nothing is asked', () => {
    const plain = parseTaskSpec({ command: ['a'] });
    expect(parseTaskSpec({ command: ['a'], affinity: {}, locality: { near: [] } })).toEqual(plain);
    expect(parseTaskSpec({ command: ['a'], affinity: null, not_before: null })).toEqual(plain);
    expect(Object.keys(plain)).not.toContain('affinity');
  });

  it.each([
    [{ not_before: '2026-12-01' }, 'not_before'],
    [{ not_before: '2026-02-30T00:00:00Z' }, 'not_before'],
    [{ not_before: '2026-13-01T00:00:00Z' }, 'not_before'],
    [{ not_before: '1969-12-31T23:59:59Z' }, 'not_before'],
    [{ not_before: 1_700_000_000 }, 'not_before'],
    [{ concurrency: 'db' }, 'concurrency'],
    [{ concurrency: { key: 'a b', max: 1 } }, 'concurrency.key'],
    [{ concurrency: { key: 'db' } }, 'concurrency.max'],
    [{ concurrency: { key: 'db', max: 0 } }, 'concurrency.max'],
    [{ concurrency: { key: 'db', max: 1.5 } }, 'concurrency.max'],
    [{ concurrency: { key: 'db', max: Number.NaN } }, 'concurrency.max'],
    [{ concurrency: { key: 'db', max: 1e9 } }, 'concurrency.max'],
    [{ affinity: [] }, 'affinity'],
    [{ affinity: { require: [] } }, 'affinity.require'],
    [{ affinity: { required: [{ ...IN_A, operator: 'is' }] } }, 'affinity.required[0].operator'],
    [{ affinity: { required: [IN_A, { ...IN_A, values: [] }] } }, 'affinity.required[1].values'],
    [{ affinity: { required: [{ ...IN_A, operator: 'exists' }] } }, 'affinity.required[0].values'],
    [{ affinity: { required: [{ ...IN_A, values: [1] }] } }, 'affinity.required[0].values[0]'],
    [{ affinity: { required: [{ ...IN_A, weight: 1 }] } }, 'affinity.required[0].weight'],
    [{ affinity: { required: Array.from({ length: 33 }, () => IN_A) } }, 'affinity.required'],
    [{ affinity: { preferred: [{ ...IN_A, weight: 0 }] } }, 'affinity.preferred[0].weight'],
    [{ affinity: { preferred: [{ ...IN_A, weight: -101 }] } }, 'affinity.preferred[0].weight'],
    [{ affinity: { anti: [{}] } }, 'affinity.anti[0]'],
    [{ affinity: { anti: [{ batch: 'self', labels: { a: 'b' } }] } }, 'affinity.anti[0]'],
    [{ affinity: { anti: [{ batch: 'other' }] } }, 'affinity.anti[0].batch'],
    [{ locality: {} }, 'locality.near'],
    [{ locality: { near: ['team=a'] } }, 'locality.near[0]'],
    [{ locality: { near: ['zone='] } }, 'locality.near[0]'],
    [{ locality: { near: ['node=a b'] } }, 'locality.near[0]'],
    [{ locality: { near: [7] } }, 'locality.near[0]'],
    [{ locality: { near: [{ task: 'a b' }] } }, 'locality.near[0].task'],
    [{ locality: { near: [{ tsk: 'a', task: 'b' }] } }, 'locality.near[0].tsk'],
  ])('is refused where it is wrong: %j', (fields, path) => {
    expect(Object.keys(faultsOf(fields))).toEqual([path]);
  });

  it('says what is allowed', () => {
    expect(faultsOf({ affinity: { required: [{ ...IN_A, operator: 'inn' }] } })).toEqual({
      'affinity.required[0].operator': expect.stringMatching(
        /in, not_in, exists, not_exists.*did you mean in/,
      ),
    });
    expect(faultsOf({ locality: { near: ['rak=1'] } })['locality.near[0]']).toContain(
      'region, zone, rack, node',
    );
  });
});
