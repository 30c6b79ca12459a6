/** Addresses as flags and peers write them, and what it means when one cannot be listened on. */
import { JarvisError, messageOf } from './errors.ts';
import { quoted } from './quoted.ts';

/** @throws JarvisError invalid where the text is not `host:port` or `[ipv6]:port` */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) {
    throw new JarvisError('invalid', `${quoted(address)} is not an address: host:port`);
  }
  return { host, port };
}

export function joinAddress(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Whoever holds one IPv6 address of a network of 64 bits holds all of them: callers are counted by their network.
 * IPv4 addresses as they are, also where they are written as IPv6; of IPv6 ones the upper 64 bits.
 */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(':')) return mapped ?? address;
  const [head = '', tail] = address.toLowerCase().split('%')[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  if (tail === undefined) return groups.slice(0, 4).join(':');
  const after = tail === '' ? [] : tail.split(':');
  const between = Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => '0');
  return [...groups, ...between, ...after].slice(0, 4).join(':');
}

const REASONS: ReadonlyMap<unknown, string> = new Map([
  ['EADDRINUSE', 'the port is in use'],
  ['EACCES', 'not permitted'],
  ['EADDRNOTAVAIL', 'this machine has no such address'],
  ['ENOTFOUND', 'no such host'],
]);

/** The same words wherever a port is opened. @param cause what Node.js says */
export function cannotListen(address: string, cause: unknown): JarvisError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const reason = REASONS.get(code) ?? messageOf(cause);
  return new JarvisError('conflict', `cannot listen on ${address}: ${reason}`, { cause });
}
