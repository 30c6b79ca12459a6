/** Batches and DAGs. */
import type { z } from 'zod';

import type {
  Batch,
  ChangeGroupRequest,
  Dag,
  GroupRequest,
  ListGroupsRequest,
} from '../../generated/cluster.ts';
import { expectValid } from '../../operations/group-requests.ts';
import type { CallContext, ClusterOperations } from '../../operations/port.ts';
import { checkBatch } from '../../spec/batch-schema.ts';
import { checkDag } from '../../spec/dag-schema.ts';
import { batchToWire, dagToWire } from '../../spec/group-wire.ts';
import { batchToJson, dagToJson, listToJson, submittedBatchToJson } from '../../spec/json.ts';
import { groupsQuery, refusedQuery } from '../query.ts';
import { idempotencyKey } from '../requests.ts';
import type { Route } from '../route.ts';
import { route } from '../route.ts';
import { batchSpec, dagSpec } from '../schemas/bodies.ts';
import { batch, batchList, dag, dagList, submittedBatch } from '../schemas/groups.ts';

interface Kind<T> {
  readonly path: 'batches' | 'dags';
  /** As it stands in the names of operations. */
  readonly name: 'Batch' | 'Dag';
  readonly names: 'Batches' | 'Dags';
  readonly words: string;
  list(
    operations: ClusterOperations,
    query: ListGroupsRequest,
    context: CallContext,
  ): Promise<{ readonly items: readonly T[]; readonly next_cursor: string }>;
  get(operations: ClusterOperations, request: GroupRequest, context: CallContext): Promise<T>;
  cancel(operations: ClusterOperations, request: ChangeGroupRequest, context: CallContext): Promise<T>;
  retry(operations: ClusterOperations, request: ChangeGroupRequest, context: CallContext): Promise<T>;
  toJson(group: T): object;
  /** As the document describes it. */
  readonly shape: z.ZodType;
  readonly listShape: z.ZodType;
}

/** What both have. */
function routesOf<T>(kind: Kind<T>): readonly Route[] {
  const { path, name, names, words } = kind;
  return [
    route({
      method: 'GET',
      path: `/${path}`,
      operation: `list${names}`,
      isRead: true,
      summary: `Every ${words}, the newest first`,
      answer: kind.listShape,
      query: groupsQuery,
      handler: async ({ operations, query, context }) => {
        const { items, next_cursor: next } = await refusedQuery(kind.list(operations, query, context()));
        return listToJson(
          items.map((item) => kind.toJson(item)),
          next,
        );
      },
    }),
    route({
      method: 'GET',
      path: `/${path}/:id`,
      operation: `get${name}`,
      isRead: true,
      summary: `One ${words}, with counts per status`,
      answer: kind.shape,
      handler: async ({ operations, parameter, context }) =>
        kind.toJson(await kind.get(operations, { id: parameter('id') }, context())),
    }),
    route({
      method: 'DELETE',
      path: `/${path}/:id`,
      operation: `cancel${name}`,
      summary: `Cancels what is left of a ${words}`,
      answer: kind.shape,
      handler: async ({ request, operations, parameter, context }) => {
        const asked = { id: parameter('id'), idempotency_key: idempotencyKey(request) };
        return kind.toJson(await kind.cancel(operations, asked, context()));
      },
    }),
    route({
      method: 'POST',
      path: `/${path}/:id/retry`,
      operation: `retry${name}`,
      summary: `Begins anew whatever did not complete of a ${words} that is over`,
      answer: kind.shape,
      handler: async ({ request, operations, parameter, context }) => {
        const asked = { id: parameter('id'), idempotency_key: idempotencyKey(request) };
        return kind.toJson(await kind.retry(operations, asked, context()));
      },
    }),
  ];
}

export const groupRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/tasks/batch',
    operation: 'submitBatch',
    summary: 'Submits a batch: all of its tasks or none',
    answer: submittedBatch,
    status: 201,
    body: { schema: batchSpec },
    handler: async ({ request, reply, operations, body, context }) => {
      const key = idempotencyKey(request);
      expectValid(await checkBatch(body));
      const answer = await operations.submitBatch(batchToWire(body, key), context());
      reply.header('location', `/batches/${answer.batch_id}`);
      return submittedBatchToJson(answer);
    },
  }),
  route({
    method: 'POST',
    path: '/tasks/dag',
    operation: 'submitDag',
    summary: 'Submits a DAG: all of its tasks or none',
    answer: dag,
    status: 201,
    body: { schema: dagSpec },
    handler: async ({ request, reply, operations, body, context }) => {
      const key = idempotencyKey(request);
      expectValid(await checkDag(body));
      const submitted = await operations.submitDag(dagToWire(body, key), context());
      reply.header('location', `/dags/${submitted.id}`);
      return dagToJson(submitted);
    },
  }),
  ...routesOf<Batch>({
    path: 'batches',
    name: 'Batch',
    names: 'Batches',
    words: 'batch',
    list: async (operations, query, context) => await operations.listBatches(query, context),
    get: (operations, request, context) => operations.getBatch(request, context),
    cancel: (operations, request, context) => operations.cancelBatch(request, context),
    retry: (operations, request, context) => operations.retryBatch(request, context),
    toJson: batchToJson,
    shape: batch,
    listShape: batchList,
  }),
  ...routesOf<Dag>({
    path: 'dags',
    name: 'Dag',
    names: 'Dags',
    words: 'DAG',
    list: async (operations, query, context) => await operations.listDags(query, context),
    get: (operations, request, context) => operations.getDag(request, context),
    cancel: (operations, request, context) => operations.cancelDag(request, context),
    retry: (operations, request, context) => operations.retryDag(request, context),
    toJson: dagToJson,
    shape: dag,
    listShape: dagList,
  }),
];
