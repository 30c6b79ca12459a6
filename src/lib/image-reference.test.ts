import { describe, expect, it } from 'vitest';

import { canonicalImage, parseImageReference } from './image-reference.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe('parseImageReference', () => {
  it.each([
    ['python', 'docker.io', 'python', 'latest', null],
    ['python:3.9', 'docker.io', 'python', '3.9', null],
    ['team/app', 'docker.io', 'team/app', 'latest', null],
    ['localhost/app', 'localhost', 'localhost/app', 'latest', null],
    ['localhost:5000/team/app:1', 'localhost:5000', 'localhost:5000/team/app', '1', null],
    [
      'registry.example.com/a-b_c/d.e:V1',
      'registry.example.com',
      'registry.example.com/a-b_c/d.e',
      'V1',
      null,
    ],
    ['[::1]:5000/app', '[::1]:5000', '[::1]:5000/app', 'latest', null],
    [`app@${DIGEST}`, 'docker.io', 'app', null, DIGEST],
    [`localhost:5000/app:3@${DIGEST}`, 'localhost:5000', 'localhost:5000/app', '3', DIGEST],
  ] as const)('reads %s', (text, registry, repository, tag, digest) => {
    expect(parseImageReference(text)).toEqual({ registry, repository, tag, digest });
  });

  it.each([
    '',
    'Python',
    ' python',
    'python ',
    'python:',
    'python:-1',
    'a//b',
    '/a',
    'a/',
    'a/../b',
    'http://host/a',
    'host:port/a',
    'host:123456/a',
    'a@sha256:12',
    'a@md5:12',
    'a b',
    'sha256:0123456789ab',
    '0123456789abcdef'.repeat(4),
    'a\n',
    'a'.repeat(300),
    `a:${'t'.repeat(129)}`,
  ])('refuses %j', (text) => {
    expect(() => parseImageReference(text)).toThrow('is no image');
  });

  it('names one image, never all tags', () => {
    expect(canonicalImage(parseImageReference('python'))).toBe('python:latest');
    expect(canonicalImage(parseImageReference(`localhost:5000/app:3@${DIGEST}`))).toBe(
      `localhost:5000/app@${DIGEST}`,
    );
  });
});
