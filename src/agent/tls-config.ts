/** The settings of TLS, and where a node may listen without it. */
import { splitAddress } from '../lib/address.ts';
import type { Fault } from '../lib/errors.ts';
import type { TlsFiles } from '../lib/tls-files.ts';
import { pathText } from './config-fields.ts';

const file = pathText.optional();

export const tlsFields = { tls_cert: file, tls_key: file, tls_ca: file };

type TlsFields = { readonly [Key in keyof typeof tlsFields]?: string | undefined };

/** All three of them, or none. */
export function parseTls(fields: TlsFields, faults: Fault[]): TlsFiles | null {
  const { tls_cert: certificate, tls_key: key, tls_ca: authorities } = fields;
  if (certificate !== undefined && key !== undefined && authorities !== undefined)
    return { certificate, key, authorities };
  const names = Object.keys(tlsFields) as (keyof TlsFields)[];
  const missing = names.filter((name) => fields[name] === undefined);
  if (missing.length < names.length)
    for (const name of missing)
      faults.push({ path: name, message: 'is missing: TLS needs tls_cert, tls_key and tls_ca' });
  return null;
}

/** Beyond this machine whoever reaches the address could run commands on it. */
export function checkLoopback(addresses: Readonly<Record<string, string>>, faults: Fault[]): void {
  for (const [key, address] of Object.entries(addresses)) {
    const { host } = splitAddress(address);
    if (host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)) continue;
    faults.push({
      path: key,
      message:
        `${address} is not a loopback address: that needs TLS (tls_cert, tls_key and tls_ca); ` +
        'without it only --insecure allows it',
    });
  }
}
