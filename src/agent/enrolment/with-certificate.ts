/** A node that is to have TLS and has no certificate gets one of its cluster before it starts. */
import type { Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { checkDataDirectory } from '../../raft/data-directory.ts';
import type { NodeConfig } from '../config.ts';
import { joinTokenOf } from '../join-credentials.ts';
import { enrolledFiles, isEnrolled } from './enrolled-files.ts';
import { comeInByToken } from './first-contact.ts';

/** Whether its certificate is one that the cluster has given it, or will. */
export function isOfCluster({ tls, dataDir }: Pick<NodeConfig, 'tls' | 'dataDir'>): boolean {
  return tls?.certificate === enrolledFiles(dataDir).certificate;
}

/**
 * @param options.isCheck nobody is asked for anything: the settings without TLS, where there is no certificate yet
 * @throws JarvisError as `comeInByToken` does, and for a data directory of another node; the signal's reason when aborted
 */
export async function withCertificate(
  config: NodeConfig,
  {
    isCheck,
    clock,
    signal,
    log,
  }: {
    readonly isCheck: boolean;
    readonly clock: Clock;
    readonly signal: AbortSignal;
    readonly log: Log;
  },
): Promise<NodeConfig> {
  const { tls: files, name, dataDir, join } = config;
  if (files === null || !isOfCluster(config) || isEnrolled(files)) return config;
  if (isCheck) return { ...config, tls: null };
  const token = joinTokenOf(config);
  if (token === null || join.length === 0)
    throw new JarvisError(
      'invalid',
      'join: names nobody; a node with a join token joins by members of its cluster',
    );
  await checkDataDirectory(dataDir, { name });
  await comeInByToken({ config, files, token, clock, signal, log });
  return config;
}
