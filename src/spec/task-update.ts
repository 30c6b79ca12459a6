/** What users may change of a task that waits (`PATCH /tasks/{id}`), checked at the edge. */
import { z } from 'zod';

import type { TaskChanges } from '../model/commands.ts';
import { PRIORITIES } from '../model/task.ts';
import { faultsOf, formatPath, invalidInput } from './faults.ts';
import { labelChanges } from './fields.ts';
import { notBefore } from './placement-fields.ts';

const fields = {
  priority: z.enum(PRIORITIES).optional(),
  labels: labelChanges.optional(),
  not_before: notBefore.nullish(),
};
const schema = z.strictObject(fields);
const KNOWN = { '': { fields: Object.keys(fields), unsupported: [] } };

/** @throws JarvisError invalid, with every fault; also where nothing is to be changed */
export function parseTaskUpdate(plain: unknown): TaskChanges {
  const result = schema.safeParse(plain, { reportInput: true });
  if (!result.success) {
    const faults = faultsOf(result.error, KNOWN);
    throw invalidInput(faults.map(({ path, message }) => ({ path: formatPath(path), message })));
  }
  const { priority, labels = [], not_before: notBeforeMs } = result.data;
  if (priority === undefined && labels.length === 0 && notBeforeMs === undefined) {
    const message = `nothing is to be changed: at least one of ${Object.keys(fields).join(', ')}`;
    throw invalidInput([{ path: '', message }]);
  }
  return {
    ...(priority === undefined ? {} : { priority }),
    ...(labels.length === 0 ? {} : { labels }),
    ...(notBeforeMs === undefined ? {} : { notBeforeMs }),
  };
}
