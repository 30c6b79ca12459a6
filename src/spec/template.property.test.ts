/** Templates against the plain way: each task filled in as it was written, and checked by itself. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fillIn, parametersOf, specOfTask } from '../model/template.ts';
import { TestGroup } from '../scheduler/core/testing/groups.ts';
import { TestCluster } from '../scheduler/core/testing/test-cluster.ts';
import { checkBatch } from './batch-schema.ts';
import { checkTaskSpec } from './task-schema.ts';
import { runs } from '../lib/testing/property-runs.ts';

const NAMES = ['a', 'b'] as const;

/** Text around placeholders. */
const odd = fc
  .array(fc.constantFrom('{{a}}', '{{ b }}', '{{index}}', 'x', '/', '-', ':', '.', '{{', ' ', 'zq0z', '1'), {
    maxLength: 4,
  })
  .map((parts) => parts.join(''));
/** Mostly what is sensible in its place. */
function mostly(...sensible: readonly string[]): fc.Arbitrary<string> {
  return fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...sensible) }, { weight: 1, arbitrary: odd });
}
const value = mostly('x', 'v1', '1000', 'img', '/srv', '1000:1000', 'a b', '{{index}}', '', ':', '..', '\0');

const common = {
  name: mostly('job-{{index}}', 'n{{a}}', 'plain'),
  command: fc.array(mostly('run', '{{a}}', '--of={{b}}/{{index}}', '{{.Go}}'), {
    minLength: 1,
    maxLength: 3,
  }),
  env: fc.dictionary(fc.constantFrom('A', 'B'), mostly('{{a}}', '{{b}}-{{index}}')),
  labels: fc.dictionary(fc.constantFrom('l', 'm'), mostly('{{b}}', 'v')),
  working_dir: mostly('/{{b}}/x', '/data', '{{a}}'),
  user: mostly('{{a}}', 'app'),
  priority: fc.oneof(
    { weight: 12, arbitrary: fc.constant('high') },
    { weight: 1, arbitrary: fc.constant('{{a}}') },
  ),
};
const container = {
  ...common,
  image: mostly('r/{{a}}:{{b}}', 'img:v{{index}}', '{{a}}'),
  mounts: fc.array(
    fc.record({
      source: mostly('/s', '/s/{{a}}', '{{b}}'),
      target: mostly('/t{{index}}', '/t'),
    }),
    { maxLength: 2 },
  ),
};
const template = fc.oneof(
  fc.record(common, { requiredKeys: ['command'] }),
  fc.record(container, { requiredKeys: ['command', 'image'] }),
);
const parameters = fc.array(fc.record(Object.fromEntries(NAMES.map((name) => [name, value]))), {
  minLength: 1,
  maxLength: 3,
});

describe('a template', () => {
  it('is what its tasks would be one by one, and nothing that is accepted of it throws', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(template, parameters, async (plain, given) => {
        const result = await checkBatch({ template: plain, parameters: given });
        const singly = given.map((values, index) => {
          const filled = fillIn(plain, parametersOf(index, Object.entries(values)));
          return checkTaskSpec(filled);
        });
        const hasNul = JSON.stringify(given).includes('\\u0000');
        // Refused only for something that some task cannot have, or for what stands where no text does.
        const isRefusedSingly = singly.some(({ type }) => type === 'invalid');
        const mayBeRefused = isRefusedSingly || hasNul || plain.priority === '{{a}}';
        expect(result.type === 'valid' || mayBeRefused).toBe(true);
        if (result.type === 'invalid') return;
        accepted += 1;
        const cluster = TestCluster.formed();
        const batch = TestGroup.batch(cluster, result.spec.work, { sliceTasks: 1 });
        batch.advanceAll();
        const written = cluster.state.specs.get(batch.id)?.spec;
        for (const [at, single] of singly.entries()) {
          const own = written === undefined ? undefined : specOfTask(batch.at(at), written);
          const expected = single.type === 'valid' ? single.spec : null;
          const name = plain.name === undefined ? own?.name : expected?.name;
          expect(own).toEqual({ ...expected, name });
          expect(batch.at(at).name).toBe(own?.name);
        }
      }),
      { numRuns: runs(1500) },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});
