/**
 * What a member says to the others before it stops because of its disk: afterwards nobody can ask it. Best effort, in a
 * bounded time; each member keeps the newest word of each other in memory, until that one is heard of again.
 */
import type { DiskError as DiskErrorMessage } from '../generated/cluster.ts';
import type { LastWord, LastWordsServer } from '../generated/last_words.ts';
import { LastWordsService } from '../generated/last_words.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { DiskError } from '../operations/insight.ts';
import type { ClusterRecord } from '../raft/data-directory.ts';
import type { Peer } from '../raft/ports.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import { unaryCall } from '../rpc/client.ts';
import { unaryHandler } from '../rpc/handlers.ts';
import type { Service } from '../rpc/server.ts';
import type { DiskErrors } from './disk-errors.ts';

/** Of one text of another member's. */
const TEXT_CHARACTERS = 1024;
const ERRORS_KEPT = 16;
/** What was under way when the member spoke may come in later. */
const AFTERWARDS_MS = 1000;

interface LastWordsOptions {
  readonly cluster: Pick<ClusterRecord, 'clusterId' | 'raftId' | 'founders'>;
  /** This node's. */
  readonly name: string;
  readonly diskErrors: Pick<DiskErrors, 'list'>;
  readonly pool: ChannelPool;
  readonly clock: Clock;
  readonly log: Log;
}

interface Heard {
  readonly errors: readonly DiskError[];
  readonly atMs: number;
}

export class LastWords {
  readonly #options: LastWordsOptions;
  readonly #heard = new Map<number, Heard>();
  #peers: () => readonly Peer[];
  #said: Promise<unknown> = Promise.resolve();

  constructor(options: LastWordsOptions) {
    this.#options = options;
    this.#peers = () => options.cluster.founders;
  }

  /** @param peers the members as of now; before that the founders count as such */
  follow(peers: () => readonly Peer[]): void {
    this.#peers = peers;
  }

  /** Tells all others what the disk has failed in, if it has. Not waited for: the node stops all the same. */
  say(): void {
    const errors = this.#options.diskErrors.list();
    if (errors.length > 0) this.#said = this.#say(errors);
  }

  /** Resolves when they have heard it, or the time for it is over. */
  get said(): Promise<unknown> {
    return this.#said;
  }

  async #say(errors: readonly DiskError[]): Promise<void> {
    const { cluster, log } = this.#options;
    const { clusterId, raftId } = cluster;
    const request: LastWord = {
      cluster_id: clusterId,
      name: this.#options.name,
      raft_id: raftId,
      disk_errors: errors.map(({ atMs, ...error }) => ({ ...error, at: new Date(atMs).toISOString() })),
    };
    const others = this.#peers().filter((peer) => peer.raftId !== raftId);
    await Promise.all(
      others.map(async ({ name, address }) => {
        try {
          await this.#tell(address, request);
        } catch (error) {
          log.info({ to: name, error: messageOf(error) }, 'the last word was not heard');
        }
      }),
    );
  }

  /** @param silentMs since the member was last heard of; null: never. @returns its last word, while nothing came after */
  of(raftId: number, silentMs: number | null): readonly DiskError[] {
    const heard = this.#heard.get(raftId);
    if (heard === undefined) return [];
    const agoMs = this.#options.clock.monotonicMs() - heard.atMs;
    if (silentMs === null || silentMs >= agoMs - AFTERWARDS_MS) return heard.errors;
    this.#heard.delete(raftId);
    return [];
  }

  service(): Service {
    const handlers: LastWordsServer = {
      say: unaryHandler((word) => {
        this.#hear(word);
        return {};
      }, this.#options.log),
    };
    return { definition: LastWordsService, handlers };
  }

  async #tell(address: string, request: LastWord): Promise<void> {
    await unaryCall({
      pool: this.#options.pool,
      address,
      method: LastWordsService.say,
      request,
      signal: new AbortController().signal,
      timeoutMs: limits.lastWordTimeoutMs,
      write: true,
    });
  }

  /** @throws JarvisError invalid where it comes from no member of this cluster */
  #hear({ cluster_id: clusterId, raft_id: raftId, disk_errors: errors, name }: LastWord): void {
    const { clock, log, cluster } = this.#options;
    const member = this.#peers().find((peer) => peer.raftId === raftId);
    if (clusterId !== cluster.clusterId || member === undefined) {
      throw new JarvisError('invalid', `Raft id ${raftId} of cluster ${clusterId} is no member here`);
    }
    if (member.name !== name)
      throw new JarvisError('forbidden', `member ${raftId} is ${member.name}, and not ${name}`);
    const kept = errors.slice(0, ERRORS_KEPT).map(fromMessage);
    log.warn({ member: member.name, errors: kept }, 'a member stops because of its disk');
    this.#heard.set(raftId, { errors: kept, atMs: clock.monotonicMs() });
  }
}

function fromMessage({ kind, path, message, at }: DiskErrorMessage): DiskError {
  const atMs = Date.parse(at);
  return {
    kind: kind.slice(0, TEXT_CHARACTERS),
    path: path.slice(0, TEXT_CHARACTERS),
    message: message.slice(0, TEXT_CHARACTERS),
    atMs: Number.isNaN(atMs) ? 0 : atMs,
  };
}
