import * as grpc from '@grpc/grpc-js';

/** Present (`1`) on calls that a node sends on for its caller. */
export const FORWARDED_KEY = 'jarvis-forwarded';

export function forwarded(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set(FORWARDED_KEY, '1');
  return metadata;
}
