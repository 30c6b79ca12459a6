/** What the network interfaces of this machine, or of the namespace that the node is in, have carried. */

export interface NetworkBytes {
  readonly receivedBytes: number;
  readonly transmittedBytes: number;
}

/**
 * The loopback carries nothing to other machines; the bridges of container engines and of virtual machines, and the host's
 * ends of their pairs, pass on what another interface counts, too.
 */
const NOT_COUNTED =
  /^(?:lo|(?:docker|podman|virbr|vnet|veth|cni|flannel|cali|lxc|lxd)[^ ]*|br-[0-9a-f]{12})$/;

/** By interface. @param table /proc/net/dev: name, then bytes received as the first number and bytes sent as the ninth */
export function parseInterfaces(table: string): ReadonlyMap<string, NetworkBytes> {
  const found = new Map<string, NetworkBytes>();
  for (const line of table.split('\n')) {
    // The name of an alias holds a colon, the numbers never do.
    const colon = line.lastIndexOf(':');
    if (colon < 0) continue;
    const name = line.slice(0, colon).trim();
    if (NOT_COUNTED.test(name)) continue;
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    found.set(name, { receivedBytes: fields[0] ?? 0, transmittedBytes: fields[8] ?? 0 });
  }
  return found;
}

/** Totals that never fall, whichever interfaces come and go. */
export class NetworkCounters {
  #known: ReadonlyMap<string, NetworkBytes> = new Map();
  #receivedBytes = 0;
  #transmittedBytes = 0;

  /** @param table as for {@link parseInterfaces} @returns the totals: at first what the interfaces have counted themselves */
  take(table: string): NetworkBytes {
    const now = parseInterfaces(table);
    for (const [name, counted] of now) {
      const before = this.#known.get(name);
      this.#receivedBytes += sinceBefore(before?.receivedBytes, counted.receivedBytes);
      this.#transmittedBytes += sinceBefore(before?.transmittedBytes, counted.transmittedBytes);
    }
    this.#known = now;
    return { receivedBytes: this.#receivedBytes, transmittedBytes: this.#transmittedBytes };
  }
}

/** One that counts less than before was made anew. */
function sinceBefore(before: number | undefined, now: number): number {
  return before === undefined || now < before ? now : now - before;
}
