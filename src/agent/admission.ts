/**
 * Answers nodes that want to be let in, and those without a copy, which ask again and again (docs/adr/0013): the leader lets
 * them in, the others say who leads.
 */
import type { ClusterView, JoinReply, JoinRequest } from '../generated/raft.ts';
import { splitAddress } from '../lib/address.ts';
import { versionTold } from '../lib/cluster-version.ts';
import { JarvisError } from '../lib/errors.ts';
import { hashOfSecret, parseJoinToken } from '../lib/join-token.ts';
import { isName } from '../lib/names.ts';
import type { Log } from '../lib/log.ts';
import { copylessNode } from '../model/copyless-node.ts';
import type { Caller, JoinTokenUser } from '../operations/port.ts';
import type { ClusterRecord } from '../raft/data-directory.ts';
import { peerToWire } from '../raft/form-cluster.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Replica } from '../scheduler/ports.ts';
import type { ClusterViews } from './cluster-views.ts';
import type { Entered, Entrance } from './entrance.ts';
import type { NodeAudit } from './node-audit.ts';

/** How the leader checks join tokens. */
export interface JoinTokens {
  /** Of nodes that are not known yet. One that is shown is checked in any case. */
  readonly areRequired: boolean;
  /** Resolves once it counts. @throws JarvisError forbidden, conflict, no_leader */
  use(user: JoinTokenUser): Promise<void>;
}

interface Answer {
  readonly reply: JoinReply;
  /** The id of the join token that was counted; null: it needed none. */
  readonly joinToken: string | null;
  /** Null: another leads. */
  readonly entered: Entered | null;
}

export class Admission {
  readonly #raft: RaftNode;
  readonly #replica: Pick<Replica, 'state'>;
  readonly #cluster: ClusterRecord;
  readonly #entrance: Entrance;
  readonly #views: Pick<ClusterViews, 'current'>;
  readonly #isBarred: (name: string) => boolean;
  readonly #version: () => number;
  readonly #tokens: JoinTokens;
  readonly #audit: NodeAudit;
  readonly #log: Log;

  constructor(options: {
    raft: RaftNode;
    replica: Pick<Replica, 'state'>;
    cluster: ClusterRecord;
    entrance: Entrance;
    views: Pick<ClusterViews, 'current'>;
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
    this.#replica = options.replica;
    this.#entrance = options.entrance;
    this.#views = options.views;
    this.#isBarred = options.isBarred;
    this.#version = options.version;
    this.#tokens = options.tokens;
    this.#audit = options.audit;
    this.#log = options.log;
  }

  /**
   * Again for the same node it answers the same. One without a copy asks every few seconds: nothing is written about that.
   * @throws JarvisError invalid, unauthenticated, forbidden, conflict, no_leader, too_many, outcome_unknown, unavailable
   */
  async answer(request: JoinRequest, caller?: Caller): Promise<JoinReply> {
    const { name: node } = request;
    const asked = { operation: 'join', node, principal: '', caller } as const;
    const { reply, joinToken, entered } = this.#isCopyless(request)
      ? await this.#answer(request)
      : await this.#audit.attempt(asked, () => this.#answer(request));
    // Another leads, and will record it; or nothing has changed.
    if (entered?.isNew !== true) return reply;
    const principal = joinToken === null ? `node ${node}` : `join-token:${joinToken}`;
    this.#audit.done({ ...asked, principal });
    return reply;
  }

  async #answer(request: JoinRequest): Promise<Answer> {
    const { name, incarnation, address, cluster_id: clusterId } = request;
    if (!isName(name)) throw new JarvisError('invalid', `name: ${JSON.stringify(name)} is no name of a node`);
    splitAddress(address);
    if (incarnation === '') throw new JarvisError('invalid', 'incarnation: is missing');
    if (clusterId !== '' && clusterId !== this.#cluster.clusterId)
      throw new JarvisError('conflict', `this is cluster ${this.#cluster.clusterId}, and not ${clusterId}`);
    const elsewhere = this.#leaderElsewhere();
    if (elsewhere !== null) {
      const reply = { leader_address: elsewhere, cluster_id: '', epoch: 0, founders: [], raft_id: 0 };
      return { reply, joinToken: null, entered: null };
    }
    await this.#checkFormer(request);
    const mayHoldLog = versionTold(request.known_version) >= this.#version();
    if (!mayHoldLog && !this.#isCopyless(request)) throw this.#tooOld(request);
    this.#checkBarred(request);
    const joinToken = await this.#checkToken(request);
    const node = { name, incarnation, address };
    // Whoever can do without has none when it asks.
    const { works_without_copy: worksWithoutCopy } = request;
    const abilities = { worksWithoutCopy, mayHoldLog, hasNoLog: worksWithoutCopy };
    const entered = await this.#entrance.letIn(node, abilities);
    const as = { member: name, address };
    if (entered.peer !== null) this.#log.info({ ...as, raftId: entered.peer.raftId }, 'a node has joined');
    else if (entered.isNew) this.#log.info(as, 'a node has joined, and works without a copy of the state');
    return { reply: this.#replyTo(request, entered), joinToken, entered };
  }

  #replyTo({ view_digest: known }: JoinRequest, { peer }: Entered): JoinReply {
    const { clusterId, epoch, founders } = this.#cluster;
    const reply = {
      leader_address: '',
      cluster_id: clusterId,
      epoch,
      founders: founders.map(peerToWire),
      raft_id: peer?.raftId ?? 0,
    };
    if (peer !== null) return reply;
    const view: ClusterView = this.#views.current();
    return view.digest === known ? reply : { ...reply, view };
  }

  /** It works without a copy of the state, under this name, and has said so by its incarnation. */
  #isCopyless({ name, incarnation }: JoinRequest): boolean {
    const { peers } = this.#raft.membership;
    return copylessNode(this.#replica.state, peers, name)?.incarnation === incarnation;
  }

  /** By its incarnation, or that of the place that it takes. */
  #isKnown({ name, incarnation, former_incarnation: former }: JoinRequest): boolean {
    const isOwn = (known: { readonly incarnation: string }): boolean =>
      known.incarnation === incarnation || known.incarnation === former;
    if (this.#raft.membership.peers.some(isOwn)) return true;
    const { copylessNodes } = this.#replica.state;
    const row = copylessNodes.get(name);
    if (row !== undefined && isOwn(row)) return true;
    // One with another name is no stranger, but told that it may not.
    return [...copylessNodes.values()].some(isOwn);
  }

  /** It could not apply what is in the log. */
  #tooOld({ name, known_version }: JoinRequest): JarvisError {
    const known = versionTold(known_version);
    return new JarvisError(
      'forbidden',
      `the cluster is at version ${this.#version()}, and ${name} knows version ${known} only: start it with a later build`,
    );
  }

  /**
   * Who was removed does not come back by itself. Whoever hears so ends, and so it must not come from a node that leads no more, and
   * does not know of those who were let in since.
   * @throws JarvisError forbidden, no_leader, too_many
   */
  async #checkFormer(request: JoinRequest): Promise<void> {
    if (request.former_incarnation === '' || this.#isKnown(request)) return;
    await this.#raft.confirmLeadership(new AbortController().signal);
    if (this.#isKnown(request)) return;
    throw new JarvisError(
      'forbidden',
      `${request.name} was removed from the cluster, and cannot take its former place`,
    );
  }

  /** Nor with a new data directory and nothing but the certificate that it has still. @throws JarvisError forbidden */
  #checkBarred({ name: node, incarnation, join_token: text }: JoinRequest): void {
    if (text !== '' || !this.#isBarred(node)) return;
    const { peers } = this.#raft.membership;
    if (peers.some((peer) => peer.incarnation === incarnation || peer.name === node)) return;
    if (this.#replica.state.copylessNodes.has(node)) return;
    throw new JarvisError(
      'forbidden',
      `${node} was removed from the cluster, and its certificate alone does not let it in again: ` +
        `with a join token it does (\`jarvisctl cluster join-token --name ${node}\`)`,
    );
  }

  /**
   * A node that is known by its incarnation, or comes back in the place of one, has shown a token before, if it had to.
   * @returns the id of the token that counts; null: it needed none
   * @throws JarvisError unauthenticated, forbidden; conflict where the name is taken
   */
  async #checkToken(request: JoinRequest): Promise<string | null> {
    const { name: node, incarnation, join_token: text } = request;
    if (this.#isKnown(request)) return null;
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
