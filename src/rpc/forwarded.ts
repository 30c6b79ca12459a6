/** What calls carry besides their request: who asks, and whether a node sends it on for its caller. */
import * as grpc from '@grpc/grpc-js';

import type { Caller } from '../operations/port.ts';

/** Present (`1`) on calls that a node sends on for its caller. */
export const FORWARDED_KEY = 'jarvis-forwarded';
const AUTHORIZATION_KEY = 'authorization';
/** JSON of the name and the start of a node that asks for itself. */
const NODE_KEY = 'jarvis-node-bin';
const MAX_NODE_BYTES = 512;

/** With the caller's own credentials: whoever leads looks at them once more, and believes no node about them. */
export function forwarded({ caller }: { readonly caller?: Caller }): grpc.Metadata {
  const metadata = caller === undefined || caller.token === null ? new grpc.Metadata() : bearer(caller.token);
  metadata.set(FORWARDED_KEY, '1');
  if (caller?.node !== undefined && caller.node !== null)
    metadata.set(NODE_KEY, Buffer.from(JSON.stringify(caller.node)));
  return metadata;
}

export function bearer(token: string): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set(AUTHORIZATION_KEY, `Bearer ${token}`);
  return metadata;
}

/** What came with a call. @param peer as grpc-js has it, `host:port` */
export function callerOf(metadata: grpc.Metadata, peer: string): Caller {
  const [authorization] = metadata.get(AUTHORIZATION_KEY);
  return {
    token: typeof authorization === 'string' ? tokenOf(authorization) : null,
    address: peer.replace(/:\d+$/, '').replaceAll(/[[\]]/g, ''),
    node: nodeOf(metadata),
  };
}

/** Whatever is no bearer's is taken for a token, and will be refused. */
function tokenOf(authorization: string): string {
  return authorization.replace(/^Bearer +/i, '');
}

function nodeOf(metadata: grpc.Metadata): NonNullable<Caller['node']> | null {
  const [bytes] = metadata.get(NODE_KEY);
  if (!Buffer.isBuffer(bytes) || bytes.length > MAX_NODE_BYTES) return null;
  let plain: unknown;
  try {
    plain = JSON.parse(bytes.toString());
  } catch {
    return null;
  }
  if (typeof plain !== 'object' || plain === null) return null;
  const { name, startId } = plain as { name?: unknown; startId?: unknown };
  return typeof name === 'string' && typeof startId === 'string' ? { name, startId } : null;
}
