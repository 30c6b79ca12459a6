/** Members with their names and addresses, beside the core's bare ids; travels in snapshots and identity files. */
import { z } from 'zod';

import { JarvisError } from '../lib/errors.ts';
import type { ConfState } from './core/types.ts';
import type { Peer } from './ports.ts';

export interface Membership {
  readonly confState: ConfState;
  readonly peers: readonly Peer[];
}

const peersSchema = z.array(
  z.strictObject({
    raftId: z.int().positive(),
    name: z.string(),
    incarnation: z.string(),
    address: z.string(),
  }),
);

/** The membership with which a cluster begins: every founder votes (storage.md, "Who is who"). */
export function foundingMembership(founders: readonly Peer[]): Membership {
  const voters = founders.map((founder) => founder.raftId).sort((a, b) => a - b);
  return {
    confState: { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    peers: founders,
  };
}

export function encodePeers(peers: readonly Peer[]): Buffer {
  return Buffer.from(JSON.stringify(peers));
}

/** @throws JarvisError malformed */
export function decodePeers(bytes: Uint8Array): readonly Peer[] {
  const parsed = peersSchema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  if (!parsed.success) {
    throw new JarvisError('malformed', 'the members in a snapshot do not decode', { cause: parsed.error });
  }
  return parsed.data;
}
