/** What the autoscaler does as the API answers with it; see `spec/scaling-json.ts`. */
import { z } from 'zod';

import { SCALING_METRICS, SCALING_PROVIDERS } from '../../model/autoscaling.ts';
import { component, count, flag, list, number, text, texts, time } from './components.ts';

const action = z.enum(['add_nodes', 'remove_nodes']);

const load = component(
  'ScalingLoad',
  z.object({
    queue_depth: count.describe('Tasks that could run, and are on no node yet'),
    average_wait_time: number.describe('Seconds'),
    longest_wait_time: number.describe('Seconds'),
    cluster_utilization: number.describe('Percent'),
    unplaceable_tasks: count.describe('That no node could hold, there or to come'),
    nodes: count,
  }),
);

const rule = component(
  'ScalingRule',
  z.object({
    action,
    metric: z.enum(SCALING_METRICS),
    threshold: number,
    count,
    value: number,
    fires: flag,
    held: text.nullable().describe('Why it does nothing, or not all that it says; null: nothing holds it'),
  }),
);

const instance = component(
  'ScalingInstance',
  z.object({
    id: text,
    node: text,
    provider: z.enum(SCALING_PROVIDERS),
    host: text.nullable().describe('The node on whose machine it is'),
    provider_id: text.nullable(),
    phase: z.enum(['REQUESTED', 'CREATED', 'JOINED', 'DRAINING', 'LEAVING', 'TERMINATING']),
    phase_since: time,
    created_at: time,
    reason: text,
    failures: count.describe('Requests in a row that came to nothing'),
    error: text.nullable(),
    next_try_at: time.nullable(),
  }),
);

const decision = component(
  'ScalingDecision',
  z.object({
    number: count,
    time,
    action,
    count,
    desired_nodes: count,
    reason: text,
    dry_run: flag.describe('Nothing was done'),
    load,
    rules: z.array(rule),
    nodes: texts,
    done: count.describe('Nodes that have joined, or left'),
    failed: count.describe('Nodes that did not come to be'),
    cancelled: count.describe('Nodes that were not needed any more, or stayed'),
  }),
);

export const autoscalerStatus = component(
  'Autoscaler',
  z.object({
    enabled: flag,
    dry_run: flag,
    provider: z.enum(SCALING_PROVIDERS),
    min_nodes: count,
    max_nodes: count,
    load,
    nodes: z.object({ active: count, joining: count, leaving: count, desired: count }),
    reason: text.describe('What the rules come to now'),
    rules: z.array(rule),
    instances: z.array(instance),
    last_decision: decision.nullable(),
    last_evaluated_at: time.nullable(),
    failure: z
      .object({ provider: text, since: time, count, reason: text, held_until: time.nullable() })
      .nullable()
      .describe('Null: nothing fails'),
  }),
);

export const decisionList = list('ScalingDecisionList', decision);
