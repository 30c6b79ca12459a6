/**
 * Loaded into every node of a chaos run before its own program: leads its connections to the other nodes over the run's
 * links (links.ts), and plants a mistake where one is asked for. Nothing of the product knows of it.
 */
import net from 'node:net';

import { plant } from '../sim/mutate.ts';
import { plantOf } from './plants.ts';

const { JARVIS_CHAOS_LINKS: links, JARVIS_CHAOS_PLANT: planted } = process.env;

interface Target {
  readonly host?: string;
  readonly port?: number | string;
}

/** Whoever connects to an address of the map gets to the other one. */
function redirect(addresses: ReadonlyMap<string, string>): void {
  const elsewhere = <T extends Target>(target: T): T => {
    const address = addresses.get(`${target.host}:${target.port}`);
    if (address === undefined) return target;
    const colon = address.lastIndexOf(':');
    return { ...target, host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
  };
  const { prototype } = net.Socket;
  const direct = Reflect.get(prototype, 'connect') as (...args: unknown[]) => net.Socket;
  Reflect.set(prototype, 'connect', function connect(this: net.Socket, ...args: unknown[]): net.Socket {
    const [first] = args;
    // `net.connect` has its arguments made into a marked list already.
    if (Array.isArray(first)) first[0] = elsewhere(first[0] as Target);
    else if (typeof first === 'object' && first !== null) args[0] = elsewhere(first as Target);
    return Reflect.apply(direct, this, args);
  });
}

if (links !== undefined) redirect(new Map(Object.entries(JSON.parse(links) as Record<string, string>)));
const wanted = planted === undefined ? null : plantOf(planted);
for (const edit of wanted?.edits ?? []) plant({ name: planted ?? '', what: wanted?.what ?? '', ...edit });
