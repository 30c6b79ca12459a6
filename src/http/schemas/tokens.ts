/** Tokens of callers as the API takes them and answers with them; see `spec/token-json.ts`. */
import { z } from 'zod';

import { ROLES } from '../../model/token.ts';
import { component, list, text, time } from './components.ts';

export const token = component(
  'Token',
  z.object({
    id: text,
    name: text,
    role: z.enum(ROLES),
    created_at: time,
    created_by: text.describe('The principal that asked for it'),
    expires_at: time.nullable().describe('null: never'),
    revoked_at: time.nullable(),
  }),
);

export const tokenList = list('TokenList', token);

export const createdToken = component(
  'CreatedToken',
  token.extend({ token: text.describe('The token itself, which is shown this once') }),
);
