import { assert, jsonValue, property } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { jsonFindings } from './json-text.ts';

describe('what JSON.parse lets through', () => {
  it.each([
    ['{"a":1,"a":2}', ['a']],
    ['{"a":{"b":[0,{"c":1,"c":1}]}}', ['a', 'b', 1, 'c']],
    [String.raw`{"a":1,"\u0061":2}`, ['a']],
    [String.raw`{"\"":1,"\"":2}`, ['"']],
    ['{ "a" : [ ] , "a" : { } }', ['a']],
  ])('is a name that stands twice: %s', (text, path) => {
    expect(jsonFindings(text)).toEqual([{ type: 'duplicate', path, written: path.at(-1) }]);
  });

  it.each(['9007199254740992', '-9007199254740992', '1e16', '1e400', '-1e400', '9007199254740993.0'])(
    'is a number that is not kept: %s',
    (written) => {
      expect(jsonFindings(`{"a":[true,${written}]}`)).toEqual([{ type: 'number', path: ['a', 1], written }]);
    },
  );

  it.each([
    '{"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":1}]}',
    '{"a":"a","b":"a"}',
    String.raw`{"a":"\\","b":"\\\"","c":"{\"a\":1,\"a\":2}"}`,
    '[9007199254740991,-9007199254740991,0.1,1e2,123456789012345.5,1.7976931348623157e-300]',
    '"9007199254740993"',
    'null',
    '{}',
  ])('is nothing of %s', (text) => {
    expect(jsonFindings(text)).toEqual([]);
  });

  it('is told up to fifty times', () => {
    expect(jsonFindings(`[${Array.from({ length: 60 }, () => '1e400').join(',')}]`)).toHaveLength(50);
  });

  it('is found in a text of backslashes and quotes and of deep lists as well', () => {
    const slashes = '\\\\'.repeat(100_000);
    expect(jsonFindings(`{"a":"${slashes}","a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)).toHaveLength(
      1,
    );
  });

  it('is nothing of what JSON.stringify writes', () => {
    assert(
      property(jsonValue({ stringUnit: 'binary' }), (value) => {
        const unsafe = JSON.stringify(value, (_key, one: unknown) =>
          typeof one === 'number' && Number.isInteger(one) && !Number.isSafeInteger(one) ? 0 : one,
        );
        expect(jsonFindings(unsafe)).toEqual([]);
      }),
      { seed: 9, numRuns: 500 },
    );
  });
});
