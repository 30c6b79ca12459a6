/** Tokens of callers, as admins make, see and revoke them; carried out by the leader. */
import type {
  CreateTokenRequest,
  CreateTokenResponse,
  ListTokensResponse,
  RevokeTokenRequest,
  Token,
} from '../generated/cluster.ts';
import type { Fault } from '../lib/errors.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { isName, NAME_RULE } from '../lib/names.ts';
import { formatDurationMs, parseDurationMs } from '../lib/quantities.ts';
import { formatTime } from '../lib/times.ts';
import { tokenText } from '../lib/token-text.ts';
import type { Outcome } from '../model/commands.ts';
import type { Role, TokenRow } from '../model/token.ts';
import { isRole, ROLES } from '../model/token.ts';
import type { CreateTokenResult } from '../scheduler/core/apply/tokens.ts';
import type { Replica } from '../scheduler/ports.ts';
import { invalidInput, show } from '../spec/faults.ts';
import type { CallContext, TokenOperations } from './port.ts';
import { idempotencyOf } from './requests.ts';
import { hashSecret, newToken } from './secrets.ts';
import { throwIfAborted } from './waiting.ts';

export interface LocalTokensOptions {
  readonly replica: Replica;
  readonly barrier: (context: Pick<CallContext, 'isStale' | 'signal'>) => Promise<void>;
  /** The result, or the refusal thrown. */
  readonly outcome: (proposed: Promise<Outcome>, signal: AbortSignal) => Promise<unknown>;
}

export class LocalTokens implements TokenOperations {
  readonly #options: LocalTokensOptions;

  constructor(options: LocalTokensOptions) {
    this.#options = options;
  }

  async createToken(request: CreateTokenRequest, context: CallContext): Promise<CreateTokenResponse> {
    const { replica, outcome } = this.#options;
    const { principal, signal } = context;
    const wanted = parseCreate(request);
    const { idempotency } = idempotencyOf({
      principal,
      route: 'POST /tokens',
      key: request.idempotency_key,
      content: wanted,
    });
    const { role, validMs } = wanted;
    const made = newToken();
    const secret = await hashSecret(made.secret);
    throwIfAborted(signal);
    const { id } = (await outcome(
      replica.propose({
        type: 'createToken',
        id: made.id,
        name: wanted.name === '' ? made.id : wanted.name,
        role,
        secret,
        validMs,
        principal,
        isFirst: false,
        idempotency,
      }),
      signal,
    )) as CreateTokenResult;
    if (id !== made.id)
      throw new JarvisError(
        'conflict',
        `an earlier try of this request has made token ${id}, and its answer is lost: revoke it, and create another`,
      );
    return { token: tokenView(this.#row(id)), text: tokenText(made) };
  }

  async listTokens(context: CallContext): Promise<ListTokensResponse> {
    const { replica, barrier } = this.#options;
    await barrier(context);
    const rows = [...replica.state.tokens.values()];
    rows.sort((a, b) => b.createdAtMs - a.createdAtMs || (a.id < b.id ? -1 : 1));
    return { items: rows.map(tokenView), next_cursor: '' };
  }

  async revokeToken(request: RevokeTokenRequest, context: CallContext): Promise<Token> {
    const { replica, barrier, outcome } = this.#options;
    const { principal, signal } = context;
    await barrier(context);
    const id = this.#resolve(request.id);
    const { idempotency } = idempotencyOf({
      principal,
      route: 'DELETE /tokens',
      key: request.idempotency_key,
      content: { id },
    });
    throwIfAborted(signal);
    await outcome(replica.propose({ type: 'revokeToken', id, idempotency }), signal);
    return tokenView(this.#row(id));
  }

  /** @throws JarvisError not_found, ambiguous */
  #resolve(text: string): string {
    const { tokens } = this.#options.replica.state;
    if (tokens.has(text)) return text;
    const ids = text === '' ? [] : [...tokens.keys()].filter((id) => id.startsWith(text)).sort();
    const [first] = ids;
    if (first === undefined) throw new JarvisError('not_found', `there is no token ${show(text)}`);
    if (ids.length === 1) return first;
    throw new JarvisError('ambiguous', `${show(text)} begins several ids: ${ids.slice(0, 5).join(', ')}`);
  }

  #row(id: string): TokenRow {
    const row = this.#options.replica.state.tokens.get(id);
    if (row === undefined) throw new JarvisError('not_found', `token ${id} is gone already`);
    return row;
  }
}

interface WantedToken {
  readonly name: string;
  readonly role: Role;
  readonly validMs: number | null;
}

/** @throws JarvisError invalid */
function parseCreate({ name, role, expires_in: expiresIn }: CreateTokenRequest): WantedToken {
  const faults: Fault[] = [];
  if (!isRole(role))
    faults.push({ path: 'role', message: `${show(role)} is no role; allowed: ${ROLES.join(', ')}` });
  if (name !== '' && !isName(name))
    faults.push({ path: 'name', message: `${show(name)} is not ${NAME_RULE}` });
  const validMs = expiresIn === undefined ? null : parseValid(expiresIn, faults);
  if (faults.length > 0 || !isRole(role)) throw invalidInput(faults);
  return { name, role, validMs };
}

function parseValid(text: string, faults: Fault[]): number | null {
  try {
    const validMs = parseDurationMs(text);
    if (validMs >= limits.tokenLeastValidMs) return validMs;
    const message = `${show(text)} is too short; allowed: from ${formatDurationMs(limits.tokenLeastValidMs)} on`;
    faults.push({ path: 'expires_in', message });
  } catch (error) {
    faults.push({ path: 'expires_in', message: messageOf(error) });
  }
  return null;
}

function tokenView(row: TokenRow): Token {
  const { id, name, role, createdAtMs, createdBy, expiresAtMs, revokedAtMs } = row;
  return {
    id,
    name,
    role,
    created_at: formatTime(createdAtMs),
    created_by: createdBy,
    expires_at: expiresAtMs === null ? undefined : formatTime(expiresAtMs),
    revoked_at: revokedAtMs === null ? undefined : formatTime(revokedAtMs),
  };
}
