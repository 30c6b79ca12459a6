/** Values whose form is right (`config-schema.ts`), and what they stand for. What is wrong with them becomes a fault. */
import { splitAddress } from '../lib/address.ts';
import { JarvisError, messageOf, type Fault } from '../lib/errors.ts';
import { isName, NAME_RULE } from '../lib/names.ts';
import { parseCpuMillis, parseMemoryBytes } from '../lib/quantities.ts';
import type { Pairs } from '../model/task.ts';
import type { PeerAddress } from '../raft/bootstrap.ts';
import { DRIVER_NAMES, parseAddress, type DriverChoice } from './config-schema.ts';

/** One that others connect to. @throws JarvisError invalid */
function parseReachable(value: string): string {
  if (splitAddress(parseAddress(value)).port > 0) return value;
  throw new JarvisError('invalid', 'is no address to connect to: port 0');
}

export function parsePeers(raw: Record<string, string>, faults: Fault[]): readonly PeerAddress[] {
  const peers: PeerAddress[] = [];
  for (const [name, address] of Object.entries(raw)) {
    if (!isName(name)) faults.push({ path: 'peers', message: `${JSON.stringify(name)} is not ${NAME_RULE}` });
    try {
      peers.push({ name, address: parseReachable(address) });
    } catch (error) {
      faults.push({
        path: 'peers',
        message: `${name}=${address}: ${JSON.stringify(address)} ${messageOf(error)}`,
      });
    }
  }
  if (new Set(peers.map(({ address }) => address)).size < peers.length) {
    faults.push({ path: 'peers', message: 'two peers have the same address' });
  }
  return peers;
}

export function parseJoin(raw: readonly string[] | undefined, faults: Fault[]): readonly string[] {
  const addresses: string[] = [];
  for (const address of raw ?? []) {
    try {
      addresses.push(parseReachable(address));
    } catch (error) {
      faults.push({ path: 'join', message: `${JSON.stringify(address)} ${messageOf(error)}` });
    }
  }
  return addresses;
}

export function checkSelf(
  self: { name: string; advertise: string; peers: readonly PeerAddress[] },
  faults: Fault[],
): void {
  const { name, advertise, peers } = self;
  if (peers.length === 0) {
    faults.push({
      path: 'peers',
      message: 'names no peer; a list such as n1=host:7101,n2=host:7101 is needed, or join',
    });
    return;
  }
  const own = peers.find((peer) => peer.name === name);
  const names = peers.map((peer) => peer.name).join(', ');
  if (own === undefined) {
    faults.push({ path: 'peers', message: `does not name this node, ${name}; it names ${names}` });
  } else if (own.address !== advertise) {
    faults.push({
      path: 'peers',
      message: `says ${own.address} for this node, ${name}; it listens on (or advertises) ${advertise}`,
    });
  }
}

export function parseDrivers(raw: readonly string[], faults: Fault[]): readonly DriverChoice[] {
  const drivers: DriverChoice[] = [];
  if (raw.length === 0)
    faults.push({ path: 'drivers', message: `names none; allowed: ${DRIVER_NAMES.join(', ')}` });
  for (const name of new Set(raw)) {
    const driver = DRIVER_NAMES.find((known) => known === name);
    if (driver !== undefined) drivers.push(driver);
    else
      faults.push({
        path: 'drivers',
        message: `${JSON.stringify(name)}; allowed: ${DRIVER_NAMES.join(', ')}`,
      });
  }
  return drivers;
}

export function parseResources(
  key: 'capacity' | 'reserve',
  raw: Record<string, string>,
  faults: Fault[],
): { cpuMillis: number | null; memoryBytes: number | null } {
  const resources: { cpuMillis: number | null; memoryBytes: number | null } = {
    cpuMillis: null,
    memoryBytes: null,
  };
  for (const [name, value] of Object.entries(raw)) {
    try {
      if (name === 'cpu') resources.cpuMillis = parseCpuMillis(value);
      else if (name === 'memory') resources.memoryBytes = parseMemoryBytes(value);
      else faults.push({ path: `${key}.${name}`, message: 'is not a resource; allowed: cpu, memory' });
    } catch (error) {
      faults.push({ path: `${key}.${name}`, message: messageOf(error) });
    }
  }
  return resources;
}

export function parseLabels(raw: Record<string, string>, faults: Fault[]): Pairs {
  for (const [name, value] of Object.entries(raw)) {
    if (!isName(name))
      faults.push({ path: 'labels', message: `${JSON.stringify(name)} is not ${NAME_RULE}` });
    if (value.length > 256) faults.push({ path: `labels.${name}`, message: 'is longer than 256 characters' });
  }
  return Object.entries(raw).sort(([a], [b]) => (a < b ? -1 : 1));
}
