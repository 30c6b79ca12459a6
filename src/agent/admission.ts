/** Answers nodes that want to be members: the leader adds them, the others say who leads. */
import type { JoinReply, JoinRequest } from '../generated/raft.ts';
import { splitAddress } from '../lib/address.ts';
import { versionTold } from '../lib/cluster-version.ts';
import { JarvisError } from '../lib/errors.ts';
import { hashOfSecret, parseJoinToken } from '../lib/join-token.ts';
import { isName } from '../lib/names.ts';
import type { Log } from '../lib/log.ts';
import type { Caller, JoinTokenUser } from '../operations/port.ts';
import type { ClusterRecord } from '../raft/data-directory.ts';
import { peerToWire } from '../raft/form-cluster.ts';
import type { RaftNode } from '../raft/node.ts';
import type { NodeAudit } from './node-audit.ts';

/** How the leader checks join tokens. */
export interface JoinTokens {
  /** Of nodes that are not known yet. One that is shown is checked in any case. */
  readonly areRequired: boolean;
  /** Resolves once it counts. @throws JarvisError forbidden, conflict, no_leader */
  use(user: JoinTokenUser): Promise<void>;
}

export class Admission {
  readonly #raft: RaftNode;
  readonly #cluster: ClusterRecord;
  readonly #learnersAllowed: () => number;
  readonly #isBarred: (name: string) => boolean;
  readonly #version: () => number;
  readonly #tokens: JoinTokens;
  readonly #audit: NodeAudit;
  readonly #log: Log;

  constructor(options: {
    raft: RaftNode;
    cluster: ClusterRecord;
    /** At present. */
    learnersAllowed: () => number;
    /** A member of that name was removed, and no certificate lets it in. */
    isBarred: (name: string) => boolean;
    /** Of the cluster. */
    version: () => number;
    tokens: JoinTokens;
    audit: NodeAudit;
    log: Log;
  }) {
    this.#raft = options.raft;
    this.#cluster = options.cluster;
    this.#learnersAllowed = options.learnersAllowed;
    this.#isBarred = options.isBarred;
    this.#version = options.version;
    this.#tokens = options.tokens;
    this.#audit = options.audit;
    this.#log = options.log;
  }

  /**
   * Again for the same node it answers the same.
   * @throws JarvisError invalid, unauthenticated, forbidden, conflict, no_leader, too_many, outcome_unknown
   */
  async answer(request: JoinRequest, caller?: Caller): Promise<JoinReply> {
    const { name: node, incarnation, address } = request;
    const { peers } = this.#raft.membership;
    const isKnown = peers.some((peer) => peer.incarnation === incarnation && peer.address === address);
    const asked = { operation: 'join', node, principal: '', caller } as const;
    const { reply, joinToken } = await this.#audit.attempt(asked, () => this.#answer(request));
    // Another leads, and will record it; or nothing has changed.
    if (reply.leader_address !== '' || isKnown) return reply;
    const principal = joinToken === null ? `node ${node}` : `join-token:${joinToken}`;
    this.#audit.done({ ...asked, principal });
    return reply;
  }

  /** @returns also the id of the join token that was counted */
  async #answer(
    request: JoinRequest,
  ): Promise<{ readonly reply: JoinReply; readonly joinToken: string | null }> {
    const { name, incarnation, address, cluster_id: clusterId } = request;
    if (!isName(name)) throw new JarvisError('invalid', `name: ${JSON.stringify(name)} is no name of a node`);
    splitAddress(address);
    if (incarnation === '') throw new JarvisError('invalid', 'incarnation: is missing');
    if (clusterId !== '' && clusterId !== this.#cluster.clusterId)
      throw new JarvisError('conflict', `this is cluster ${this.#cluster.clusterId}, and not ${clusterId}`);
    const elsewhere = this.#leaderElsewhere();
    if (elsewhere !== null) {
      const reply = { leader_address: elsewhere, cluster_id: '', epoch: 0, founders: [], raft_id: 0 };
      return { reply, joinToken: null };
    }
    this.#checkVersion(request);
    this.#checkFormer(request);
    this.#checkBarred(request);
    const joinToken = await this.#checkToken(request);
    const node = { name, incarnation, address };
    const { peers } = await this.#raft.changeMembership({
      type: 'add',
      node,
      learnersAllowed: this.#learnersAllowed(),
    });
    const member = peers.find((peer) => peer.incarnation === incarnation);
    if (member === undefined) throw new JarvisError('conflict', `${name} was removed while it was added`);
    this.#log.info({ member: name, raftId: member.raftId, address }, 'a node has joined');
    const { epoch, founders } = this.#cluster;
    const reply = {
      leader_address: '',
      cluster_id: this.#cluster.clusterId,
      epoch,
      founders: founders.map(peerToWire),
      raft_id: member.raftId,
    };
    return { reply, joinToken };
  }

  /** It could not apply what is in the log. @throws JarvisError forbidden */
  #checkVersion({ name, known_version }: JoinRequest): void {
    const known = versionTold(known_version);
    const version = this.#version();
    if (known >= version) return;
    throw new JarvisError(
      'forbidden',
      `the cluster is at version ${version}, and ${name} knows version ${known} only: start it with a later build`,
    );
  }

  /** Who was removed does not come back by itself. @throws JarvisError forbidden */
  #checkFormer({ name, incarnation, former_incarnation: former }: JoinRequest): void {
    const { peers } = this.#raft.membership;
    if (former === '' || peers.some((peer) => [former, incarnation].includes(peer.incarnation))) return;
    throw new JarvisError(
      'forbidden',
      `${name} was removed from the cluster, and cannot take its former place`,
    );
  }

  /** Nor with a new data directory and nothing but the certificate that it has still. @throws JarvisError forbidden */
  #checkBarred({ name: node, incarnation, join_token: text }: JoinRequest): void {
    const { peers } = this.#raft.membership;
    if (text !== '' || peers.some((peer) => peer.incarnation === incarnation || peer.name === node)) return;
    if (!this.#isBarred(node)) return;
    throw new JarvisError(
      'forbidden',
      `${node} was removed from the cluster, and its certificate alone does not let it in again: ` +
        `with a join token it does (\`jarvisctl cluster join-token --name ${node}\`)`,
    );
  }

  /**
   * A member that is known by its incarnation, or comes back in the place of one, has shown a token before, if it had to.
   * @returns the id of the token that counts; null: it needed none
   * @throws JarvisError unauthenticated, forbidden; conflict where the name is taken
   */
  async #checkToken(request: JoinRequest): Promise<string | null> {
    const { name: node, incarnation, former_incarnation: former, join_token: text } = request;
    if (this.#raft.membership.peers.some((peer) => [former, incarnation].includes(peer.incarnation)))
      return null;
    if (text === '' && !this.#tokens.areRequired) return null;
    if (text === '')
      throw new JarvisError(
        'unauthenticated',
        `this cluster lets nodes in with a join token only: \`jarvisctl cluster join-token --name ${node}\` makes one`,
      );
    const { id, secret } = parseJoinToken(text);
    const user = { id, secretHash: hashOfSecret(secret), node, holder: `incarnation:${incarnation}` };
    await this.#tokens.use(user);
    this.#log.info({ member: node, joinToken: id }, 'a node has shown a join token');
    return id;
  }

  #leaderElsewhere(): string | null {
    const { isLeader, leader } = this.#raft.leadership();
    if (isLeader) return null;
    const known = this.#raft.membership.peers.find(({ raftId }) => raftId === leader);
    if (known === undefined || leader === this.#raft.status().id)
      throw new JarvisError('no_leader', 'the cluster has no leader at present');
    return known.address;
  }
}
