/** Members with their names and addresses, beside the core's bare ids; travels in snapshots and entries of the log. */
import { z } from 'zod';

import { changeConfiguration } from './core/confchange.ts';
import { decodeConfChange } from './core/confchange-codec.ts';
import { allMembers } from './core/quorum.ts';
import type { ConfState, Entry, RaftId } from './core/types.ts';
import type { Peer } from './ports.ts';

export interface Membership {
  /** Of the entry, or the snapshot, that it comes from; 0: the founding one. */
  readonly index: number;
  readonly confState: ConfState;
  readonly peers: readonly Peer[];
}

/**
 * Members that join get their Raft ids from the index of the entry that adds them: no id is ever given twice, and whoever
 * has applied that index without knowing the member knows that it has been removed. Founders have the ids below.
 */
const JOINED_ID_BASE = 1000;

export function joinedIdAt(index: number): RaftId {
  return JOINED_ID_BASE + index;
}

/** Whether a membership says all about that id: who is not in it has been removed. Otherwise it may lie ahead of it. */
export function isDecided(id: RaftId, membershipIndex: number): boolean {
  return id < JOINED_ID_BASE || id - JOINED_ID_BASE <= membershipIndex;
}

/** The membership with which a cluster begins: every founder votes (docs/storage.md, "Who is who"). */
export function foundingMembership(founders: readonly Peer[]): Membership {
  const voters = founders.map((founder) => founder.raftId).sort((a, b) => a - b);
  return {
    index: 0,
    confState: { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    peers: founders,
  };
}

const peersSchema = z.array(
  z.strictObject({
    raftId: z.int().positive(),
    name: z.string(),
    incarnation: z.string(),
    address: z.string(),
  }),
);

/** What the shell puts beside a change of the configuration: those whom it adds, or who have moved. */
export function encodePeers(peers: readonly Peer[]): Uint8Array {
  return Buffer.from(JSON.stringify(peers));
}

/** @returns no one for what this version did not write: every replica passes it over alike */
function decodePeers(context: Uint8Array): readonly Peer[] {
  if (context.length === 0) return [];
  try {
    return peersSchema.safeParse(JSON.parse(Buffer.from(context).toString())).data ?? [];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

/** After a committed change; the core has said what the configuration is then. */
export function membershipAfter(before: Membership, entry: Entry, confState: ConfState): Membership {
  const told = decodePeers(decodeConfChange(entry.data)?.context ?? new Uint8Array());
  const peers = new Map([...before.peers, ...told].map((peer) => [peer.raftId, peer]));
  const members = allMembers(confState).flatMap((id) => peers.get(id) ?? []);
  return { index: entry.index, confState, peers: members };
}

/** The membership as of `applied`, from an earlier one and the entries since. */
export function replayMembership(from: Membership, entries: readonly Entry[], applied: number): Membership {
  let membership = from;
  for (const entry of entries) {
    if (entry.type !== 'confChange' || entry.index <= from.index || entry.index > applied) continue;
    const change = decodeConfChange(entry.data);
    const changed = change === null ? null : changeConfiguration(membership.confState, change);
    const confState = changed?.type === 'changed' ? changed.confState : membership.confState;
    membership = membershipAfter(membership, entry, confState);
  }
  return membership;
}
