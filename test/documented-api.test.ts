/** docs/openapi.json as a judge, and what of it no single call shows. */
import { describe, expect, it } from 'vitest';

import {
  checkStated,
  defaultSettings,
  resolveSettings,
  showSettings,
} from '../src/spec/settings/settings.ts';
import { readExamples } from './support/api-examples.ts';
import { DocumentedApi } from './support/documented-api.ts';

const api = new DocumentedApi();

function answer(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = { 'content-type': 'application/json; charset=utf-8' },
) {
  return { status, headers: new Map(Object.entries(headers)), body: Buffer.from(JSON.stringify(body)) };
}

describe('docs/api.md', () => {
  it('has an example of every operation, and of no other', () => {
    const named = readExamples().examples.map(({ operation }) => operation);
    expect([...new Set(named)].sort()).toEqual([...api.operations.keys()].sort());
  });
});

describe('the OpenAPI document as a judge', () => {
  const version = { version: '1', name: 'n1', node_version: 'v24.0.0' };
  const problem = { type: 'about:blank', title: 'Not Found', status: 404, detail: 'no', code: 'not_found' };
  const problemType = { 'content-type': 'application/problem+json' };

  it('accepts what is as documented', () => {
    expect(api.faultsOfAnswer('getVersion', answer(200, version))).toEqual([]);
    expect(api.faultsOfAnswer('getTask', answer(404, problem, problemType))).toEqual([]);
  });

  it.each([
    ['a field that is not documented', answer(200, { ...version, nope: 1 }), 'additional properties'],
    ['a field that is missing', answer(200, { version: '1', name: 'n1' }), 'node_version'],
    ['null where it is not documented', answer(200, { ...version, name: null }), '/name: must be string'],
    ['a status that is not documented', answer(202, version), '202 is not documented'],
    ['another type', answer(200, version, { 'content-type': 'text/html' }), 'text/html is not documented'],
  ])('finds %s', (_, given, fault) => {
    expect(api.faultsOfAnswer('getVersion', given).join()).toContain(fault);
  });

  it('finds a Location that leads elsewhere', () => {
    const made = { batch_id: 'batch-1', tasks: [] };
    const json = 'application/json';
    const located = (location: string) => answer(201, made, { 'content-type': json, location });
    expect(api.faultsOfAnswer('submitBatch', located('/batches/batch-1'))).toEqual([]);
    expect(api.faultsOfAnswer('submitBatch', located('/batches/undefined'))).toHaveLength(1);
    expect(api.faultsOfAnswer('submitBatch', answer(201, made, { 'content-type': json }))).toHaveLength(1);
  });

  it.each([
    ['another method', { method: 'PUT' }, 'PUT /tasks is not GET /tasks'],
    ['another path', { url: new URL('http://n1/dags') }, 'GET /dags is not GET /tasks'],
    ['an unknown parameter', { url: new URL('http://n1/tasks?nope=1') }, 'nope is not documented'],
    ['a value that is not allowed', { url: new URL('http://n1/tasks?limit=0') }, 'must be >= 1'],
    ['a parameter that is given twice', { url: new URL('http://n1/tasks?node=a&node=b') }, 'given once'],
    ['a body where there is none', { body: '{}' }, 'no body is documented'],
  ])('finds %s in a request', (_, wrong, fault) => {
    const right = { method: 'GET', url: new URL('http://n1/tasks?limit=9&status=A&status=B'), body: null };
    const request = { ...right, headers: new Map<string, string>(), output: null };
    expect(api.faultsOfRequest('listTasks', request)).toEqual([]);
    expect(api.faultsOfRequest('listTasks', { ...request, ...wrong }).join()).toContain(fault);
  });

  it('knows every setting of the cluster, as it is stated and as it is shown', () => {
    const rule = { metric: 'queue_depth', threshold: 9, cooldown: '5m', count: 2 };
    const capacity = { cpu: '500m', memory: '1Gi' };
    const stated = {
      heartbeat: { interval: '2s', warning: 10, timeout: '30s' },
      membership: { voters: 3, learners: 20, voter_grace: '5m' },
      retention: { tasks: '7d', max_tasks: 10, events: '24h', logs: '7d', max_log_bytes: '10Gi' },
      retry_policy: { max_attempts: 3, backoff_strategy: 'fixed', backoff_base: 2, retryable_errors: ['A'] },
      scheduling: { policy: 'binpack' },
      autoscaling: {
        enabled: true,
        scale_up_rules: [rule],
        scale_down_rules: [{ ...rule, action: 'remove_nodes' }],
        provider: 'docker',
        process: { capacity },
        docker: { image: 'jarvis:1', capacity: { cpu: 2 } },
        aws: { region: 'eu-central-1', instance_type: 't3.small' },
        command: { add: ['add-node'], remove: ['remove-node'], list: ['list-nodes'] },
      },
      alerts: { webhooks: [{ url: 'https://alerts.example.com/', events: ['node.offline'], secret: 's' }] },
    };
    expect(api.faultsOfComponent('SettingsChange', stated)).toEqual([]);
    for (const [block, fields] of Object.entries(stated))
      expect(api.faultsOfComponent('SettingsChange', { [block]: { ...fields, nope: 1 } })).not.toEqual([]);
    const result = checkStated(stated);
    if (result.type === 'invalid') throw new Error(JSON.stringify(result.faults));
    const defaults = defaultSettings(3);
    for (const said of [result.stated, {}]) {
      const { settings, faults } = resolveSettings(said, defaults, defaults);
      expect(faults).toEqual([]);
      expect(
        api.faultsOfComponent('Settings', { ...showSettings(settings), settling_timeout: null }),
      ).toEqual([]);
    }
  });
});
