import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { jsonText, yamlText } from './documents.ts';

const VALUE = {
  plain: 'as it is',
  'key\u009b': ['\u009b2J', 'say "\u202eevil"\nand more: yes', '\u001b[31mred\u0007', "it's\u2028so"],
  block: 'line one\nline two \u0085\n',
};

describe.each([
  ['JSON', jsonText(VALUE, 2), JSON.parse(jsonText(VALUE)) as unknown],
  ['YAML', yamlText(VALUE), parse(yamlText(VALUE)) as unknown],
])('%s for a terminal', (_name, text, read) => {
  it('reads as what it was made of', () => {
    expect(read).toEqual(VALUE);
  });

  it('holds nothing that a terminal would obey', () => {
    // oxlint-disable-next-line no-control-regex -- these are what is looked for
    expect(text.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/g)).toBeNull();
  });
});

it('leaves alone what is harmless', () => {
  expect(yamlText({ a: [1, 'é', null], b: {} })).toBe('a:\n  - 1\n  - é\n  - null\nb: {}\n');
  expect(jsonText({ a: 'é' })).toBe('{"a":"é"}');
});
