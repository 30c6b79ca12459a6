/** Tasks, batches and DAGs as users write them: mostly right, the edges included; sometimes anything. */
import * as fc from 'fast-check';

/** Mostly what may stand there, the edges included; sometimes anything. */
function mostly(...values: readonly unknown[]): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom(...values) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<unknown>(
        NaN,
        -1,
        0,
        1e300,
        '',
        '-1',
        'NaN',
        '\0',
        {},
        [],
        true,
        '__proto__',
      ),
    },
  );
}

const cpu = mostly('100m', 1, 0.5, '3500m', 1_000_000, null);
const memory = mostly('64Mi', 16_777_216, '1Gi', 2 ** 52, null);
const text = mostly('a', 'x'.repeat(128), 'é', 'a b', 'constructor');
const texts = fc.array(text, { maxLength: 2 });
const labels = fc.dictionary(fc.constantFrom('team', 'zone', '1', '07', 'toString'), text, { maxKeys: 3 });
const key = mostly('zone', '1', 'constructor');
const rule = fc.oneof(
  fc.record({
    key,
    operator: fc.constantFrom('in', 'not_in'),
    values: fc.array(text, { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ key, operator: fc.constantFrom('exists', 'not_exists') }),
);
const weighted = fc.tuple(rule, mostly(1, -100, 100)).map(([one, weight]) => ({ ...one, weight }));
const anti = mostly({ batch: 'self' }, { labels: { team: 'a' } });
const part = { requiredKeys: [] };
const fields = {
  name: mostly('a', '0', 'constructor', 'x'.repeat(128)),
  command: mostly(['true'], ['sh', '-c', 'x'], ['a', '']),
  env: fc.dictionary(
    fc.constantFrom('A', '_', 'PATH', 'constructor'),
    fc.oneof(text, fc.record({ value: text, sensitive: fc.boolean() })),
    { maxKeys: 3 },
  ),
  resources: fc.record({ cpu, memory }, part),
  limits: fc.record({ pids: mostly(1, 500, 4_194_304) }, part),
  priority: mostly('critical', 'high', 'normal', 'low'),
  timeout: mostly(1, '24d', '5m', 0.5, null),
  stop_grace: mostly(0, '1h', '10s'),
  not_before: mostly(null, '2026-12-01T00:00:00Z', '9999-12-31T23:59:59Z', '1970-01-01T00:00:00Z'),
  concurrency: mostly({ key: 'db', max: 1 }, { key: 'constructor', max: 1_000_000 }, null),
  retry_policy: fc.record(
    {
      max_attempts: mostly(1, 2, 100),
      backoff_strategy: mostly('fixed', 'exponential'),
      backoff_base: mostly(0.001, 2, 604_800, 0),
      max_backoff: mostly(0, 300, 604_800),
      retryable_errors: texts,
    },
    part,
  ),
  affinity: fc.record(
    {
      required: fc.array(rule, { maxLength: 1 }),
      preferred: fc.array(weighted, { maxLength: 2 }),
      anti: fc.array(anti, { maxLength: 2 }),
    },
    part,
  ),
  locality: mostly(
    null,
    { near: ['zone=a'] },
    { near: [{ task: 'constructor' }] },
    { near: ['node=n1', { task: 'a' }] },
  ),
  labels,
  on_node_loss: mostly('reschedule', 'fail', 'wait'),
};
export const plainTask = fc.record(fields, { requiredKeys: ['command'] });
const bounds = {
  max_parallel: mostly(null, 1, 1_000_000),
  max_failures: mostly(null, 0, 5),
};
export const plainBatch = fc.oneof(
  fc.record(
    { ...bounds, tasks: fc.array(plainTask, { minLength: 1, maxLength: 4 }) },
    { requiredKeys: ['tasks'] },
  ),
  fc.record({ ...bounds, template: plainTask, count: mostly(1, 7) }, { requiredKeys: ['template', 'count'] }),
);
export const plainDag = fc.record(
  {
    ...bounds,
    name: mostly('etl', 'constructor'),
    tasks: fc.array(
      fc
        .tuple(
          plainTask,
          fc.constantFrom('a', 'b', 'c', 'constructor', '1'),
          fc.array(fc.constantFrom('a', 'b', '1'), { maxLength: 2 }),
        )
        .map(([one, id, dependencies]) => ({ ...one, id, dependencies })),
      { minLength: 1, maxLength: 4 },
    ),
  },
  { requiredKeys: ['name', 'tasks'] },
);
