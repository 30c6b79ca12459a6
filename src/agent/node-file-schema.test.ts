import { readFileSync } from 'node:fs';
import path from 'node:path';

import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';

import { batchSchemaOf, dagSchemaOf, taskSchema } from '../spec/json-schemas.ts';
import { CONFIG_KEYS } from './config-schema.ts';
import { parseConfig } from './config.ts';
import { nodeFileSchema } from './node-file-schema.ts';

const SCHEMAS = path.join(import.meta.dirname, '..', '..', 'schemas');
const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(
  nodeFileSchema(),
);
const LEAST = {
  name: 'n1',
  data_dir: '/var/lib/jarvis',
  listen: '127.0.0.1:7101',
  http: '127.0.0.1:8101',
  peers: { n1: '127.0.0.1:7101' },
};

function isTaken(settings: object): boolean {
  try {
    return parseConfig({ ...LEAST, ...settings }).name !== '';
  } catch {
    return false;
  }
}

describe('the JSON Schema of the file of a node', () => {
  it('knows every setting, and requires none: flags and variables have them too', () => {
    const { properties, required } = nodeFileSchema();
    expect(Object.keys(properties ?? {}).sort()).toEqual([...CONFIG_KEYS].sort());
    expect(required).toBeUndefined();
  });

  it.each([
    {},
    { heartbeat: { interval: 2, warning: '10s', timeout: 30 }, membership: { voters: 3, learners: 0 } },
    { retention: { tasks: '7d', max_tasks: 10, max_log_bytes: '10Gi' }, scheduling: { policy: 'binpack' } },
    { heartbeat: null, retry_policy: { max_attempts: 2, retryable_errors: ['A'] } },
    { autoscaling: { enabled: true, scale_up_rules: [{ metric: 'queue_depth', threshold: 1 }] } },
    { alerts: { webhooks: [{ url: 'https://a.example', events: ['node.offline'], secret: 's' }] } },
    { policy: { mounts: ['/srv', { source: '/a', read_only: true }], registries: { 'docker.io': null } } },
    { policy: { log_limits: { max_file_bytes: '1Mi', max_files: 3 } }, insecure: 'true', log_level: 'debug' },
  ])('takes what a node takes: %j', (settings) => {
    expect({ valid: validate(settings), errors: validate.errors }).toEqual({ valid: true, errors: null });
    expect(isTaken(settings)).toBe(true);
  });

  it.each([
    { hearbeat: {} },
    { heartbeat: { often: 1 } },
    { heartbeat: { interval: 'often' } },
    { membership: { voters: 2 } },
    { retention: { max_tasks: -1 } },
    { scheduling: { policy: 'pack' } },
    { autoscaling: { scale_up_rules: [{ metric: 'load', threshold: 1 }] } },
    { autoscaling: { provider: 'cloud' } },
    { alerts: { webhooks: [{ events: ['node.offline'] }] } },
    { alerts: { webhooks: [{ url: 'ftp://a' }] } },
    { policy: { mount: [] } },
    { policy: { log_limits: { max_files: 1 } } },
    { log_level: 'loud' },
  ])('refuses what a node refuses: %j', (settings) => {
    expect(validate(settings)).toBe(false);
    expect(isTaken(settings)).toBe(false);
  });

  it('is what is checked in, as those of tasks, batches and DAGs are', () => {
    const schemas = {
      task: taskSchema(),
      batch: batchSchemaOf(),
      dag: dagSchemaOf(),
      config: nodeFileSchema(),
    };
    for (const [name, schema] of Object.entries(schemas)) {
      const text = readFileSync(path.join(SCHEMAS, `${name}.json`), 'utf8');
      expect(JSON.parse(text), `${name}: run npm run schemas`).toEqual(JSON.parse(JSON.stringify(schema)));
    }
  });
});
