/** Join tokens as the API answers with them; see `spec/join-token-json.ts`. */
import { z } from 'zod';

import { component, count, list, text, time } from './components.ts';

export const joinToken = component(
  'JoinToken',
  z.object({
    id: text,
    name: text.nullable().describe('The one node that may use it; null: any'),
    created_at: time,
    created_by: text,
    expires_at: time,
    uses: count,
    uses_left: count,
    used_by: z.array(z.object({ node: text, at: time })),
  }),
);

export const joinTokenList = list('JoinTokenList', joinToken);

export const createdJoinToken = component(
  'CreatedJoinToken',
  joinToken.extend({ token: text.describe('The token itself, which is shown this once') }),
);
