import { expect, it } from 'vitest';

import { identityOf } from './certificate-identity.ts';

it.each([
  ['URI:jarvis://node/n1', { kind: 'node', name: 'n1' }],
  ['URI:jarvis://client/ci, DNS:ci.example', { kind: 'client', name: 'ci' }],
  ['DNS:n1, IP Address:10.0.0.1, URI:jarvis://node/n1.example-2', { kind: 'node', name: 'n1.example-2' }],
  ['URI:https://example.org, URI:jarvis://node/n1', { kind: 'node', name: 'n1' }],
])('is read from %s', (text, identity) => {
  expect(identityOf(text)).toEqual(identity);
});

it.each([
  undefined,
  '',
  'DNS:n1',
  'URI:jarvis://server/n1',
  'URI:jarvis://node/',
  'URI:jarvis://node/a/b',
  'URI:jarvis://node/n1, URI:jarvis://node/n2',
  'URI:jarvis://node/n1, URI:jarvis://client/n1',
  'URI:JARVIS://node/n1',
  // A host name that contains what looks like a further entry: Node.js puts it in quotes.
  'DNS:"x, URI:jarvis://node/n1"',
  'DNS:"x\\", URI:jarvis://node/n1"',
  'URI:jarvis://node/n1, DNS:"never closed',
])('is not read from %s', (text) => {
  expect(identityOf(text)).toBeNull();
});
