/** Batches and DAGs over HTTP (docs/contract.md, section 2). */
import type { FastifyInstance, FastifyReply } from 'fastify';

import type { Batch, ChangeGroupRequest, Dag, GroupRequest } from '../generated/cluster.ts';
import { limits } from '../lib/limits.ts';
import { expectValid } from '../operations/group-requests.ts';
import type { CallContext, ClusterOperations } from '../operations/port.ts';
import { checkBatch } from '../spec/batch-schema.ts';
import { checkDag } from '../spec/dag-schema.ts';
import { batchToJson, dagToJson, listToJson, submittedBatchToJson } from '../spec/json.ts';
import { batchToWire, dagToWire } from '../spec/group-wire.ts';
import { asMalformed, expectNoQuery, parseGroupsQuery } from './query.ts';
import type { Calls } from './requests.ts';
import { idempotencyKey } from './requests.ts';
import type { Handler } from './route.ts';
import { on, parameter } from './route.ts';

interface Parts {
  readonly operations: ClusterOperations;
  readonly calls: Calls;
}

export function registerGroups(app: FastifyInstance, { operations, calls }: Parts): void {
  const contextOf = (reply: FastifyReply): CallContext => calls.context(reply, limits.httpTimeoutMs);
  on(app, '/tasks/batch', {
    POST: async (request, reply) => {
      expectNoQuery(request.query);
      const key = idempotencyKey(request);
      expectValid(await checkBatch(request.body));
      const answer = await operations.submitBatch(batchToWire(request.body, key), contextOf(reply));
      reply.code(201).header('location', `/batches/${answer.batch_id}`);
      return submittedBatchToJson(answer);
    },
  });
  on(app, '/tasks/dag', {
    POST: async (request, reply) => {
      expectNoQuery(request.query);
      const key = idempotencyKey(request);
      expectValid(await checkDag(request.body));
      const dag = await operations.submitDag(dagToWire(request.body, key), contextOf(reply));
      reply.code(201).header('location', `/dags/${dag.id}`);
      return dagToJson(dag);
    },
  });
  registerKind<Batch>(app, 'batches', contextOf, {
    list: async (query, context) => await operations.listBatches(query, context),
    get: (request, context) => operations.getBatch(request, context),
    cancel: (request, context) => operations.cancelBatch(request, context),
    retry: (request, context) => operations.retryBatch(request, context),
    toJson: batchToJson,
  });
  registerKind<Dag>(app, 'dags', contextOf, {
    list: async (query, context) => await operations.listDags(query, context),
    get: (request, context) => operations.getDag(request, context),
    cancel: (request, context) => operations.cancelDag(request, context),
    retry: (request, context) => operations.retryDag(request, context),
    toJson: dagToJson,
  });
}

interface Kind<T> {
  list(
    query: ReturnType<typeof parseGroupsQuery>,
    context: CallContext,
  ): Promise<{ readonly items: readonly T[]; readonly next_cursor: string }>;
  get(request: GroupRequest, context: CallContext): Promise<T>;
  cancel(request: ChangeGroupRequest, context: CallContext): Promise<T>;
  retry(request: ChangeGroupRequest, context: CallContext): Promise<T>;
  toJson(group: T): object;
}

/** What both have: the same words for both. */
function registerKind<T>(
  app: FastifyInstance,
  path: 'batches' | 'dags',
  contextOf: (reply: FastifyReply) => CallContext,
  kind: Kind<T>,
): void {
  const changing =
    (change: Kind<T>['cancel']): Handler =>
    async (request, reply) => {
      expectNoQuery(request.query);
      const wanted = { id: parameter(request, 'id'), idempotency_key: idempotencyKey(request) };
      return kind.toJson(await change(wanted, contextOf(reply)));
    };
  on(app, `/${path}`, {
    GET: async (request, reply) => {
      const query = parseGroupsQuery(request.query);
      try {
        const { items, next_cursor: next } = await kind.list(query, contextOf(reply));
        return listToJson(
          items.map((item) => kind.toJson(item)),
          next,
        );
      } catch (error) {
        throw asMalformed(error);
      }
    },
  });
  on(app, `/${path}/:id`, {
    GET: async (request, reply) => {
      expectNoQuery(request.query);
      return kind.toJson(await kind.get({ id: parameter(request, 'id') }, contextOf(reply)));
    },
    DELETE: changing((request, context) => kind.cancel(request, context)),
  });
  on(app, `/${path}/:id/retry`, {
    POST: changing((request, context) => kind.retry(request, context)),
  });
}
