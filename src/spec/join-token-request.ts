/** What is asked of a new join token (`POST /cluster/join-tokens`), checked at the edge. */
import { z } from 'zod';

import { messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { isName, NAME_RULE } from '../lib/names.ts';
import { formatDurationMs, parseDurationMs } from '../lib/quantities.ts';
import { faultsOf, formatPath, invalidInput, show } from './faults.ts';
import { refuse } from './fields.ts';

const DEFAULT_VALID_MS = 3_600_000;
/** Less is over before anybody has pasted it anywhere. */
const LEAST_VALID_MS = 1000;

export interface NewJoinToken {
  readonly validMs: number;
  readonly uses: number;
  readonly node: string | null;
}

const fields = {
  expires: z
    .unknown()
    .transform((value, context): number => {
      const refused = (message: string): never => {
        refuse(context, value, message);
        return z.NEVER;
      };
      if (typeof value !== 'string' && typeof value !== 'number')
        return refused(`must be seconds or a duration such as 30m, not ${show(value)}`);
      let validMs: number;
      try {
        validMs = parseDurationMs(value);
      } catch (error) {
        return refused(messageOf(error));
      }
      if (validMs >= LEAST_VALID_MS && validMs <= limits.joinTokenMs) return validMs;
      const allowed = `${formatDurationMs(LEAST_VALID_MS)} to ${formatDurationMs(limits.joinTokenMs)}`;
      return refused(`${show(value)} is not allowed: ${allowed}`);
    })
    .optional(),
  uses: z.int().min(1).max(limits.joinTokenUses).nullish(),
  name: z
    .string()
    .nullish()
    .superRefine((value, context) => {
      if (typeof value === 'string' && !isName(value))
        refuse(context, value, `${show(value)} is not ${NAME_RULE}`);
    }),
};
const schema = z.strictObject(fields);

/** @param plain absent: everything is as by default @throws JarvisError invalid, with every fault */
export function parseNewJoinToken(plain: unknown): NewJoinToken {
  const given = plain ?? {};
  const result = schema.safeParse(withoutNulls(given), { reportInput: true });
  if (!result.success) {
    const known = { '': { fields: Object.keys(fields), unsupported: [] } };
    const faults = faultsOf(result.error, known);
    throw invalidInput(faults.map(({ path, message }) => ({ path: formatPath(path), message })));
  }
  const { expires, uses, name } = result.data;
  return { validMs: expires ?? DEFAULT_VALID_MS, uses: uses ?? 1, node: name ?? null };
}

/** What is null is as if it were absent. */
function withoutNulls(given: unknown): unknown {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return given;
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== null && value !== undefined),
  );
}
