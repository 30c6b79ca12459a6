/** What callers show where the cluster asks for it. */
import { z } from 'zod';

import { listToJson } from '../../spec/json.ts';
import { createdTokenToJson, tokenToJson } from '../../spec/token-json.ts';
import { parseBody } from '../query.ts';
import { idempotencyKey } from '../requests.ts';
import { route } from '../route.ts';
import { createdToken, token, tokenList } from '../schemas/tokens.ts';

const newToken = z.strictObject({
  role: z.string(),
  name: z.string().optional(),
  /** Seconds, or a duration such as `30d`. */
  expires: z.union([z.string(), z.number()]).nullish(),
});

export const tokenRoutes = [
  route({
    method: 'POST',
    path: '/tokens',
    operation: 'createToken',
    summary: 'Makes a token; its text is in this answer and never to be had again',
    status: 201,
    answer: createdToken,
    body: { schema: newToken },
    handler: async ({ operations, request, reply, body, context }) => {
      const { role, name = '', expires } = parseBody(newToken, body);
      const expiry = expires === null || expires === undefined ? undefined : String(expires);
      const asked = { role, name, expires_in: expiry, idempotency_key: idempotencyKey(request) };
      const created = await operations.createToken(asked, context());
      // No cache and no history of a browser may keep it.
      reply.header('cache-control', 'no-store').header('location', `/tokens/${created.token?.id}`);
      return createdTokenToJson(created);
    },
  }),
  route({
    method: 'GET',
    path: '/tokens',
    operation: 'listTokens',
    summary: 'The tokens, without their texts, newest first',
    answer: tokenList,
    isRead: true,
    handler: async ({ operations, context }) => {
      const { items, next_cursor: next } = await operations.listTokens(context());
      return listToJson(items.map(tokenToJson), next);
    },
  }),
  route({
    method: 'DELETE',
    path: '/tokens/:id',
    operation: 'revokeToken',
    summary: 'Revokes a token: it lets nobody in any more, and streams that it has opened end',
    answer: token,
    handler: async ({ operations, request, parameter, context }) => {
      const asked = { id: parameter('id'), idempotency_key: idempotencyKey(request) };
      return tokenToJson(await operations.revokeToken(asked, context()));
    },
  }),
];
