/** What a log begins behind, as JSON in the header of a segment and in records. */
import { z } from 'zod';

import type { LogBase } from '../ports.ts';

const raftIds = z.array(z.int().positive());
const logBaseSchema = z.object({
  index: z.int().nonnegative(),
  term: z.int().nonnegative(),
  confState: z.object({
    voters: raftIds,
    votersOutgoing: raftIds,
    learners: raftIds,
    learnersNext: raftIds,
    autoLeave: z.boolean(),
  }),
  peers: z
    .array(
      z.object({
        raftId: z.int().positive(),
        name: z.string(),
        incarnation: z.string(),
        address: z.string(),
      }),
    )
    .optional(),
});

export function encodeLogBase(base: LogBase): Buffer {
  return Buffer.from(JSON.stringify(base));
}

/** @returns null where the bytes are none: a checksum says that they are what was written, and not that it was right */
export function decodeLogBase(json: Uint8Array): LogBase | null {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(json).toString());
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
  return logBaseSchema.safeParse(value).success ? (value as LogBase) : null;
}
