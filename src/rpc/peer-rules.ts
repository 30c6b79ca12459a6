/**
 * What a certificate allows over gRPC. Pure: which kind may call a method, and which name a message may claim; a node
 * speaks for itself and for nobody else, so that none can pass itself off as another and have that one shut out.
 */
import { EnrolmentService, type RenewRequest } from '../generated/enrolment.ts';
import type { Frame, JoinRequest, BootstrapRequest, SnapshotChunk } from '../generated/raft.ts';
import { RaftService } from '../generated/raft.ts';
import type { LastWord } from '../generated/last_words.ts';
import { LastWordsService } from '../generated/last_words.ts';
import type { RecordRequest } from '../generated/log_hand_over.ts';
import { LogHandOverService } from '../generated/log_hand_over.ts';
import type { WorkerMessage } from '../generated/worker.ts';
import { WorkerService } from '../generated/worker.ts';
import type { DatedIdentity } from '../lib/certificate-identity.ts';

/** Services for whoever uses the cluster. Those between its nodes are all the others, also ones that are yet to come. */
const OPEN_SERVICES = ['/jarvis.cluster.Cluster/', '/grpc.health.v1.Health/', '/grpc.reflection.'];

/** For whoever has no certificate: it comes in by a join token, which the call itself checks. */
const OPEN_TO_ALL: ReadonlySet<string> = new Set([
  EnrolmentService.authorities.path,
  EnrolmentService.enrol.path,
]);

export function isOpenToAll(path: string): boolean {
  return OPEN_TO_ALL.has(path);
}

/**
 * For nodes that are no members yet: they ask to be. Raft itself tells members by more than their names (docs/raft.md), and may have
 * to listen to one that it does not know of yet.
 */
const OPEN_TO_NODES = '/jarvis.raft.Raft/';

type Claim = (message: never) => string | undefined;

/** The name under which a message's sender presents itself; undefined: it says none. */
const CLAIMS: ReadonlyMap<string, Claim> = new Map<string, Claim>([
  [RaftService.messages.path, ({ kind }: Frame) => (kind?.$case === 'hello' ? kind.value.name : undefined)],
  [RaftService.installSnapshot.path, ({ header }: SnapshotChunk) => header?.hello?.name],
  [RaftService.join.path, ({ name }: JoinRequest) => name],
  // A question that says no name founds nothing.
  [RaftService.bootstrap.path, ({ name }: BootstrapRequest) => (name === '' ? undefined : name)],
  [
    WorkerService.session.path,
    ({ kind }: WorkerMessage) => (kind?.$case === 'register' ? kind.value.name : undefined),
  ],
  [LogHandOverService.record.path, ({ node }: RecordRequest) => node],
  [LastWordsService.say.path, ({ name }: LastWord) => name],
  [EnrolmentService.renew.path, ({ name }: RenewRequest) => name],
]);

export interface PeerRefusal {
  /** Which rule, for counting and for logs: one line for each. */
  readonly code: 'untrusted' | 'unknown_identity' | 'expired' | 'wrong_kind' | 'wrong_name' | 'not_member';
  readonly message: string;
}

/** The certificate is good, and not for that. */
export function isOfWrongUse(code: PeerRefusal['code']): boolean {
  return code === 'wrong_kind' || code === 'wrong_name' || code === 'not_member';
}

/** Whether the holder of a certificate may call the method now. @returns null where it may */
export function callRefusal(path: string, identity: DatedIdentity | null, nowMs: number): PeerRefusal | null {
  if (identity === null)
    return {
      code: 'unknown_identity',
      message:
        'the certificate names neither a node nor a client: jarvis://node/NAME or jarvis://client/NAME is expected ' +
        'as its subject alternative name',
    };
  const { kind, name, validFromMs, validToMs } = identity;
  const who = `the certificate of ${kind} ${JSON.stringify(name)}`;
  if (nowMs >= validToMs)
    return { code: 'expired', message: `${who} expired at ${new Date(validToMs).toISOString()}` };
  if (nowMs < validFromMs)
    return { code: 'expired', message: `${who} is valid only from ${new Date(validFromMs).toISOString()}` };
  if (kind !== 'node' && !OPEN_SERVICES.some((service) => path.startsWith(service)))
    return { code: 'wrong_kind', message: `${who} is no node's, and ${path} is for nodes` };
  return null;
}

/**
 * Whether a node is one of the cluster: what is between members is not for one that was removed, whose certificate may be good
 * for long.
 * @param members their names, as this node knows them; null: it is no member itself
 * @returns null where it may call the method
 */
export function membershipRefusal(
  path: string,
  { kind, name }: DatedIdentity,
  members: ReadonlySet<string> | null,
): PeerRefusal | null {
  if (kind !== 'node' || members === null || members.has(name)) return null;
  if ([OPEN_TO_NODES, ...OPEN_SERVICES].some((service) => path.startsWith(service))) return null;
  return { code: 'not_member', message: `node ${JSON.stringify(name)} is no member of the cluster` };
}

/** Whether it may send the message. @returns null where it may */
export function messageRefusal(path: string, identity: DatedIdentity, message: unknown): PeerRefusal | null {
  const claimed = CLAIMS.get(path)?.(message as never);
  if (claimed === undefined || claimed === identity.name) return null;
  return {
    code: 'wrong_name',
    message: `the certificate of node ${JSON.stringify(identity.name)} does not speak for ${JSON.stringify(claimed)}`,
  };
}
