/**
 * What a node does for one that has no certificate yet (docs/joining.md): it shows the authorities, has the leader check
 * the join token, and signs. And for members whose certificate ends: it signs another of the same name.
 */
import type {
  AuthoritiesReply,
  CertificateReply,
  EnrolmentServer,
  EnrolRequest,
  RenewRequest,
  UseTokenRequest,
  UseTokenReply,
} from '../../generated/enrolment.ts';
import { EnrolmentService } from '../../generated/enrolment.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import { hashOfSecret, parseJoinToken } from '../../lib/join-token.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import { isName, NAME_RULE } from '../../lib/names.ts';
import { RepeatedLines } from '../../lib/repeated-lines.ts';
import type { CallContext, JoinTokenUser } from '../../operations/port.ts';
import { unaryHandler } from '../../rpc/handlers.ts';
import type { Service } from '../../rpc/server.ts';
import { show } from '../../spec/faults.ts';
import type { NodeAudit } from '../node-audit.ts';
import type { CertificateSigner } from './certificate-signer.ts';
import { hashOfPublicKey } from './enrolled-files.ts';

const MOST_HOSTS = 16;
const MOST_HOST_CHARACTERS = 253;
const MOST_KEY_CHARACTERS = 4096;

export interface EnrolmentOptions {
  /** Null: this node has not the key of the authority. */
  readonly signer: Pick<CertificateSigner, 'sign'> | null;
  /** Of the cluster at present, as PEM. */
  readonly authoritiesPem: () => string;
  /** Checks and counts it, on the leader, wherever that is. @throws JarvisError forbidden, conflict, no_leader */
  readonly useToken: (user: JoinTokenUser, signal: AbortSignal) => Promise<void>;
  /** The same where this node leads. */
  readonly useTokenHere: (user: JoinTokenUser, signal: AbortSignal) => Promise<void>;
  readonly isMember: (name: string) => boolean;
  /** Names and addresses under which nodes are reached, and whose they are. */
  readonly hostOwners: () => ReadonlyMap<string, string>;
  readonly audit: NodeAudit;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
}

export class Enrolment {
  readonly #options: EnrolmentOptions;
  readonly #refusals: RepeatedLines;
  /** Anybody may ask. */
  #underWay = 0;

  constructor(options: EnrolmentOptions) {
    this.#options = options;
    this.#refusals = new RepeatedLines({
      clock: options.clock,
      intervalMs: limits.repeatedLineMs,
      kindsKept: limits.repeatedLineKinds,
    });
  }

  service(): Service {
    const { log } = this.#options;
    const handlers: EnrolmentServer = {
      authorities: unaryHandler(() => this.authorities(), log),
      enrol: unaryHandler((request, context) => this.enrol(request, context), log),
      useToken: unaryHandler((request, { signal }) => this.useToken(request, signal), log),
      renew: unaryHandler((request, context) => this.renew(request, context), log),
    };
    return { definition: EnrolmentService, handlers };
  }

  authorities(): AuthoritiesReply {
    return { authorities: this.#options.authoritiesPem() };
  }

  /** @throws JarvisError invalid, forbidden, conflict, too_many, unavailable, no_leader */
  async enrol(request: EnrolRequest, { caller, signal }: CallContext): Promise<CertificateReply> {
    const { audit } = this.#options;
    const asked = { operation: 'enrol', node: request.name, principal: '', caller } as const;
    const { reply, id } = await audit.attempt(asked, async () => {
      if (this.#underWay >= limits.enrolmentsAtOnce)
        throw new JarvisError('too_many', 'other nodes are being let in: ask again in a moment');
      this.#underWay += 1;
      try {
        return await this.#enrol(request, signal);
      } finally {
        this.#underWay -= 1;
      }
    });
    audit.done({ ...asked, principal: `join-token:${id}` });
    return reply;
  }

  /** @returns also the id of the token */
  async #enrol(
    request: EnrolRequest,
    signal: AbortSignal,
  ): Promise<{ readonly reply: CertificateReply; readonly id: string }> {
    const { name, join_token: text } = request;
    // Before the token is used up for nothing.
    const signer = this.#signer();
    const { id, secret } = parseJoinToken(text);
    const holder = this.#checked(request);
    const user = { id, secretHash: hashOfSecret(secret), node: name, holder };
    try {
      await this.#options.useToken(user, signal);
    } catch (error) {
      const reason = messageOf(error);
      // Anybody may show what is no token.
      this.#refusals.write(reason, (heldBack) =>
        this.#options.log.warn({ member: name, joinToken: id, reason, heldBack }, 'a join token is refused'),
      );
      throw error;
    }
    const reply = await this.#signed(signer, request);
    this.#options.log.info({ member: name, joinToken: id }, 'a node has come in by a join token');
    return { reply, id };
  }

  /** @throws JarvisError as the leader's operation does; no_leader where this node does not lead */
  async useToken(request: UseTokenRequest, signal: AbortSignal): Promise<UseTokenReply> {
    const { id, secret_hash: secretHash, node, holder } = request;
    await this.#options.useTokenHere({ id, secretHash, node, holder }, signal);
    return {};
  }

  /** Who asks is known by its certificate, which the listener has compared with the name. */
  async renew(request: RenewRequest, { caller }: CallContext): Promise<CertificateReply> {
    const { audit } = this.#options;
    const { name } = request;
    const asked = { operation: 'renew', node: name, principal: `node ${name}`, caller } as const;
    const reply = await audit.attempt(asked, () => this.#renew(request));
    audit.done(asked);
    return reply;
  }

  async #renew(request: RenewRequest): Promise<CertificateReply> {
    const { name } = request;
    const signer = this.#signer();
    this.#checked(request);
    if (!this.#options.isMember(name))
      throw new JarvisError(
        'forbidden',
        `${name} is no member of the cluster: it gets no further certificate`,
      );
    const reply = await this.#signed(signer, request);
    this.#options.log.info({ member: name }, 'the certificate of a member is renewed');
    return reply;
  }

  #signer(): Pick<CertificateSigner, 'sign'> {
    const { signer } = this.#options;
    if (signer !== null) return signer;
    throw new JarvisError(
      'unavailable',
      'this node cannot sign certificates: it was started without tls_ca_key; ask one that has it',
    );
  }

  async #signed(signer: Pick<CertificateSigner, 'sign'>, request: RenewRequest): Promise<CertificateReply> {
    const { name, public_key: publicKeyPem } = request;
    return {
      certificate: await signer.sign({ name, hosts: this.#ownHosts(request), publicKeyPem }),
      authorities: this.#options.authoritiesPem(),
    };
  }

  /** Without those of other nodes: it could pass itself off as one to whoever goes by the name of a host. */
  #ownHosts({ name, hosts }: RenewRequest): string[] {
    const owners = this.#options.hostOwners();
    const foreign = hosts.filter((host) => (owners.get(host) ?? name) !== name);
    if (foreign.length > 0)
      this.#options.log.warn(
        { member: name, hosts: foreign },
        'hosts of other nodes are left out of a certificate',
      );
    return hosts.filter((host) => !foreign.includes(host));
  }

  /** @returns what the key is known by */
  #checked({ name, public_key: publicKey, hosts }: RenewRequest): string {
    if (!isName(name)) throw new JarvisError('invalid', `name: ${show(name)} is not ${NAME_RULE}`);
    if (hosts.length > MOST_HOSTS)
      throw new JarvisError('invalid', `hosts: ${hosts.length} are too many: at most ${MOST_HOSTS}`);
    const long = hosts.find((host) => host.length > MOST_HOST_CHARACTERS);
    if (long !== undefined) throw new JarvisError('invalid', `hosts: ${show(long)} is too long`);
    try {
      if (publicKey.length > MOST_KEY_CHARACTERS) throw new Error('too long');
      return `key:${hashOfPublicKey(publicKey)}`;
    } catch (cause) {
      throw new JarvisError('invalid', 'public_key: is no public key (SubjectPublicKeyInfo as PEM)', {
        cause,
      });
    }
  }
}
