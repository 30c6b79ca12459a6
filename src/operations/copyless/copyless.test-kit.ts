/** For tests: a node without a copy of the state beside the nodes of a {@link TestCluster}, which are its members. */
import { NodeUsage } from '../../generated/cluster.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { LogLevels } from '../../lib/log-levels.ts';
import { silentLog } from '../../lib/log.ts';
import type { Leadership } from '../../scheduler/ports.ts';
import { localLogLevel } from '../log-level.ts';
import type { LocalLogs, Member, Members, Remotes } from '../node-port.ts';
import { RoutingOperations } from '../router.ts';
import { copylessParts } from './copyless-parts.ts';

/** Whom the node takes for the leader and for members: what the test says. */
export class FakeMembers implements Members {
  readonly nodeName: string;
  readonly #listeners = new Set<(leadership: Leadership) => void>();
  #members: readonly Member[];
  #leader: Member | null;

  /** The first of the members leads. */
  constructor(nodeName: string, members: readonly Member[]) {
    this.nodeName = nodeName;
    this.#members = members;
    this.#leader = members[0] ?? null;
  }

  members(): readonly Member[] {
    return this.#members;
  }

  leadership(): Leadership {
    return { isLeader: false, term: 0, leader: this.#leader };
  }

  onLeadership(listener: (leadership: Leadership) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  lead(name: string | null): void {
    this.#leader = this.#members.find((member) => member.name === name) ?? null;
    for (const listener of this.#listeners) listener(this.leadership());
  }

  /** How often it was told to find out who leads. */
  hurries = 0;

  hurry(): void {
    this.hurries += 1;
  }

  become(members: readonly Member[]): void {
    this.#members = members;
  }
}

/** The operations of that node. */
export function copylessRouting(
  leaders: Members,
  { remotes, clock = systemClock, localLogs }: { remotes: Remotes; clock?: Clock; localLogs?: LocalLogs },
): RoutingOperations {
  const name = leaders.nodeName;
  let keys = 0;
  return new RoutingOperations({
    ...copylessParts({ leaders, remotes, clock }),
    remotes,
    localLogs: localLogs ?? { async *read() {} },
    localUsage: { read: async () => NodeUsage.create({ node: name }) },
    localLogLevel: localLogLevel(name, new LogLevels('info', clock), silentLog),
    clock,
    uniqueId: () => `${name}-${(keys += 1)}`,
    version: { version: '0.1.0', name, node_version: process.version },
  });
}
