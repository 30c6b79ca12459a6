/** The cluster as the API answers with it; see `spec/json.ts`. */
import { z } from 'zod';

import {
  component,
  count,
  countsByName,
  flag,
  list,
  number,
  text,
  texts,
  textsByName,
  time,
} from './components.ts';

const diskError = z.object({ kind: text, path: text, message: text, at: time });

const report = component(
  'NodeReport',
  z.object({
    name: text,
    raft_id: count,
    role: z.enum(['leader', 'follower', 'candidate', 'pre_candidate']),
    term: count,
    vote: text.nullable(),
    leader: text.nullable(),
    commit_index: count,
    applied_index: count,
    first_index: count,
    last_index: count,
    durable_index: count,
    uncommitted_bytes: count,
    log: z.object({ segments: count, bytes: count, last_fsync_seconds: number, pending: count }).nullable(),
    disk_errors: z.array(diskError),
    version: text,
    refusals: countsByName,
    state_difference: z.object({ index: count, digests: textsByName }).optional(),
  }),
);

const member = component(
  'Member',
  z.object({
    name: text,
    raft_id: count.nullable(),
    address: text,
    role: z.enum(['voter', 'learner', 'worker']),
    match_index: count.nullable(),
    lag: count.nullable(),
    state: z.enum(['leader', 'probe', 'replicate', 'snapshot', 'unknown']).nullable(),
    active: flag,
    next_index: count.nullable(),
    inflight: count.nullable(),
    paused: flag.nullable(),
    last_contact_seconds: number.nullable(),
    snapshot: z
      .object({
        index: count,
        taken_bytes: count,
        total_bytes: count,
        failures: count,
        last_failure: text.optional(),
      })
      .nullable(),
    version: text.nullable(),
    node_status: text.nullable(),
    report: report.nullable(),
    last_words: z.array(diskError),
  }),
);

export const memberList = list('MemberList', member);

export const cluster = component(
  'Cluster',
  z.object({
    cluster_id: text,
    leader: text.nullable(),
    term: count,
    commit_index: count,
    applied_index: count,
    voters: texts,
    learners: texts,
    workers: texts.describe('They work without a copy of the state'),
    failure_tolerance: z.int().nullable().describe('How many more voters may fail, whichever they are'),
    members: z.array(member),
    epoch: count,
    joint: z.object({ incoming: texts, outgoing: texts, learners_next: texts, auto_leave: flag }).nullable(),
    transfer_target: text.nullable(),
    node: report.nullable().describe('Who answers'),
    stale: flag.describe("A node's own view, which may be old"),
    cluster_version: count.describe('Which commands every member can apply'),
  }),
);

export const version = component('Version', z.object({ version: text, name: text, node_version: text }));
export const health = component('Health', z.object({ status: text }));

/** The data of one server-sent event. */
export const event = component(
  'Event',
  z.object({
    index: count.describe("Of the log's entry"),
    position: count.describe('In the entry'),
    time,
    kind: z.enum(['task', 'batch', 'dag', 'node', 'alert']),
    id: text,
    name: text,
    old_status: text.nullable().describe('Null: it is new'),
    new_status: text.nullable().describe('Null: it is gone'),
    reason: text.nullable(),
  }),
);
