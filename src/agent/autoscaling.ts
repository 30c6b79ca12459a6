/** The autoscaler as a duty of the leader: what it needs of Raft, of the nodes and of those that let new ones in. */
import { Autoscaler, type AutoscalerObserver } from '../autoscaler/loop.ts';
import type { AutoscalerParts, Departures, JoinTokenMaker } from '../autoscaler/ports.ts';
import { AwsProvider } from '../autoscaler/providers/aws/aws-provider.ts';
import { ClusterProviders } from '../autoscaler/providers/cluster-providers.ts';
import { JarvisError } from '../lib/errors.ts';
import { formatJoinToken, hashOfSecret, newSecret } from '../lib/join-token.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import type { Autoscaling } from '../model/autoscaling.ts';
import { DEFAULT_MEMBERSHIP } from '../model/cluster.ts';
import { drainOf } from '../model/earlier-rows.ts';
import type { NodeRow } from '../model/node.ts';
import { expectStopped } from '../operations/nodes.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Peer } from '../raft/ports.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import type { CreateJoinTokenResult } from '../scheduler/core/apply/join-tokens.ts';
import type { CommandInput, Replica } from '../scheduler/ports.ts';
import { defaultSettings } from '../spec/settings/settings.ts';
import { authRequired, type NodeConfig } from './config.ts';
import { ownAuthorityHash } from './enrolment/enrolment-parts.ts';
import type { LeaderDuties } from './leader/leader-duties.ts';
import { targetVotersOf } from './voter-keeper.ts';

export interface AutoscalingOptions {
  readonly config: NodeConfig;
  readonly clusterId: string;
  readonly replica: Replica;
  readonly raft: RaftNode;
  readonly pool: ChannelPool;
  /** Null: without TLS. */
  readonly tls: TlsSource | null;
  readonly silentMs: LeaderDuties['silentMs'];
  readonly observer: AutoscalerObserver;
  readonly clock: Clock;
  readonly log: Log;
}

const PRINCIPAL = 'autoscaler';
/** What came back while it was to leave may end its tasks by itself for so long. */
const DRAIN_MS = 3_600_000;

export function autoscalerOf(options: AutoscalingOptions): Autoscaler {
  const { config, clusterId, replica, raft, pool, observer, clock, log } = options;
  const settings = (): Autoscaling =>
    replica.state.cluster?.config.autoscaling ?? defaultSettings(1).autoscaling;
  const aws = new AwsProvider({ clusterId, settings: () => settings().aws, clock });
  const parts: AutoscalerParts = {
    replica,
    clusterId,
    providers: new ClusterProviders({
      clusterId,
      pool,
      settings,
      addressOf: (node) => replica.state.nodes.get(node)?.address ?? null,
      clouds: new Map([['aws', aws]]),
    }),
    members: () => membersOf(raft),
    bounds: () => boundsOf(replica, raft),
    joinTokens: authRequired(config) ? joinTokens(options) : null,
    departures: new NodeDepartures(options),
    clock,
    log,
  };
  return new Autoscaler(parts, observer);
}

function membersOf(raft: RaftNode) {
  const { id, confState } = raft.status();
  return raft.membership.peers.map(({ raftId, name, address }) => ({
    name,
    address,
    isVoter: confState.voters.includes(raftId),
    isCaughtUp: raftId === id || (raft.isActive(raftId) && raft.isCaughtUp(raftId)),
  }));
}

function boundsOf({ state }: Replica, raft: RaftNode) {
  const voters = targetVotersOf(state.cluster, raft.membership.peers.length);
  const { learners } = state.cluster?.config.membership ?? DEFAULT_MEMBERSHIP;
  return { voters, mostMembers: voters + learners };
}

function joinTokens({ replica, tls, clock }: AutoscalingOptions): JoinTokenMaker {
  return {
    make: async (node, validMs) => {
      const authorityHash = tls === null ? null : ownAuthorityHash(tls, clock.wallMs());
      if (tls !== null && authorityHash === null)
        throw new JarvisError('conflict', 'no authority is known by which a new node could know this one');
      const secret = newSecret();
      const id = await createdToken(replica, { node, validMs, secretHash: hashOfSecret(secret) });
      return { id, token: formatJoinToken({ id, secret, authorityHash }) };
    },
    remove: async (id) => {
      if (replica.state.joinTokens.has(id))
        await replica.propose({ type: 'deleteJoinToken', id, idempotency: null });
    },
  };
}

async function createdToken(
  replica: Replica,
  asked: { readonly node: string; readonly validMs: number; readonly secretHash: string },
): Promise<string> {
  const command = { type: 'createJoinToken', principal: PRINCIPAL, uses: 1, idempotency: null } as const;
  const outcome = await replica.propose({ ...command, ...asked });
  if (outcome.type === 'refused') throw new JarvisError(codeOf(outcome.code), outcome.message);
  return (outcome.result as CreateJoinTokenResult).id;
}

/** Drained where it lives, then out of the members, which ends its daemon, and off the list once that is silent. */
class NodeDepartures implements Departures {
  readonly #options: AutoscalingOptions;

  constructor(options: AutoscalingOptions) {
    this.#options = options;
  }

  async leave(name: string, isGone: boolean): Promise<boolean> {
    const { replica, raft } = this.#options;
    const node = replica.state.nodes.get(name);
    const member = raft.membership.peers.find((peer) => peer.name === name);
    if (node?.sessionOpen === true && node.status !== 'DRAINED' && !isGone) {
      const drain = {
        type: 'drainNode',
        node: name,
        withinMs: DRAIN_MS,
        graceMs: null,
        startId: null,
      } as const;
      if (drainOf(node) === null) await this.#propose({ ...drain, idempotency: null });
      return false;
    }
    if (member !== undefined) {
      await this.#expel(member);
      return false;
    }
    if (node === undefined) return true;
    return this.#strike(node, isGone);
  }

  /** Where it votes, another one takes its vote in the same change as it gives it up; the change that removes it is the next. */
  async #expel(member: Peer): Promise<void> {
    const { raft } = this.#options;
    const { id, confState } = raft.status();
    if (member.raftId === id) {
      const heir = raft.heir();
      if (heir === null)
        throw new JarvisError('conflict', `${member.name} leads, and no other voter answers`);
      return raft.transferLeadership(heir);
    }
    const heir = confState.voters.includes(member.raftId)
      ? raft.membership.peers.find((peer) => this.#mayVote(peer) && peer !== member)
      : undefined;
    if (heir === undefined) {
      // Its certificate, where it has one, is good for some time yet.
      await this.#propose({ type: 'barMember', name: member.name });
      await raft.changeMembership({ type: 'remove', id: member.raftId });
    } else
      await raft.changeMembership({
        type: 'together',
        changes: [
          { type: 'addVoter', id: heir.raftId },
          { type: 'addLearner', id: member.raftId },
        ],
      });
  }

  #mayVote({ raftId, name }: Peer): boolean {
    const { raft, replica } = this.#options;
    const node = replica.state.nodes.get(name);
    const stays = node !== undefined && drainOf(node) === null;
    return stays && !raft.status().confState.voters.includes(raftId) && raft.isCaughtUp(raftId);
  }

  async #strike(node: NodeRow, isGone: boolean): Promise<boolean> {
    const { replica, silentMs } = this.#options;
    if (!isGone) {
      try {
        expectStopped(replica.state, { silentMs, members: () => [] }, node);
      } catch (error) {
        // Its daemon is about to end.
        if (error instanceof JarvisError && error.code === 'conflict') return false;
        throw error;
      }
    }
    const { name, session } = node;
    const { term } = replica.leadership();
    const asked = { type: 'removeNode', term, node: name, session, dead: isGone } as const;
    await this.#propose({ ...asked, principal: PRINCIPAL, idempotency: null });
    return !replica.state.nodes.has(name);
  }

  async #propose(command: CommandInput): Promise<void> {
    const outcome = await this.#options.replica.propose(command);
    if (outcome.type === 'refused' && outcome.code !== 'not_found')
      throw new JarvisError(codeOf(outcome.code), outcome.message);
  }
}

/** Of a refusal, as an error has it. */
function codeOf(code: string): 'conflict' | 'too_many' {
  return code === 'too_many' ? 'too_many' : 'conflict';
}
