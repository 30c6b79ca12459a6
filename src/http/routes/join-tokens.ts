/** With which nodes come in that the cluster does not know yet. */
import { parseNewJoinToken } from '../../spec/join-token-request.ts';
import { createdJoinTokenToJson, joinTokenToJson } from '../../spec/join-token-json.ts';
import { listToJson } from '../../spec/json.ts';
import { idempotencyKey } from '../requests.ts';
import { route } from '../route.ts';
import { newJoinToken } from '../schemas/bodies.ts';
import { createdJoinToken, joinToken, joinTokenList } from '../schemas/join-tokens.ts';

export const joinTokenRoutes = [
  route({
    method: 'POST',
    path: '/cluster/join-tokens',
    operation: 'createJoinToken',
    summary: 'Makes a join token, and shows it this once',
    status: 201,
    answer: createdJoinToken,
    body: { schema: newJoinToken, isOptional: true },
    handler: async ({ request, reply, operations, body, context }) => {
      const { validMs, uses, node } = parseNewJoinToken(body);
      const created = await operations.createJoinToken(
        {
          expires: `${validMs}ms`,
          uses,
          name: node ?? undefined,
          idempotency_key: idempotencyKey(request),
          secret_hash: '',
        },
        context(),
      );
      // Nothing between here and the caller keeps it.
      reply
        .header('cache-control', 'no-store')
        .header('location', `/cluster/join-tokens/${created.info?.id}`);
      return createdJoinTokenToJson(created);
    },
  }),
  route({
    method: 'GET',
    path: '/cluster/join-tokens',
    operation: 'listJoinTokens',
    summary: 'The join tokens that have not expired, the newest first; never what they are worth',
    answer: joinTokenList,
    isRead: true,
    handler: async ({ operations, context }) => {
      const { items } = await operations.listJoinTokens(context());
      return listToJson(items.map(joinTokenToJson));
    },
  }),
  route({
    method: 'GET',
    path: '/cluster/join-tokens/:id',
    operation: 'getJoinToken',
    summary: 'One join token that has not expired; never what it is worth',
    answer: joinToken,
    isRead: true,
    handler: async ({ operations, parameter, context }) =>
      joinTokenToJson(await operations.getJoinToken({ id: parameter('id') }, context())),
  }),
  route({
    method: 'DELETE',
    path: '/cluster/join-tokens/:id',
    operation: 'deleteJoinToken',
    summary: 'Deletes a join token: nobody comes in by it any more',
    answer: joinToken,
    handler: async ({ request, operations, parameter, context }) => {
      const asked = { id: parameter('id'), idempotency_key: idempotencyKey(request) };
      return joinTokenToJson(await operations.deleteJoinToken(asked, context()));
    },
  }),
];
