import { describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { checkTaskSpec, parseTaskSpec } from './task-schema.ts';

/** Path and message of each fault of the spec. */
function faultsOf(plain: unknown): Record<string, string> {
  try {
    parseTaskSpec(plain);
  } catch (error) {
    if (!(error instanceof JarvisError)) throw error;
    return Object.fromEntries(error.faults.map((fault) => [fault.path, fault.message]));
  }
  return {};
}

describe('a task spec', () => {
  it('gets every default', () => {
    expect(parseTaskSpec({ command: ['/usr/bin/python3', 'x.py'] })).toEqual({
      name: 'python3',
      container: null,
      user: null,
      command: ['/usr/bin/python3', 'x.py'],
      env: [],
      workingDir: null,
      resources: { cpuMillis: 100, memoryBytes: 64 * 1024 * 1024 },
      limits: { cpuMillis: null, memoryBytes: null, pids: null },
      priority: 'normal',
      timeoutMs: null,
      stopGraceMs: 10_000,
      retryPolicy: {
        maxAttempts: 3,
        backoffStrategy: 'exponential',
        backoffBase: 2,
        maxBackoff: 300,
        retryableErrors: ['ConnectionTimeout', 'ServiceUnavailable', 'TemporaryFailure'],
        nonRetryableErrors: ['InvalidInput', 'AuthenticationError', 'ResourceNotFound'],
      },
      onNodeLoss: 'reschedule',
      labels: [],
    });
  });

  it('is read in full', () => {
    const spec = parseTaskSpec({
      apiVersion: 'jarvis/v1',
      kind: 'Task',
      name: 'job',
      command: ['run', ''],
      env: { B: '2', A: '1' },
      working_dir: '/data',
      resources: { cpu: '1500m', memory: '1Gi' },
      priority: 'critical',
      timeout: '1h',
      stop_grace: 0,
      retry_policy: { max_attempts: 1, backoff_strategy: 'fixed', non_retryable_errors: [] },
      labels: { team: 'data' },
    });
    expect(spec).toMatchObject({
      name: 'job',
      env: [
        ['A', '1'],
        ['B', '2'],
      ],
      workingDir: '/data',
      resources: { cpuMillis: 1500, memoryBytes: 1024 ** 3 },
      priority: 'critical',
      timeoutMs: 3_600_000,
      stopGraceMs: 0,
      labels: [['team', 'data']],
    });
    expect(spec.retryPolicy).toMatchObject({ maxAttempts: 1, backoffBase: 2, nonRetryableErrors: [] });
  });

  it('takes null for absent, and numbers for quantities', () => {
    const spec = parseTaskSpec({ command: ['a'], timeout: null, resources: { cpu: 0.5, memory: 1024 } });
    expect(spec).toMatchObject({ timeoutMs: null, resources: { cpuMillis: 500, memoryBytes: 1024 } });
  });

  it.each([
    ['/opt/a b/my tool!', 'my-tool-'],
    ['./-x', 'x'],
    ['///', 'task'],
  ])('makes a name out of %s', (program, name) => {
    expect(parseTaskSpec({ command: [program] }).name).toBe(name);
  });

  it('refuses unknown fields, with what may have been meant', () => {
    const faults = faultsOf({ command: ['a'], nmae: 'x', resources: { cpus: 1 }, retry_policy: { zzz: 1 } });
    expect(Object.keys(faults)).toEqual(
      expect.arrayContaining(['nmae', 'resources.cpus', 'retry_policy.zzz']),
    );
    expect(faults['nmae']).toContain('did you mean name?');
    expect(faults['resources.cpus']).toContain('did you mean cpu?');
    expect(faults['retry_policy.zzz']).toContain('known: max_attempts');
    expect(faults['retry_policy.zzz']).not.toContain('did you mean');
  });

  it('says that pids of resources are not supported yet', () => {
    const resources = { pids: 5 };
    expect(faultsOf({ command: ['a'], resources })).toEqual({
      'resources.pids': 'not supported by this version',
    });
  });

  it.each(['template', 'count', 'dependencies'])('refuses %s, which is for batches and DAGs', (field) => {
    expect(faultsOf({ command: ['a'], [field]: {} })[field]).toContain('unknown field');
  });

  it.each(['reschedule', 'fail', 'wait'] as const)('takes %s for on_node_loss', (onNodeLoss) => {
    expect(parseTaskSpec({ command: ['a'], on_node_loss: onNodeLoss }).onNodeLoss).toBe(onNodeLoss);
    expect(parseTaskSpec({ command: ['a'] }).onNodeLoss).toBe('reschedule');
  });

  it.each([
    [{ name: '-x' }, 'name'],
    [{ name: 'a'.repeat(129) }, 'name'],
    [{ name: 7 }, 'name'],
    [{ command: [] }, 'command'],
    [{ command: 'echo hi' }, 'command'],
    [{ command: [''] }, 'command[0]'],
    [{ command: ['a', 1] }, 'command[1]'],
    [{ command: ['a', 'b\0c'] }, 'command[1]'],
    [{ env: { '1A': 'x' } }, 'env["1A"]'],
    [{ env: { A: 8080 } }, 'env.A'],
    [{ env: { A: 'x\0' } }, 'env.A'],
    [{ env: { A: { sensitive: true } } }, 'env.A.value'],
    [{ env: { A: {} } }, 'env.A.value'],
    [{ env: { A: { value: 1, sensitive: true } } }, 'env.A.value'],
    [{ env: { A: { value: 'x\0', sensitive: true } } }, 'env.A.value'],
    [{ env: { A: { value: 'x', sensitive: 'yes' } } }, 'env.A.sensitive'],
    [{ env: { A: { value: 'x', secret: true } } }, 'env.A.secret'],
    [{ env: { A: { value: 'x'.repeat(1024 * 1024), sensitive: true } } }, 'env'],
    [{ env: { A: 'x'.repeat(1024 * 1024) } }, 'env'],
    [{ env: ['A=1'] }, 'env'],
    [{ working_dir: 'data' }, 'working_dir'],
    [{ resources: { cpu: '12x' } }, 'resources.cpu'],
    [{ resources: { cpu: 0 } }, 'resources.cpu'],
    [{ resources: { memory: '-1' } }, 'resources.memory'],
    [{ resources: { memory: true } }, 'resources.memory'],
    [{ priority: 'urgent' }, 'priority'],
    [{ timeout: 0 }, 'timeout'],
    [{ timeout: '25d' }, 'timeout'],
    [{ stop_grace: '2h' }, 'stop_grace'],
    [{ retry_policy: { max_attempts: 0 } }, 'retry_policy.max_attempts'],
    [{ retry_policy: { max_attempts: 1.5 } }, 'retry_policy.max_attempts'],
    [{ retry_policy: { backoff_base: '2' } }, 'retry_policy.backoff_base'],
    [{ retry_policy: { retryable_errors: ['a\ud800'] } }, 'retry_policy.retryable_errors[0]'],
    [{ on_node_loss: 'never' }, 'on_node_loss'],
    [{ on_node_loss: true }, 'on_node_loss'],
    [{ labels: { 'a b': 'c' } }, 'labels["a b"]'],
    [{ labels: { a: 1 } }, 'labels.a'],
    [{ kind: 'Batch' }, 'kind'],
    [{ kind: 'Job' }, 'kind'],
    [{ apiVersion: 'v1' }, 'apiVersion'],
  ])('refuses %j', (fields, path) => {
    expect(Object.keys(faultsOf({ command: ['a'], ...fields }))).toEqual([path]);
  });

  it.each([null, 7, 'x', []])('refuses %j as a whole', (plain) => {
    expect(checkTaskSpec(plain)).toMatchObject({ type: 'invalid', faults: [{ path: [] }] });
  });

  it('names all faults at once, each with the value and what is allowed', () => {
    const faults = faultsOf({ resources: { cpu: 'lots' }, priority: 'hihg', on_node_loss: 'wiat' });
    expect(faults).toEqual({
      command: expect.stringContaining('required'),
      'resources.cpu': expect.stringMatching(/"lots".*500m/),
      priority: expect.stringMatching(/"hihg".*critical, high, normal, low.*did you mean high/),
      on_node_loss: expect.stringMatching(/"wiat".*reschedule, fail, wait.*did you mean wait/),
    });
  });

  it('quotes values without what could move a cursor, and shortens them', () => {
    const message = faultsOf({ command: ['a'], name: `\u001b[2J${'x'.repeat(10_000)}` })['name'] ?? '';
    expect(message).not.toContain('\u001b');
    expect(message.length).toBeLessThan(300);
  });
});

describe('a sensitive variable', () => {
  it('is kept beside the others, with its name noted', () => {
    const env = {
      B: { value: 'b', sensitive: true },
      A: 'a',
      C: { value: 'c' },
      D: { value: 'd', sensitive: false },
    };
    const { env: pairs, sensitiveEnv } = parseTaskSpec({ command: ['a'], env });
    expect(pairs).toEqual([
      ['A', 'a'],
      ['B', 'b'],
      ['C', 'c'],
      ['D', 'd'],
    ]);
    expect(sensitiveEnv).toEqual(['B']);
    expect(parseTaskSpec({ command: ['a'], env: { A: 'a' } })).not.toHaveProperty('sensitiveEnv');
  });

  it.each([
    { value: 4_711_747, sensitive: true },
    { value: ['4711747'], sensitive: true },
    { value: '4711747', sensitive: 4_711_747 },
    { value: '4711747', sensitve: true },
    { value: '4711747\0', sensitive: true },
    { value: '4711747\uD800', sensitive: true },
  ])('is not repeated where it is wrong: %j', (entry) => {
    const result = checkTaskSpec({ command: ['a'], env: { PIN: entry } });
    expect(result.type).toBe('invalid');
    expect(JSON.stringify(result)).not.toContain('4711747');
  });

  it('whose value was not shown is not taken for an empty one', () => {
    expect(() => parseTaskSpec({ command: ['a'], env: { PIN: { sensitive: true } } })).toThrow(
      'env.PIN.value: is required: the values of sensitive variables are never shown',
    );
  });
});
