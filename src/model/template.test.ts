import { describe, expect, it } from 'vitest';

import { specOf } from '../scheduler/core/testing/values.ts';
import { fillIn, parametersOf, placeholdersIn, specOfTask } from './template.ts';

describe('templates', () => {
  it('name their parameters, in any spacing, and leave other braces alone', () => {
    expect(placeholdersIn('{{a}} {{ b-2 }} {{.Go}} {{}} {{a b}} {x} {{a}}')).toEqual(['a', 'b-2', 'a']);
  });

  it('are filled in wherever strings stand, once', () => {
    const values = parametersOf(7, [
      ['a', '{{index}}'],
      ['b', '$&'],
    ]);
    const value = { text: '{{a}}/{{index}}', list: [1, null, ['{{b}}']], other: '{{c}}' };
    expect(fillIn(value, values)).toEqual({ text: '{{index}}/7', list: [1, null, ['$&']], other: '{{c}}' });
  });

  it('are the same object where nothing stands in them', () => {
    const spec = specOf();
    expect(fillIn(spec, parametersOf(0, []))).toBe(spec);
  });

  it('are filled in only for tasks that are of one', () => {
    const spec = specOf({ command: ['{{index}}'] });
    expect(specOfTask({ batchIndex: 3 }, spec)).toBe(spec);
    expect(specOfTask({ batchIndex: 3, parameters: [] }, spec).command).toEqual(['3']);
  });
});
