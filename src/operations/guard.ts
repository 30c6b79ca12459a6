/**
 * Lets in who may do what. It stands before every operation, over gRPC and HTTP alike: tells whose token came with the
 * call, looks at the role once the request is there in full, ends streams with their token, and has it recorded.
 */
import { timingSafeEqual } from 'node:crypto';

import { onAbort } from '../lib/abort.ts';
import { JarvisError } from '../lib/errors.ts';
import type { ErrorCode } from '../lib/errors.ts';
import type { Role } from '../model/token.ts';
import { mayAct } from '../model/token.ts';
import type { CallerTokens, KnownToken } from './caller-tokens.ts';
import type { Operation } from './permissions.ts';
import { leastRole, PERMISSIONS } from './permissions.ts';
import type { CallContext, Caller, ClusterOperations } from './port.ts';
import { abortError } from './waiting.ts';

/** Who did what, from where, and what came of it. */
export interface AuditRecord {
  /** `token:ID`, `join-token:ID`, `node NAME`; null where nobody was let in. */
  readonly principal: string | null;
  /** Of the token. */
  readonly name: string | null;
  readonly role: Role | null;
  /** Those after the first are what needs no token of a caller, but another proof. */
  readonly operation: Operation | 'authenticate' | 'connect' | 'join' | 'enrol' | 'renew';
  /** What it was about, such as an id; empty where it names nothing. */
  readonly target: string;
  /** Of the caller's end of the connection; of a forwarded call the node that sent it on. */
  readonly address: string;
  readonly forwarded: boolean;
  readonly result: 'ok' | ErrorCode;
}

export interface AuditTrail {
  /** @param denied also others can cause those */
  record(record: AuditRecord, denied: boolean): void;
}

export interface GuardOptions {
  readonly tokens: CallerTokens;
  /** Of a node; null: this node knows of none. */
  readonly startIdOf: (node: string) => string | null;
  readonly audit: AuditTrail;
}

/** Somebody who was let in. */
interface Admitted {
  readonly principal: string;
  /** Null: a node that asks for itself. */
  readonly token: KnownToken | null;
}

/** What a node may ask for itself, which has no token: what it does before it stops. */
const OWN_OPERATIONS: ReadonlySet<Operation> = new Set(['drainNode', 'getNode']);

export class Guard {
  readonly #options: GuardOptions;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  close(): void {
    this.#options.tokens.close();
  }

  /**
   * Before a request is read: what it asks for in detail may need more. {@link admit} looks at it all once more.
   * @param operation null where it is not known
   * @throws JarvisError unauthenticated, forbidden, too_many, unavailable
   */
  async authenticate(caller: Caller, operation: Operation | null, signal: AbortSignal): Promise<void> {
    let who: Admitted | null = null;
    const context = { caller, forwarded: false, signal };
    try {
      who = await this.#tokenOf(context);
      if (operation !== null) this.#expectRole(who, PERMISSIONS[operation].role);
    } catch (error) {
      this.#recordDenied(operation ?? 'authenticate', context, who, '', error);
      throw error;
    }
  }

  /**
   * The context that the operation is to be carried out in. Resolves in the same turn in which the token was looked at last.
   * @throws JarvisError unauthenticated, forbidden, too_many, unavailable
   */
  async admit(operation: Operation, request: unknown, context: CallContext): Promise<Admission> {
    let who: Admitted | null = null;
    try {
      who = this.#ownNode(operation, request, context) ?? (await this.#tokenOf(context));
      this.#expectRole(who, leastRole(operation, request));
      return new Admission(who, { ...context, principal: who.principal }, this.#options.tokens);
    } catch (error) {
      this.#recordDenied(operation, context, who, targetOf(request, null), error);
      throw error;
    }
  }

  /** One that answers once. */
  async answer<T>(
    operation: Operation,
    request: unknown,
    context: CallContext,
    carryOut: (context: CallContext) => Promise<T>,
  ): Promise<T> {
    const admission = await this.admit(operation, request, context);
    if (!PERMISSIONS[operation].changes) return await carryOut(admission.context);
    try {
      const answer = await carryOut(admission.context);
      this.#record(operation, context, admission.who, targetOf(request, answer), 'ok');
      return answer;
    } catch (error) {
      this.#record(operation, context, admission.who, targetOf(request, null), codeOf(error));
      throw error;
    }
  }

  /** One that answers with a stream, which ends with the token. @throws JarvisError unauthenticated then, too */
  async *stream<T>(
    operation: Operation,
    request: unknown,
    context: CallContext,
    open: (context: CallContext) => AsyncIterable<T>,
  ): AsyncGenerator<T, void> {
    const admission = await this.admit(operation, request, context);
    if (PERMISSIONS[operation].changes)
      this.#record(operation, context, admission.who, targetOf(request, null), 'ok');
    yield* admission.whileAdmitted(open);
  }

  /**
   * For a node without a copy of the state: whose the token is, and then nothing for as long as it can be used.
   * @throws JarvisError unauthenticated, at once or later
   */
  async *identify(asked: CallContext): AsyncGenerator<KnownToken, never> {
    const context = { ...asked, forwarded: true };
    const token = await this.#options.tokens
      .identify(context.caller, context.forwarded, context.signal)
      .catch((error: unknown) => {
        this.#recordDenied('authenticate', context, null, '', error);
        throw error;
      });
    using watch = this.#options.tokens.watch(token);
    yield token;
    const over = AbortSignal.any([watch.signal, context.signal]);
    await new Promise<void>((resolve) => {
      onAbort(over, resolve);
      if (over.aborted) resolve();
    });
    throw abortError(over);
  }

  /** @throws JarvisError unauthenticated, forbidden */
  #expectRole({ token }: Admitted, least: Role): void {
    if (token === null) return;
    const { id, role } = this.#options.tokens.usable(token);
    if (mayAct(role, least)) return;
    throw new JarvisError('forbidden', `this needs the role ${least}; token ${id} has the role ${role}`);
  }

  async #tokenOf({
    caller,
    forwarded,
    signal,
  }: Pick<CallContext, 'caller' | 'forwarded' | 'signal'>): Promise<Admitted> {
    const token = await this.#options.tokens.identify(caller, forwarded, signal);
    return { principal: `token:${token.id}`, token };
  }

  /** A node proves who it is by the start that it has registered with, which only nodes know. */
  #ownNode(operation: Operation, request: unknown, { caller }: CallContext): Admitted | null {
    const claimed = caller?.node ?? null;
    if (claimed === null || caller?.token !== null || !OWN_OPERATIONS.has(operation)) return null;
    if ((request as { readonly name: string }).name !== claimed.name) return null;
    const startId = this.#options.startIdOf(claimed.name) ?? '';
    if (startId === '' || !isSame(startId, claimed.startId)) return null;
    return { principal: `node ${claimed.name}`, token: null };
  }

  #recordDenied(
    operation: AuditRecord['operation'],
    context: Pick<CallContext, 'caller' | 'forwarded'>,
    who: Admitted | null,
    target: string,
    error: unknown,
  ): void {
    const record = recordOf(operation, context, who, target, codeOf(error));
    this.#options.audit.record(record, true);
  }

  #record(
    operation: Operation,
    context: CallContext,
    who: Admitted,
    target: string,
    result: AuditRecord['result'],
  ): void {
    this.#options.audit.record(recordOf(operation, context, who, target, result), false);
  }
}

/** Somebody was let in for one call. */
export class Admission {
  readonly who: Admitted;
  readonly context: CallContext;
  readonly #tokens: CallerTokens;

  constructor(who: Admitted, context: CallContext, tokens: CallerTokens) {
    this.who = who;
    this.context = context;
    this.#tokens = tokens;
  }

  /** The signal is aborted, with the reason, when the token cannot be used any more. */
  watch(): Disposable & { readonly signal: AbortSignal } {
    const { token } = this.who;
    if (token === null) return { signal: new AbortController().signal, [Symbol.dispose]: () => {} };
    return this.#tokens.watch(token);
  }

  /** What it consists of, for as long as the token can be used. @throws JarvisError unauthenticated */
  async *whileAdmitted<T>(open: (context: CallContext) => AsyncIterable<T>): AsyncGenerator<T, void> {
    using watch = this.watch();
    const signal = AbortSignal.any([this.context.signal, watch.signal]);
    const ended = Promise.withResolvers<never>();
    ended.promise.catch(() => undefined);
    const end = (): void => ended.reject(watch.signal.reason);
    watch.signal.addEventListener('abort', end);
    if (watch.signal.aborted) end();
    const items = open({ ...this.context, signal })[Symbol.asyncIterator]();
    let isOver = false;
    try {
      for (;;) {
        const next = items.next();
        // What comes of it after the end is nobody's.
        next.catch(() => undefined);
        const result = await Promise.race([next, ended.promise]);
        watch.signal.throwIfAborted();
        isOver = result.done === true;
        if (result.done === true) return;
        yield result.value;
      }
    } finally {
      watch.signal.removeEventListener('abort', end);
      // Not waited for where it may be in the middle of something: its signal tells it.
      const closed = isOver ? undefined : items.return?.();
      if (watch.signal.aborted) closed?.catch(() => undefined);
      else await closed;
    }
  }
}

/** Every operation behind the guard. */
export function guarded(operations: ClusterOperations, guard: Guard): ClusterOperations {
  type AnyOperation = (...call: readonly unknown[]) => Promise<unknown>;
  type AnyStream = (...call: readonly unknown[]) => AsyncIterable<unknown>;
  const wrapped: Record<string, unknown> = {
    version: () => operations.version(),
    freshness: () => operations.freshness(),
  };
  for (const name of Object.keys(PERMISSIONS) as Operation[]) {
    wrapped[name] = PERMISSIONS[name].streams
      ? (...call: readonly unknown[]) => {
          const { request, context, rest } = partsOf(call);
          const open = operations[name].bind(operations) as unknown as AnyStream;
          return guard.stream(name, request, context, (inner) => open(...rest, inner));
        }
      : (...call: readonly unknown[]) => {
          const { request, context, rest } = partsOf(call);
          const carryOut = operations[name].bind(operations) as unknown as AnyOperation;
          return guard.answer(name, request, context, (inner) => carryOut(...rest, inner));
        };
  }
  // PERMISSIONS names all of them, which the compiler holds it to.
  return wrapped as unknown as ClusterOperations;
}

/** Some are asked without a request. */
function partsOf(call: readonly unknown[]) {
  const context = call.at(-1) as CallContext;
  return { request: call.length > 1 ? call[0] : null, context, rest: call.slice(0, -1) };
}

function recordOf(
  operation: AuditRecord['operation'],
  { caller, forwarded }: Pick<CallContext, 'caller' | 'forwarded'>,
  who: Admitted | null,
  target: string,
  result: AuditRecord['result'],
): AuditRecord {
  const address = caller?.address ?? '';
  const { name = null, role = null } = who?.token ?? {};
  return { principal: who?.principal ?? null, name, role, operation, target, address, forwarded, result };
}

function codeOf(error: unknown): ErrorCode {
  return error instanceof JarvisError ? error.code : 'internal';
}

const MAX_NAMED = 3;

/** The ids that came of it or that it was about; names of what is new are the caller's own words. */
function targetOf(request: unknown, answer: unknown): string {
  const made = answer as {
    readonly tasks?: readonly { readonly id: string }[];
    readonly taskIds?: readonly string[];
    readonly batch_id?: string;
    readonly id?: string;
    readonly token?: { readonly id: string };
  } | null;
  const ids = made?.taskIds ?? (made?.batch_id === undefined ? made?.tasks?.map(({ id }) => id) : undefined);
  const whole = made?.batch_id ?? made?.token?.id ?? made?.id;
  if (whole !== undefined) return whole;
  if (ids !== undefined) {
    const more = ids.length > MAX_NAMED ? ` and ${ids.length - MAX_NAMED} more` : '';
    return ids.slice(0, MAX_NAMED).join(' ') + more;
  }
  const asked = request as Readonly<Record<string, unknown>> | null;
  for (const key of ['id', 'name', 'to', 'task_id']) {
    const value = asked?.[key];
    if (typeof value === 'string' && value !== '') return value;
  }
  return '';
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
