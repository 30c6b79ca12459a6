/** Requests of every operation, as they come over the wire. */
import * as pb from '../../../src/generated/cluster.ts';
import { batchToWire, dagToWire } from '../../../src/spec/group-wire.ts';
import { wireFromPlain } from '../../../src/spec/wire.ts';
import { operated } from '../operated.ts';

const CONTEXT = { principal: 'anonymous', signal: new AbortController().signal, forwarded: false };

const PLAIN = {
  name: 'a',
  command: ['sh', '-c', 'true'],
  env: {
    A: 'b',
    constructor: 'c',
  },
  labels: { team: 'x' },
  resources: {
    cpu: '100m',
    memory: '16Mi',
  },
  priority: 'high',
  timeout: '5m',
  stop_grace: '10s',
  retry_policy: {
    max_attempts: 3,
    backoff_strategy: 'fixed',
    backoff_base: 1,
    retryable_errors: ['A'],
  },
  affinity: {
    required: [
      {
        key: 'zone',
        operator: 'in',
        values: ['a'],
      },
    ],
  },
  concurrency: {
    key: 'db',
    max: 2,
  },
  not_before: '2026-12-01T00:00:00Z',
};

interface Codec<T> {
  create(value: object): T;
  encode(value: T): { finish(): Uint8Array };
}

function encoded<T>(type: Codec<T>, ...values: readonly T[]): Buffer[] {
  return values.map((value) => Buffer.from(type.encode(value).finish()));
}

function create<T>(type: Codec<T>, value: object): Buffer[] {
  return encoded(type, type.create(value));
}

/** By operation, in the order in which they stand. A cluster that is made anew gives the same ids. */
export async function requestSamples(): Promise<ReadonlyMap<string, readonly Buffer[]>> {
  const { operations } = operated();
  const spec = wireFromPlain(PLAIN);
  const submit = { tasks: [spec, wireFromPlain({ command: ['true'] })], idempotency_key: 'k-1' };
  const batch = batchToWire({ name: 'b', template: PLAIN, count: 3, max_parallel: 2 }, 'k-2');
  const tasks = [
    { ...PLAIN, id: 'one' },
    { ...PLAIN, id: 'two', dependencies: ['one'] },
  ];
  const dag = dagToWire({ name: 'etl', tasks }, 'k-3');
  const { tasks: made } = await operations.submitTasks(submit, CONTEXT);
  const { batch_id: batchId } = await operations.submitBatch(batch, CONTEXT);
  const { id: dagId } = await operations.submitDag(dag, CONTEXT);
  const id = made[0]?.id ?? '';
  const group = { id: batchId, idempotency_key: '' };
  return new Map<string, readonly Buffer[]>([
    ['submitTasks', encoded(pb.SubmitTasksRequest, submit)],
    ['submitBatch', encoded(pb.SubmitBatchRequest, batch, batchToWire({ tasks: [PLAIN] }, ''))],
    ['submitDag', encoded(pb.SubmitDagRequest, dag)],
    ['planTasks', encoded(pb.PlanRequest, { tasks: [spec], batches: [batch], dags: [dag] })],
    ...(['getTask', 'explainTask', 'watchTask'] as const).map(
      (name) => [name, create(pb.TaskRequest, { id })] as const,
    ),
    ...(['cancelTask', 'retryTask'] as const).map(
      (name) => [name, create(pb.CancelTaskRequest, { id, idempotency_key: 'k-4' })] as const,
    ),
    [
      'updateTask',
      create(pb.UpdateTaskRequest, { id, priority: 'low', labels: { a: 'b' }, remove_labels: ['team'] }),
    ],
    [
      'listTasks',
      create(pb.ListTasksRequest, { status: ['PENDING'], label: ['team=x'], limit: 10, batch_id: batchId }),
    ],
    ...(['getBatch', 'getDag'] as const).map(
      (name) => [name, create(pb.GroupRequest, { id: name === 'getDag' ? dagId : batchId })] as const,
    ),
    ...(['cancelBatch', 'retryBatch'] as const).map(
      (name) => [name, create(pb.ChangeGroupRequest, group)] as const,
    ),
    ...(['cancelDag', 'retryDag'] as const).map(
      (name) => [name, create(pb.ChangeGroupRequest, { ...group, id: 'etl' })] as const,
    ),
    ['readLogs', create(pb.LogsRequest, { id, tail: 5, stream: 'stdout', since: '2026-11-27T00:00:00Z' })],
    ['watchEvents', create(pb.EventsRequest, { since: 'oldest' })],
    ['getNode', create(pb.NodeRequest, { name: 'n1' })],
    ['cordonNode', create(pb.CordonNodeRequest, { name: 'n1' })],
    ['undrainNode', create(pb.UndrainNodeRequest, { name: 'n1' })],
    ['drainNode', create(pb.DrainNodeRequest, { name: 'n1', deadline: '10m', grace: '5s' })],
    [
      'labelNode',
      create(pb.LabelNodeRequest, { name: 'n1', labels: { zone: 'b' }, remove_labels: ['disk'] }),
    ],
    ['removeNode', create(pb.RemoveNodeRequest, { name: 'n1', dead: true })],
    ['changeMember', create(pb.ChangeMemberRequest, { name: 'n2', address: 'n2:7101' })],
    ['transferLeadership', create(pb.TransferLeadershipRequest, { to: 'n2' })],
    ['getCluster', create(pb.GetClusterRequest, { consistency: 'stale' })],
    [
      'setConfig',
      create(pb.SetConfigRequest, { changes: '{"heartbeat":{"timeout":"40s"},"retention":null}' }),
    ],
  ]);
}
