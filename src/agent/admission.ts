/** Answers nodes that want to be members: the leader adds them, the others say who leads. */
import type { JoinReply, JoinRequest } from '../generated/raft.ts';
import { splitAddress } from '../lib/address.ts';
import { JarvisError } from '../lib/errors.ts';
import { hashOfSecret, parseJoinToken } from '../lib/join-token.ts';
import { isName } from '../lib/names.ts';
import type { Log } from '../lib/log.ts';
import type { JoinTokenUser } from '../operations/port.ts';
import type { ClusterRecord } from '../raft/data-directory.ts';
import { peerToWire } from '../raft/form-cluster.ts';
import type { RaftNode } from '../raft/node.ts';

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
  readonly #tokens: JoinTokens;
  readonly #log: Log;

  constructor(options: {
    raft: RaftNode;
    cluster: ClusterRecord;
    /** At present. */
    learnersAllowed: () => number;
    tokens: JoinTokens;
    log: Log;
  }) {
    this.#raft = options.raft;
    this.#cluster = options.cluster;
    this.#learnersAllowed = options.learnersAllowed;
    this.#tokens = options.tokens;
    this.#log = options.log;
  }

  /**
   * Again for the same node it answers the same.
   * @throws JarvisError invalid, unauthenticated, forbidden, conflict, no_leader, too_many, outcome_unknown
   */
  async answer(request: JoinRequest): Promise<JoinReply> {
    const { name, incarnation, address, cluster_id: clusterId } = request;
    if (!isName(name)) throw new JarvisError('invalid', `name: ${JSON.stringify(name)} is no name of a node`);
    splitAddress(address);
    if (incarnation === '') throw new JarvisError('invalid', 'incarnation: is missing');
    if (clusterId !== '' && clusterId !== this.#cluster.clusterId)
      throw new JarvisError('conflict', `this is cluster ${this.#cluster.clusterId}, and not ${clusterId}`);
    const elsewhere = this.#leaderElsewhere();
    if (elsewhere !== null)
      return { leader_address: elsewhere, cluster_id: '', epoch: 0, founders: [], raft_id: 0 };
    this.#checkFormer(request);
    await this.#checkToken(request);
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
    return {
      leader_address: '',
      cluster_id: this.#cluster.clusterId,
      epoch,
      founders: founders.map(peerToWire),
      raft_id: member.raftId,
    };
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

  /**
   * A member that is known by its incarnation, or comes back in the place of one, has shown a token before, if it had to.
   * @throws JarvisError unauthenticated, forbidden; conflict where the name is taken
   */
  async #checkToken(request: JoinRequest): Promise<void> {
    const { name: node, incarnation, former_incarnation: former, join_token: text } = request;
    if (this.#raft.membership.peers.some((peer) => [former, incarnation].includes(peer.incarnation))) return;
    if (text === '' && !this.#tokens.areRequired) return;
    if (text === '')
      throw new JarvisError(
        'unauthenticated',
        `this cluster lets nodes in with a join token only: \`jarvisctl cluster join-token --name ${node}\` makes one`,
      );
    const { id, secret } = parseJoinToken(text);
    const user = { id, secretHash: hashOfSecret(secret), node, holder: `incarnation:${incarnation}` };
    await this.#tokens.use(user);
    this.#log.info({ member: node, joinToken: id }, 'a node has shown a join token');
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
