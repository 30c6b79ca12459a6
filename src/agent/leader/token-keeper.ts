/**
 * For as long as this node leads: sees to it that there is a token of an admin, where tokens are asked for, and forgets
 * those that ended long ago.
 */
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import type { TokenParts } from '../../lib/token-text.ts';
import { ADMIN_TOKEN_NAME, hasUsableAdmin } from '../../model/token.ts';
import { hashSecret, newToken } from '../../operations/secrets.ts';
import { ClusterTime } from '../../scheduler/cluster-time.ts';
import { isForgotten } from '../../scheduler/core/apply/tokens.ts';
import type { Applied, Replica } from '../../scheduler/ports.ts';

/** Where the first token is to be found. */
export interface AdminTokenFile {
  readonly path: string;
  /** Resolves once it is on disk, whole, whatever was there before. */
  write(token: TokenParts): Promise<void>;
  /** Where it holds the token of that id. */
  removeIf(id: string): Promise<void>;
}

interface TokenKeeperOptions {
  readonly replica: Replica;
  /** Whether callers need tokens. */
  readonly isRequired: boolean;
  readonly file: AdminTokenFile;
  readonly clock: Clock;
  readonly log: Log;
}

export class TokenKeeper {
  readonly #options: TokenKeeperOptions;
  readonly #time: ClusterTime;
  readonly #unsubscribe: () => void;
  /** From a start to its stop; what comes back after its end finds another one. */
  #run: { readonly term: number } | null = null;
  #cancelTimer: () => void = () => {};
  /** The id of what this process has written to the file and nobody has accepted yet. */
  #written: string | null = null;

  constructor(options: TokenKeeperOptions) {
    this.#options = options;
    this.#time = new ClusterTime(options.clock);
    this.#unsubscribe = options.replica.onApplied((applied) => void this.#applied(applied));
  }

  close(): void {
    this.stop();
    this.#unsubscribe();
  }

  start(term: number): void {
    this.stop();
    const run = { term };
    this.#run = run;
    void this.#look(run);
  }

  stop(): void {
    this.#run = null;
    this.#cancelTimer();
  }

  /** Never throws. */
  async #look(run: { readonly term: number }): Promise<void> {
    const { replica, clock, log, isRequired } = this.#options;
    try {
      const nowMs = this.#time.nowMs(replica.state.cluster?.timeMs ?? 0);
      const tokens = [...replica.state.tokens.values()];
      if (isRequired && !hasUsableAdmin(tokens, nowMs)) await this.#makeFirst(run);
      if (tokens.some((token) => isForgotten(token, nowMs)))
        await replica.propose({ type: 'expireTokens', term: run.term });
    } catch (error) {
      if (this.#run === run) log.warn({ error: messageOf(error) }, 'the tokens were not looked at');
    }
    if (this.#run === run) this.#cancelTimer = clock.after(limits.tokenLookMs, () => void this.#look(run));
  }

  /** On disk before it counts: whoever finds none of an admin in the state writes anew. */
  async #makeFirst(run: { readonly term: number }): Promise<void> {
    const { replica, file, log } = this.#options;
    const token = newToken();
    const secret = await hashSecret(token.secret);
    if (this.#run !== run) return;
    this.#written = token.id;
    await file.write(token);
    if (this.#run !== run) return;
    const outcome = await replica.propose({
      type: 'createToken',
      id: token.id,
      name: ADMIN_TOKEN_NAME,
      role: 'admin',
      secret,
      validMs: null,
      principal: `node ${replica.nodeName}`,
      isFirst: true,
      idempotency: null,
    });
    if (outcome.type === 'done') {
      log.warn({ file: file.path, token: token.id }, 'there was no token of an admin: one is in this file');
      return;
    }
    log.warn({ reason: outcome.message }, 'the token of an admin that this node has made is not needed');
    await this.#remove();
  }

  /** Another node's counts, and this one's file leads nowhere. */
  async #applied({ command, outcome }: Applied): Promise<void> {
    if (command.type !== 'createToken' || !command.isFirst || outcome.type !== 'done') return;
    if (command.id === this.#written) this.#written = null;
    else await this.#remove();
  }

  /** Never throws. */
  async #remove(): Promise<void> {
    const { file, log } = this.#options;
    const id = this.#written;
    this.#written = null;
    if (id === null) return;
    try {
      await file.removeIf(id);
    } catch (error) {
      log.warn(
        { file: file.path, error: messageOf(error) },
        'a token that counts for nothing was not removed',
      );
    }
  }
}
