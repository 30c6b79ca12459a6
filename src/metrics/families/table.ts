/** All families of metrics, in the order of docs/metrics.md, which is made from it. */
import type { Family } from '../family.ts';
import { ALERT_FAMILIES } from './alerts.ts';
import { AUTOSCALER_FAMILIES } from './autoscaler.ts';
import { CALL_FAMILIES } from './calls.ts';
import { NODE_FAMILIES } from './nodes.ts';
import { PROCESS_FAMILIES } from './process.ts';
import { RAFT_FAMILIES } from './raft.ts';
import { STORAGE_FAMILIES } from './storage.ts';
import { TASK_FAMILIES } from './tasks.ts';
import { WORKER_FAMILIES } from './worker.ts';

export interface FamilyGroup {
  readonly title: string;
  readonly families: readonly Family[];
}

export const FAMILY_GROUPS: readonly FamilyGroup[] = [
  { title: 'Tasks and the scheduler', families: Object.values(TASK_FAMILIES) },
  { title: 'What a node runs', families: Object.values(WORKER_FAMILIES) },
  { title: 'Nodes and room', families: Object.values(NODE_FAMILIES) },
  { title: 'Alerts', families: Object.values(ALERT_FAMILIES) },
  { title: 'Autoscaler', families: Object.values(AUTOSCALER_FAMILIES) },
  { title: 'Consensus', families: Object.values(RAFT_FAMILIES) },
  { title: 'Log, snapshots and disk', families: Object.values(STORAGE_FAMILIES) },
  { title: 'Calls', families: Object.values(CALL_FAMILIES) },
  { title: 'The process', families: Object.values(PROCESS_FAMILIES) },
];
