/**
 * What nodes and running attempts use, from the node that has measured it: the state of the cluster does not hold it, and
 * no leader is needed to know of a node. docs/monitoring.md.
 */
import type {
  Attempt,
  NodeUsage,
  NodeUsageRequest,
  Task,
  TaskUsage,
  TaskUsageRequest,
} from '../generated/cluster.ts';
import { JarvisError, type Fault } from '../lib/errors.ts';
import type { Leaders } from '../scheduler/ports.ts';
import { invalidInput, show } from '../spec/faults.ts';
import type { LocalUsage, Knowledge, Remotes, UsageQuestion } from './node-port.ts';
import type { CallContext, ClusterOperations } from './port.ts';
import { parseTime } from './requests.ts';

export interface UsageSources {
  readonly leaders: Pick<Leaders, 'nodeName'>;
  readonly knowledge: Pick<Knowledge, 'addressOf'>;
  /** Asked for what is not known without the leader. */
  readonly operations: Pick<ClusterOperations, 'getTask' | 'getNode'>;
  readonly remotes: Pick<Remotes, 'nodeUsage'>;
  readonly localUsage: LocalUsage;
}

/** @throws JarvisError not_found, invalid; unavailable where that node does not answer */
export async function nodeUsage(
  sources: UsageSources,
  request: NodeUsageRequest,
  context: CallContext,
): Promise<NodeUsage> {
  const question = parseQuestion(request);
  const { leaders, knowledge, remotes, localUsage, operations } = sources;
  const { name } = request;
  if (name === leaders.nodeName) return await localUsage.read(question);
  if (context.forwarded)
    throw new JarvisError('unavailable', `this is node ${leaders.nodeName}, and not ${show(name)}`);
  const address =
    (await knowledge.addressOf(name, context)) ?? (await operations.getNode({ name }, context)).address;
  return await remotes.nodeUsage(address, request, context);
}

/** @throws JarvisError not_found, invalid; conflict where no attempt of it runs; as {@link nodeUsage} */
export async function taskUsage(
  sources: UsageSources,
  request: TaskUsageRequest,
  context: CallContext,
): Promise<TaskUsage> {
  parseQuestion({ since: request.since });
  // What this node asks for its caller is not the forwarded request itself.
  const own: CallContext = { ...context, forwarded: false };
  const task = await sources.operations.getTask({ id: request.id }, own);
  const { node, assignment } = runningAttempt(task);
  const attempt = { task_id: task.id, assignment };
  const answer = await nodeUsage(sources, { name: node, since: request.since, attempt }, own);
  const [usage] = answer.attempts;
  if (usage === undefined) throw new JarvisError('not_found', `node ${node} knows nothing of ${task.id}`);
  return { task_id: task.id, node, interval: answer.interval, usage };
}

function runningAttempt(task: Task): Attempt {
  const newest = task.attempts.at(-1);
  if (task.status === 'RUNNING' && newest !== undefined) return newest;
  const message = `${task.id} is ${task.status}: only what runs uses anything`;
  throw new JarvisError('conflict', message);
}

function parseQuestion({ since, limit, attempt }: Partial<NodeUsageRequest>): UsageQuestion {
  const faults: Fault[] = [];
  const sinceMs = since === undefined ? null : parseTime(since);
  if (since !== undefined && sinceMs === null) {
    const message = `${show(since)} is not a time such as 2026-12-01T00:00:00Z`;
    faults.push({ path: 'since', message });
  }
  if (faults.length > 0) throw invalidInput(faults);
  return {
    sinceMs,
    limit: limit ?? null,
    attempt: attempt === undefined ? null : { taskId: attempt.task_id, assignment: attempt.assignment },
  };
}
