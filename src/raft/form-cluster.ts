/** The shell of the bootstrap: asks every peer until a cluster has formed or can never form, and answers theirs. */
import { createHash } from 'node:crypto';

import type { BootstrapReply, BootstrapRequest } from '../generated/raft.ts';
import type { Clock } from '../lib/clock.ts';
import { CLUSTER_VERSION, FIRST_CLUSTER_VERSION, versionTold } from '../lib/cluster-version.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import {
  foundersOf,
  judge,
  LOST_DISK,
  peerList,
  sameFounders,
  type BootstrapAnswer,
  type FormedCluster,
  type PeerAddress,
  type Self,
} from './bootstrap.ts';
import type { Peer } from './ports.ts';

/** Asks one peer; rejects where it cannot be reached. */
export type AskPeer = (peer: PeerAddress, request: BootstrapRequest) => Promise<BootstrapReply>;

export class ClusterFormation {
  readonly #self: Self;
  readonly #log: Log;
  /** What this node would form at present; to answer a request it takes that of nobody else. */
  #founders: readonly Peer[] | null = null;
  #formed: FormedCluster | null;
  #version = FIRST_CLUSTER_VERSION;

  constructor(options: { self: Self; formed: FormedCluster | null; log: Log }) {
    this.#self = options.self;
    this.#formed = options.formed;
    this.#log = options.log;
  }

  /** This node has joined a cluster: from now on it says so. */
  joined(cluster: FormedCluster): void {
    this.#formed = cluster;
  }

  /** The cluster version that all of its peers know, as of when the cluster was formed here; else the first. */
  get version(): number {
    return this.#version;
  }

  /** The handler of `Raft.Bootstrap`. */
  answer(request: BootstrapRequest): BootstrapReply {
    const formed = this.#formed;
    const agrees =
      formed === null &&
      this.#founders !== null &&
      sameFounders(this.#founders, request.founders.map(peerFromWire));
    return {
      name: this.#self.name,
      incarnation: this.#self.incarnation,
      peers: [...peerList(this.#self.peers)],
      config: this.#self.config,
      agrees,
      cluster_id: formed?.clusterId ?? '',
      founders: (formed?.founders ?? []).map(peerToWire),
      known_version: CLUSTER_VERSION,
    };
  }

  /**
   * Resolves with the cluster that has formed, or that this node is named in, or with the word that there is one that
   * this node has been part of, and has to join anew. Waits for as long as a peer is missing:
   * a founder that starts an hour later is no fault.
   * @throws JarvisError conflict where this can never become one cluster; the signal's reason when aborted
   */
  async form(options: {
    ask: AskPeer;
    clock: Clock;
    signal: AbortSignal;
  }): Promise<FormedCluster | typeof LOST_DISK> {
    const others = this.#self.peers.filter(({ name }) => name !== this.#self.name);
    let missingBefore = '';
    for (;;) {
      options.signal.throwIfAborted();
      const { formed, missing } = await this.#round(others, options.ask);
      if (formed === LOST_DISK) return formed;
      if (formed !== null) {
        this.#formed = formed;
        return formed;
      }
      if (missing !== missingBefore && missing !== '') this.#log.info({ missing }, 'waiting for peers');
      missingBefore = missing;
      await new Promise<void>((resolve) => {
        options.clock.after(limits.bootstrapRetryMs, resolve);
      });
    }
  }

  async #round(
    others: readonly PeerAddress[],
    ask: AskPeer,
  ): Promise<{ formed: FormedCluster | typeof LOST_DISK | null; missing: string }> {
    const heard: { asked: PeerAddress; answer: BootstrapAnswer }[] = [];
    const proposed = this.#founders;
    const replies = await Promise.allSettled(others.map((peer) => ask(peer, this.#request(proposed))));
    const missing: string[] = [];
    for (const [at, reply] of replies.entries()) {
      const peer = others[at];
      if (peer === undefined) continue;
      if (reply.status === 'rejected') {
        this.#log.debug({ peer: peer.name, error: messageOf(reply.reason) }, 'peer does not answer');
        missing.push(`${peer.name}=${peer.address}`);
        continue;
      }
      heard.push({ asked: peer, answer: answerFromWire(reply.value) });
    }
    this.#version =
      missing.length > 0
        ? FIRST_CLUSTER_VERSION
        : Math.min(CLUSTER_VERSION, ...heard.map(({ answer }) => answer.knownVersion));
    const formed = judge(this.#self, heard);
    if (formed === LOST_DISK) return { formed, missing: '' };
    if (formed !== null) return { formed: this.#checked(formed), missing: '' };
    const answers = new Map(heard.map(({ answer }) => [answer.name, answer]));
    const founders = foundersOf(this.#self, answers);
    if (founders === null) return { formed: null, missing: missing.join(', ') };
    // The answers agree to what was asked, so they count only while that is still what this node would form itself.
    const unchanged = proposed !== null && sameFounders(proposed, founders);
    if (unchanged && [...answers.values()].every((answer) => answer.agrees)) {
      return { formed: { clusterId: clusterIdOf(founders), founders }, missing: '' };
    }
    if (!unchanged) this.#founders = founders;
    return { formed: null, missing: '' };
  }

  #request(founders: readonly Peer[] | null): BootstrapRequest {
    return {
      name: this.#self.name,
      incarnation: this.#self.incarnation,
      peers: [...peerList(this.#self.peers)],
      founders: (founders ?? []).map(peerToWire),
      config: this.#self.config,
    };
  }

  /** What another node says that it has formed must be what its founders would form. */
  #checked(formed: FormedCluster): FormedCluster {
    if (formed.clusterId === clusterIdOf(formed.founders)) return formed;
    throw new JarvisError(
      'conflict',
      `cluster ${formed.clusterId} does not belong to the founders that were named`,
    );
  }
}

/** A UUID (version 8) that the founders' incarnations alone decide, so that every founder derives the same. */
function clusterIdOf(founders: readonly Peer[]): string {
  const text = founders
    .map((peer) => [peer.raftId, peer.name, peer.incarnation, peer.address].join(' '))
    .join('\n');
  const hex = createHash('sha256').update(`jarvis cluster\n${text}`).digest('hex');
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}

function answerFromWire(reply: BootstrapReply): BootstrapAnswer {
  const { name, incarnation, peers, config, agrees, cluster_id, founders, known_version } = reply;
  const cluster = cluster_id === '' ? null : { clusterId: cluster_id, founders: founders.map(peerFromWire) };
  return { name, incarnation, peers, config, agrees, cluster, knownVersion: versionTold(known_version) };
}

export function peerFromWire(founder: BootstrapReply['founders'][number]): Peer {
  const { raft_id, name, incarnation, address } = founder;
  return { raftId: raft_id, name, incarnation, address };
}

export function peerToWire(peer: Peer): BootstrapReply['founders'][number] {
  return { raft_id: peer.raftId, name: peer.name, incarnation: peer.incarnation, address: peer.address };
}
