import { expect, it } from 'vitest';

import { absent } from './absent.ts';

it.each([
  ['task', 'task-zzz', 'there is no task "task-zzz"'],
  ['task', 'dag-7k2m', 'there is no task "dag-7k2m"; ids of DAGs begin with dag-'],
  ['batch', 'task-7k2m', 'there is no batch "task-7k2m"; ids of tasks begin with task-'],
  ['task', 'hello', 'there is no task "hello"; tasks are asked for by their ids, which begin with task-'],
  [
    'batch',
    'nightly',
    'there is no batch "nightly"; batches are asked for by their ids, which begin with batch-',
  ],
  ['dag', 'etl', 'there is no dag "etl"'],
] as const)('of a %s, "%s": %s', (kind, text, message) => {
  expect(absent(kind, text)).toMatchObject({ code: 'not_found', message });
});
