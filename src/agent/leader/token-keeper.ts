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

/** Where the first token is to be found; until it counts it stands aside. All is on disk once it resolves. */
export interface AdminTokenFile {
  readonly path: string;
  /** Whatever stood aside before. */
  setAside(token: TokenParts): Promise<void>;
  /** What stands aside; null: nothing that is a token. */
  tokenAside(): Promise<TokenParts | null>;
  /** What stands aside takes the place of the file. */
  publish(): Promise<void>;
  discard(): Promise<void>;
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
  /** What stands aside: it may have been proposed, and may count. Until it is decided no other takes its place. */
  #aside: TokenParts | null = null;
  /** The file changes in the order of what is asked of it. */
  #fileTurn: Promise<void>;

  constructor(options: TokenKeeperOptions) {
    this.#options = options;
    this.#time = new ClusterTime(options.clock);
    this.#unsubscribe = options.replica.onApplied((applied) => this.#applied(applied));
    // An earlier start may have come no further.
    this.#fileTurn = this.#findAside();
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
      await this.#settle();
      if (isRequired && !hasUsableAdmin(tokens, nowMs)) await this.#makeFirst(run);
      if (tokens.some((token) => isForgotten(token, nowMs)))
        await replica.propose({ type: 'expireTokens', term: run.term });
    } catch (error) {
      if (this.#run === run) log.warn({ error: messageOf(error) }, 'the tokens were not looked at');
    }
    if (this.#run === run) this.#cancelTimer = clock.after(limits.tokenLookMs, () => void this.#look(run));
  }

  /**
   * On disk before it counts: whoever finds none of an admin in the state makes one. The one of an earlier try is proposed again:
   * it may be accepted yet, and then no other would be.
   */
  async #makeFirst(run: { readonly term: number }): Promise<void> {
    const { replica, file, log } = this.#options;
    await this.#fileTurn;
    const token = this.#aside ?? newToken();
    const secret = await hashSecret(token.secret);
    if (this.#run !== run) return;
    await this.#inTurn(async () => {
      await file.setAside(token);
      this.#aside = token;
    });
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
    if (outcome.type !== 'done')
      log.warn({ reason: outcome.message }, 'the token of an admin that this node has made is not needed');
    await this.#settle();
  }

  #applied({ command, outcome }: Applied): void {
    if (command.type !== 'createToken' || !command.isFirst || outcome.type !== 'done') return;
    void this.#settle().catch((error: unknown) => this.#complain(error));
  }

  /** Never throws. */
  async #findAside(): Promise<void> {
    try {
      this.#aside = await this.#options.file.tokenAside();
      await this.#decide();
    } catch (error) {
      this.#complain(error);
    }
  }

  async #settle(): Promise<void> {
    await this.#inTurn(() => this.#decide());
  }

  /** Once it counts it has its name; where another does, it will not be accepted any more. */
  async #decide(): Promise<void> {
    const { replica, file, log } = this.#options;
    const id = this.#aside?.id;
    if (id === undefined) return;
    const { tokens, cluster } = replica.state;
    if (tokens.has(id)) {
      await file.publish();
      this.#aside = null;
      log.warn({ file: file.path, token: id }, 'there was no token of an admin: one is in this file');
    } else if (hasUsableAdmin([...tokens.values()], this.#time.nowMs(cluster?.timeMs ?? 0))) {
      await file.discard();
      this.#aside = null;
    }
  }

  async #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#fileTurn.then(change);
    // Whoever waits for it hears of its failure.
    this.#fileTurn = turn.catch(() => undefined);
    await turn;
  }

  #complain(error: unknown): void {
    const { file, log } = this.#options;
    log.warn(
      { file: file.path, error: messageOf(error) },
      'the file of the first token was not looked after',
    );
  }
}
