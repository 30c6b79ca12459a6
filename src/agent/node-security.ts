/** What a node's connections are secured with: its TLS files, watched for as long as it runs; or nothing. */
import { JarvisError } from '../lib/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { TlsMaterial } from '../lib/tls-files.ts';
import { TlsWatch, type TlsSource } from '../lib/tls-watch.ts';
import { insecureChannels, TlsChannels, type ChannelSecurity } from '../rpc/channel-security.ts';
import type { NodeConfig } from './config.ts';

export interface NodeSecurity {
  /** Null: without TLS. */
  readonly tls: TlsSource | null;
  readonly channels: ChannelSecurity;
  close(): Promise<void>;
}

export const noSecurity: NodeSecurity = {
  tls: null,
  channels: insecureChannels,
  close: () => Promise.resolve(),
};

/** @throws JarvisError invalid where the files cannot be used, or are another node's */
export async function startSecurity(
  { name, tls: files }: Pick<NodeConfig, 'name' | 'tls'>,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<NodeSecurity> {
  if (files === null) return noSecurity;
  const check = (material: TlsMaterial): void => checkOwner(files.certificate, name, material);
  const watch = await TlsWatch.start({ files, check, clock, log });
  return {
    tls: watch,
    channels: new TlsChannels(watch, { clock, log }),
    close: () => watch.close(),
  };
}

/** Others would refuse it, one after the other. */
function checkOwner(path: string, node: string, { identity }: TlsMaterial): void {
  const expected = `jarvis://node/${node} is expected as its subject alternative name`;
  if (identity === null)
    throw new JarvisError('invalid', `tls_cert: ${path} names neither a node nor a client: ${expected}`);
  const { kind, name } = identity;
  if (kind !== 'node' || name !== node)
    throw new JarvisError(
      'invalid',
      `tls_cert: ${path} is the certificate of ${kind} ${JSON.stringify(name)}, and this is node ${JSON.stringify(node)}`,
    );
}
