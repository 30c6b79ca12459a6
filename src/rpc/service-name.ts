import type * as grpc from '@grpc/grpc-js';

/** Such as `jarvis.cluster.Cluster`. */
export function serviceName(definition: grpc.ServiceDefinition): string {
  const [method] = Object.values(definition);
  return method?.path.split('/')[1] ?? '';
}
