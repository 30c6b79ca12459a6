/** `PUT /config`: the settings that belong to the cluster (docs/configuration.md). */
import type { SetConfigRequest } from '../generated/cluster.ts';
import { formatPath, invalidInput } from '../spec/faults.ts';
import { checkStated } from '../spec/settings/settings.ts';

/** What is absent stays as it is. @throws JarvisError invalid, with a fault for each thing that is wrong */
export function parseConfigBody(body: unknown, key: string): SetConfigRequest {
  const result = checkStated(body);
  if (result.type === 'valid')
    return { heartbeat: undefined, idempotency_key: key, changes: JSON.stringify(body) };
  throw invalidInput(result.faults.map(({ path, message }) => ({ path: formatPath(path), message })));
}
