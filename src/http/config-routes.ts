/** `GET, PUT /config`: the settings that belong to the cluster (docs/contract.md, section 6). */
import { z } from 'zod';

import type { SetConfigRequest } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';

const duration = z.union([z.string(), z.number()], { error: 'is not a duration' }).transform(String);

export const configBody = z.strictObject({
  heartbeat: z.strictObject({
    interval: duration.optional(),
    warning: duration.optional(),
    timeout: duration.optional(),
  }),
});

/** What is absent stays as it is. @throws JarvisError invalid, with a fault for each thing that is wrong */
export function parseConfigBody(body: unknown, key: string): SetConfigRequest {
  const result = configBody.safeParse(body);
  if (result.success) return { heartbeat: result.data.heartbeat, idempotency_key: key };
  const faults = result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
  const lines = faults.map((fault) =>
    fault.path === '' ? fault.message : `${fault.path}: ${fault.message}`,
  );
  throw new JarvisError('invalid', lines.join('; '), { faults });
}
