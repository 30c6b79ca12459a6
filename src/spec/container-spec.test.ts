import { describe, expect, it } from 'vitest';

import { checkTaskSpec, parseTaskSpec } from './task-schema.ts';
import { formatPath } from './faults.ts';

const MIB = 1024 * 1024;

/** Path and message of each fault of a task with an image. */
function faultsOf(plain: object): Record<string, string> {
  const result = checkTaskSpec({ image: 'python:3.9', ...plain });
  if (result.type === 'valid') return {};
  return Object.fromEntries(result.faults.map(({ path, message }) => [formatPath(path), message]));
}

function mountOf(changes: object): object {
  return { mounts: [{ source: '/srv/data', target: '/data', ...changes }] };
}

describe('a task that is an image', () => {
  it('needs nothing but the image', () => {
    expect(parseTaskSpec({ image: 'registry.example.com:5000/team/my_app:1.2' })).toMatchObject({
      name: 'my_app',
      container: {
        image: 'registry.example.com:5000/team/my_app:1.2',
        user: null,
        mounts: [],
        network: 'bridge',
        pullPolicy: 'if_not_present',
      },
      command: [],
      resources: { cpuMillis: 100, memoryBytes: 64 * MIB },
      limits: { cpuMillis: null, memoryBytes: null, pids: null },
    });
  });

  it('is read in full', () => {
    const spec = parseTaskSpec({
      image: 'python:3.9',
      command: ['python', '-c', 'pass'],
      env: { KEY: 'two\nlines' },
      user: 1000,
      mounts: [
        { source: '/srv/data', target: '/data', read_only: true },
        { source: '/', target: '/host' },
      ],
      network: 'none',
      pull_policy: 'always',
      resources: { cpu: 1, memory: '512Mi' },
      limits: { cpu: 2, memory: '1Gi', pids: 500 },
    });
    expect(spec).toMatchObject({
      name: 'python',
      command: ['python', '-c', 'pass'],
      env: [['KEY', 'two\nlines']],
      resources: { cpuMillis: 1000, memoryBytes: 512 * MIB },
      limits: { cpuMillis: 2000, memoryBytes: 1024 * MIB, pids: 500 },
    });
    expect(spec.container).toEqual({
      image: 'python:3.9',
      user: '1000',
      mounts: [
        { source: '/srv/data', target: '/data', readOnly: true },
        { source: '/', target: '/host', readOnly: false },
      ],
      network: 'none',
      pullPolicy: 'always',
    });
  });

  it('sets no more aside than it may ever use', () => {
    const { resources } = parseTaskSpec({ image: 'a', limits: { cpu: '50m', memory: '16Mi' } });
    expect(resources).toEqual({ cpuMillis: 50, memoryBytes: 16 * MIB });
    expect(parseTaskSpec({ image: 'a', limits: { cpu: 4, memory: '1Gi' } }).resources).toEqual({
      cpuMillis: 100,
      memoryBytes: 64 * MIB,
    });
  });

  it('may not ask for more than its limit', () => {
    const limits = { cpu: 1, memory: '1Gi' };
    expect(faultsOf({ resources: { cpu: '1500m', memory: '1Gi' }, limits })).toEqual({
      'resources.cpu': '"1500m" is above limits.cpu, 1: at most that',
    });
    // Also where something else is wrong.
    expect(faultsOf({ resources: { cpu: 1, memory: '2Gi' }, limits, priority: 'x' })).toEqual({
      'resources.memory': '"2Gi" is above limits.memory, "1Gi": at most that',
      priority: expect.anything(),
    });
  });

  it.each(['1000:1000', 'www-data', 'www-data:www-data', '0', '1000:staff', '_apt', 'a.b'])(
    'takes %s for a user',
    (user) => {
      expect(parseTaskSpec({ image: 'a', user }).container?.user).toBe(user);
    },
  );

  it.each([
    [{ image: '' }, 'image'],
    [{ image: 'Python' }, 'image'],
    [{ image: 'a b' }, 'image'],
    [{ image: ['a'] }, 'image'],
    [{ command: [''] }, 'command[0]'],
    [{ user: '' }, 'user'],
    [{ user: ':1' }, 'user'],
    [{ user: '1:2:3' }, 'user'],
    [{ user: '-1' }, 'user'],
    [{ user: 1.5 }, 'user'],
    [{ user: '2147483648' }, 'user'],
    [{ user: `a${'b'.repeat(64)}` }, 'user'],
    [{ user: 'a b' }, 'user'],
    [{ mounts: {} }, 'mounts'],
    [{ mounts: ['/a:/b'] }, 'mounts[0]'],
    [mountOf({ source: undefined }), 'mounts[0].source'],
    [mountOf({ source: 'data' }), 'mounts[0].source'],
    [mountOf({ source: '/a/../b' }), 'mounts[0].source'],
    [mountOf({ source: '/a/./b' }), 'mounts[0].source'],
    [mountOf({ source: '/a//b' }), 'mounts[0].source'],
    [mountOf({ source: '/a/' }), 'mounts[0].source'],
    [mountOf({ source: '/a:b' }), 'mounts[0].source'],
    [mountOf({ source: '/a\0b' }), 'mounts[0].source'],
    [mountOf({ source: `/${'a'.repeat(4096)}` }), 'mounts[0].source'],
    [mountOf({ target: '/' }), 'mounts[0].target'],
    [mountOf({ target: '/run/jarvis' }), 'mounts[0].target'],
    [mountOf({ target: '/run/jarvis/x' }), 'mounts[0].target'],
    [mountOf({ target: 7 }), 'mounts[0].target'],
    [mountOf({ read_only: 'yes' }), 'mounts[0].read_only'],
    [mountOf({ readonly: true }), 'mounts[0].readonly'],
    [
      {
        mounts: [
          { source: '/a', target: '/x' },
          { source: '/b', target: '/x' },
        ],
      },
      'mounts[1].target',
    ],
    [{ mounts: Array.from({ length: 33 }, (_, at) => ({ source: '/a', target: `/${at}` })) }, 'mounts'],
    [{ network: 'container:x' }, 'network'],
    [{ pull_policy: 'sometimes' }, 'pull_policy'],
    [{ limits: { cpu: '9m' } }, 'limits.cpu'],
    [{ limits: { memory: '5Mi' } }, 'limits.memory'],
    [{ limits: { pids: 0 } }, 'limits.pids'],
    [{ limits: { pids: 4_194_305 } }, 'limits.pids'],
    [{ limits: { pids: '10' } }, 'limits.pids'],
    [{ limits: { disk: 1 } }, 'limits.disk'],
  ])('refuses %j', (fields, path) => {
    expect(Object.keys(faultsOf(fields))).toEqual([path]);
  });

  it('says what is given and what is allowed', () => {
    const faults = faultsOf({
      image: 'Python',
      network: 'hots',
      limits: { memory: '1Mi' },
      ...mountOf({ readonly: true, target: '/run/jarvis' }),
    });
    expect(faults).toMatchObject({
      image: expect.stringMatching(/^"Python" is no image: .*python:3\.9/),
      network: expect.stringMatching(/"hots".*bridge, none, host.*did you mean host/),
      'limits.memory': expect.stringMatching(/"1Mi".*at least 6Mi/),
      'mounts[0].readonly': expect.stringMatching(/did you mean read_only\?.*known: source, target/),
      'mounts[0].target': expect.stringMatching(/"\/run\/jarvis".*reserved/),
    });
  });
});

describe('a task without an image', () => {
  it('has no use for what is a container’s: one fault each, whatever else is wrong with it', () => {
    const { type, ...result } = checkTaskSpec({
      command: ['a'],
      mounts: [{ source: 'x' }],
      network: 'host',
      pull_policy: 'x',
    });
    const fields = ['mounts', 'network', 'pull_policy'];
    expect(type).toBe('invalid');
    expect(result).toEqual({
      faults: fields.map((field) => ({ path: [field], message: 'needs an image in this version' })),
    });
  });

  it('may be limited, and be another user’s', () => {
    const limits = { cpu: 2, memory: '1Gi', pids: 500 };
    expect(parseTaskSpec({ command: ['a'], user: 1000, limits })).toMatchObject({
      container: null,
      user: '1000',
      limits: { cpuMillis: 2000, memoryBytes: 1024 * MIB, pids: 500 },
    });
    expect(parseTaskSpec({ command: ['a'] })).toMatchObject({
      user: null,
      limits: { cpuMillis: null, memoryBytes: null, pids: null },
    });
    expect(faultsOf({ image: null, command: ['a'], user: '', limits: { cpu: 0 } })).toMatchObject({
      user: expect.stringContaining('"" is not allowed'),
      'limits.cpu': expect.any(String),
    });
    expect(faultsOf({ image: null, command: ['a'], resources: { cpu: 3 }, limits })).toEqual({
      'resources.cpu': '3 is above limits.cpu, 2: at most that',
    });
  });

  it('needs a command', () => {
    for (const plain of [{}, { command: null }, { command: [] }, { image: null }]) {
      expect(checkTaskSpec(plain)).toMatchObject({
        type: 'invalid',
        faults: [{ path: ['command'], message: expect.stringContaining('without an image') }],
      });
    }
  });

  it('may say of it that there is none', () => {
    const nothing = { image: null, user: null, mounts: [], network: null, pull_policy: null, limits: null };
    expect(parseTaskSpec({ command: ['a'], ...nothing })).toEqual(parseTaskSpec({ command: ['a'] }));
  });
});
