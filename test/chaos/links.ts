/**
 * The network between the nodes: one proxy for each directed link, over which the one node's connections to the other
 * go. What one node sends another travels both over its own connections and as answers over the other's; a cut stops it
 * on both. Connections stay open meanwhile and nobody is told, as where packets are lost.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

import { HOST } from '../support/ports.ts';

/** `forward`: from the one that has connected. */
type Flow = 'forward' | 'backward';

/**
 * After a cut: what was sent meanwhile still arrives, as TCP would send it again; or it is lost for good, and with it the
 * connection.
 */
export type Heal = 'late' | 'lost';

export interface LinkMember {
  readonly name: string;
  /** `host:port` */
  readonly listen: string;
}

export class Links {
  readonly #links: ReadonlyMap<string, Link>;
  readonly #members: readonly LinkMember[];

  private constructor(members: readonly LinkMember[], links: ReadonlyMap<string, Link>) {
    this.#members = members;
    this.#links = links;
  }

  static async open(members: readonly LinkMember[]): Promise<Links> {
    const links = new Map<string, Link>();
    for (const from of members) {
      for (const to of members) {
        if (from !== to) links.set(nameOf(from.name, to.name), await Link.open(to.listen));
      }
    }
    return new Links(members, links);
  }

  /** Where the node finds the others: their addresses, and those of its links to them. */
  addressesOf(name: string): Readonly<Record<string, string>> {
    const others = this.#members.filter((member) => member.name !== name);
    return Object.fromEntries(others.map((to) => [to.listen, this.#link(name, to.name).address]));
  }

  /** From now on nothing that `from` sends reaches `to`. */
  cut(from: string, to: string): void {
    this.#link(from, to).hold('forward');
    this.#link(to, from).hold('backward');
  }

  mend(from: string, to: string, how: Heal): void {
    this.#link(from, to).release('forward', how);
    this.#link(to, from).release('backward', how);
  }

  /** Everything gets through again. */
  mendAll(): void {
    for (const link of this.#links.values())
      for (const flow of ['forward', 'backward'] as const) link.release(flow, 'lost');
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }

  #link(from: string, to: string): Link {
    const link = this.#links.get(nameOf(from, to));
    if (link === undefined) throw new Error(`there is no link from ${from} to ${to}`);
    return link;
  }
}

function nameOf(from: string, to: string): string {
  return `${from}>${to}`;
}

class Link {
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #pairs = new Set<Pair>();
  /** Came during a cut: to them it looks as if nobody answered. */
  readonly #unanswered = new Set<Socket>();
  readonly #held = new Set<Flow>();

  private constructor(server: Server, listen: string) {
    const colon = listen.lastIndexOf(':');
    this.#target = { host: listen.slice(0, colon), port: Number(listen.slice(colon + 1)) };
    this.#server = server;
    server.on('connection', (near) => this.#take(near));
  }

  static async open(listen: string): Promise<Link> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const link = new Link(server, listen);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: HOST, port: 0 }, resolve);
    });
    return link;
  }

  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  hold(flow: Flow): void {
    this.#held.add(flow);
    for (const pair of this.#pairs) pair.hold(flow);
  }

  release(flow: Flow, how: Heal): void {
    if (!this.#held.delete(flow)) return;
    for (const pair of this.#pairs) pair.release(flow, how);
    if (this.#held.size > 0) return;
    for (const near of this.#unanswered) near.destroy();
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const pair of this.#pairs) pair.destroy();
    for (const near of this.#unanswered) near.destroy();
    await closed;
  }

  #take(near: Socket): void {
    if (this.#held.size > 0) {
      this.#unanswered.add(near);
      near.on('error', ignore).once('close', () => this.#unanswered.delete(near));
      return;
    }
    const far = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    const pair = new Pair(near, far, () => this.#pairs.delete(pair));
    this.#pairs.add(pair);
  }
}

/** One connection, and the proxy's own one behind it. */
class Pair {
  readonly #ends: Readonly<Record<Flow, { readonly source: Socket; readonly sink: Socket }>>;
  readonly #held = new Set<Flow>();

  constructor(near: Socket, far: Socket, onClosed: () => void) {
    this.#ends = { forward: { source: near, sink: far }, backward: { source: far, sink: near } };
    for (const flow of ['forward', 'backward'] as const) {
      const { source, sink } = this.#ends[flow];
      source.pipe(sink);
      // That one end is gone is seen at its close.
      source.on('error', ignore);
      source.once('close', () => {
        if (!this.#held.has(flow)) sink.destroySoon();
        if (near.destroyed && far.destroyed) onClosed();
      });
    }
  }

  hold(flow: Flow): void {
    this.#held.add(flow);
    const { source, sink } = this.#ends[flow];
    source.unpipe(sink);
  }

  release(flow: Flow, how: Heal): void {
    if (!this.#held.delete(flow)) return;
    const { source, sink } = this.#ends[flow];
    // What the source has said and is not read yet goes on its way, unless it is to be lost: a stream has no holes.
    if (how === 'lost') this.destroy();
    else if (source.destroyed) sink.destroy();
    else source.pipe(sink);
  }

  destroy(): void {
    for (const { source } of Object.values(this.#ends)) source.destroy();
  }
}

/** The close that follows is what counts. */
function ignore(): void {}
