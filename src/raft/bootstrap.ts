/**
 * The forming of a new cluster (docs/storage.md, "Who is who"). A cluster forms only when every name of `--peers` answers
 * that it is blank and that it would form exactly this cluster; a node may follow one that has formed already if it is
 * named there with the incarnation that it still has. Pure: the shell in `form-cluster.ts` asks the questions.
 *
 * Why it is safe to agree to one set of founders and later to another: to agree costs nothing until the cluster is
 * formed, and forming takes the agreement of all to one and the same set, gathered after one's own view became that set.
 * A node that has formed refuses everything else for ever, so a second set, which would need its agreement, never forms.
 */
import { JarvisError } from '../lib/errors.ts';
import type { Peer } from './ports.ts';

export interface PeerAddress {
  readonly name: string;
  readonly address: string;
}

/** What a node answers. */
export interface BootstrapAnswer {
  readonly name: string;
  readonly incarnation: string;
  readonly peers: readonly string[];
  readonly config: string;
  readonly agrees: boolean;
  /** The newest cluster version that it knows. */
  readonly knownVersion: number;
  /** Null while it is blank. */
  readonly cluster: FormedCluster | null;
}

export interface FormedCluster {
  readonly clusterId: string;
  readonly founders: readonly Peer[];
}

export interface Self {
  readonly name: string;
  readonly incarnation: string;
  /** The list of `--peers`, as given. */
  readonly peers: readonly PeerAddress[];
  /** The cluster-wide settings, as canonical JSON. */
  readonly config: string;
}

/** `name=address` for every peer, sorted by name: what two nodes must have in common. */
export function peerList(peers: readonly PeerAddress[]): readonly string[] {
  return peers.map(({ name, address }) => `${name}=${address}`).sort();
}

/** Founders get their Raft ids by the order of their names, so that every node derives the same. */
export function foundersOf(
  self: Self,
  answers: ReadonlyMap<string, BootstrapAnswer>,
): readonly Peer[] | null {
  const sorted = [...self.peers].sort((a, b) => (a.name < b.name ? -1 : 1));
  const founders: Peer[] = [];
  for (const [position, { name, address }] of sorted.entries()) {
    const incarnation = name === self.name ? self.incarnation : answers.get(name)?.incarnation;
    if (incarnation === undefined) return null;
    founders.push({ raftId: position + 1, name, incarnation, address });
  }
  return founders;
}

export function sameFounders(a: readonly Peer[], b: readonly Peer[]): boolean {
  return a.length === b.length && a.every((founder, at) => samePeer(founder, b[at]));
}

function samePeer(a: Peer, b: Peer | undefined): boolean {
  return (
    b !== undefined &&
    a.raftId === b.raftId &&
    a.name === b.name &&
    a.incarnation === b.incarnation &&
    a.address === b.address
  );
}

/** The cluster knows a node of this name with another incarnation: this one lost its disk, and has to join anew. */
export const LOST_DISK = 'lostDisk';

/**
 * What a node learns from the answers of a round: the cluster that it may follow, or null where there is none yet. That
 * somebody names this node in a formed cluster outweighs whatever stands against founding one with the others.
 * @throws JarvisError conflict where this can never become one cluster
 */
export function judge(
  self: Self,
  answers: readonly { readonly asked: PeerAddress; readonly answer: BootstrapAnswer }[],
): FormedCluster | typeof LOST_DISK | null {
  for (const { asked, answer } of answers) {
    const { cluster, name } = answer;
    if (name === asked.name && cluster !== null && isFounder(self, cluster)) return cluster;
  }
  const knowsName = answers.some(
    ({ asked, answer }) =>
      answer.name === asked.name && answer.cluster?.founders.some(({ name }) => name === self.name) === true,
  );
  if (knowsName) return LOST_DISK;
  for (const { asked, answer } of answers) checkFellow(self, asked, answer);
  return null;
}

function isFounder(self: Self, cluster: FormedCluster): boolean {
  return cluster.founders.some((peer) => peer.name === self.name && peer.incarnation === self.incarnation);
}

/** @throws JarvisError conflict where the two can never form a cluster together */
function checkFellow(self: Self, asked: PeerAddress, answer: BootstrapAnswer): void {
  if (answer.name !== asked.name) {
    throw new JarvisError(
      'conflict',
      `--peers: ${asked.address} is node ${JSON.stringify(answer.name)}, not ${JSON.stringify(asked.name)}`,
    );
  }
  if (answer.cluster !== null) {
    throw new JarvisError(
      'conflict',
      `node ${answer.name} already belongs to cluster ${answer.cluster.clusterId}, which does not know this data ` +
        `directory (incarnation ${self.incarnation}): to enter a running cluster, give --join instead of --peers`,
    );
  }
  const own = peerList(self.peers).join(',');
  const other = peerList(parsePeerList(answer.peers)).join(',');
  if (own !== other) {
    throw new JarvisError(
      'conflict',
      `--peers differs: node ${answer.name} has ${other}, this node has ${own}`,
    );
  }
  if (answer.config !== self.config) {
    throw new JarvisError(
      'conflict',
      `cluster-wide settings differ: node ${answer.name} has ${answer.config}, this node has ${self.config}`,
    );
  }
}

function parsePeerList(list: readonly string[]): readonly PeerAddress[] {
  return list.map((item) => {
    const at = item.indexOf('=');
    return { name: item.slice(0, at), address: item.slice(at + 1) };
  });
}
