/** `identity.json`: who a node is (docs/storage.md, "Who is who"). */
import { z } from 'zod';

import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { FORMAT } from './directory-records.ts';

/** Since which there are nodes without a copy. */
export const WITHOUT_COPY_FORMAT = 2;

const peerSchema = z.strictObject({
  raftId: z.int().positive(),
  name: z.string(),
  incarnation: z.string(),
  address: z.string(),
});

export const clusterSchema = z.strictObject({
  clusterId: z.string().min(1),
  /** Leads every fencing token, id and session number; higher in a cluster restored from this one. */
  epoch: z.int().positive(),
  founders: z.array(peerSchema),
  /** This node's own; 0 while it has none. */
  raftId: z.int().nonnegative(),
});

export const identitySchema = z.strictObject({
  /** The highest cluster version of which there may be anything here: a build that knows less must not start with it. */
  format: z.int().min(FORMAT).max(CLUSTER_VERSION),
  name: z.string().min(1),
  /** Made with the directory: a node that lost it is another one. */
  incarnation: z.uuid(),
  /** Of the machine on which the directory was made, which need not be where it is now. */
  machineId: z.string(),
  cluster: clusterSchema.nullable(),
  /** Log and state have been made: where they are missing from now on, they were lost. */
  established: z.boolean(),
  /** Why it is not to be trusted, or null: it never takes part again, however often it is started. */
  condemned: z.string().nullable().default(null),
  /** The incarnation under which it asks to be let in anew; kept before it asks, so that it asks for one only. */
  successor: z.uuid().nullable().default(null),
  /** The folder into which the stores of the former incarnation are being moved. */
  formerStores: z.string().nullable().default(null),
  /** It is no member: it works without a copy of the state, and asks these. Not written where it is one: earlier builds refuse it. */
  withoutCopy: z.strictObject({ members: z.array(peerSchema) }).optional(),
  /** Log and state are those of a Raft id that it has no more, and are being removed. */
  givesUpStores: z.literal(true).optional(),
});

export type ClusterRecord = Readonly<z.infer<typeof clusterSchema>>;
export type NodeIdentity = Readonly<z.infer<typeof identitySchema>>;
