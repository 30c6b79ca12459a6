/** Nodes as the API answers with them; see `spec/json.ts`. */
import { z } from 'zod';

import { LOG_LEVELS } from '../../lib/log.ts';
import { component, count, flag, list, number, text, texts, textsByName, time } from './components.ts';
import { usage } from './usage.ts';

const capacity = z.object({ cpu_millis: count, memory_bytes: count });

export const node = component(
  'Node',
  z.object({
    name: text,
    status: text,
    role: z.enum(['voter', 'learner', 'worker']),
    address: text,
    http: text,
    version: text,
    labels: textsByName,
    drivers: texts,
    isolation: text,
    capacity,
    allocated: capacity,
    usage: usage.nullable(),
    active_tasks: count,
    last_heartbeat_at: time.nullable(),
    joined_at: time,
    schedulable: flag.describe('Neither cordoned nor drained'),
    pressure: texts.describe('What it runs short of'),
    drain: z
      .object({
        started_at: time,
        deadline: time,
        grace: number.nullable().describe('Seconds'),
        overdue: flag,
        tasks_left: count,
        finished_at: time.nullable(),
        on_exit: flag,
      })
      .nullable(),
  }),
);

export const logLevel = component(
  'LogLevel',
  z.object({
    node: text,
    level: z.enum(LOG_LEVELS),
    configured: z.enum(LOG_LEVELS),
    until: time.nullable().describe('When the configured one comes back; null: not by itself'),
  }),
);

export const nodeList = list('NodeList', node);
export const nodeChange = component(
  'NodeChange',
  node.extend({ warnings: texts.describe('What else the caller should know') }),
);
export const removal = component(
  'NodeRemoval',
  z.object({
    name: text,
    lost_attempts: count.describe('Given up with it'),
    member: text.nullable().describe('voter, learner or worker, where it is let in still'),
  }),
);
