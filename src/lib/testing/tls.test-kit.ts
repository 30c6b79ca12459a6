/** Authorities and certificates of a cluster that exists in a test only, and material that can be exchanged. */
import { X509Certificate } from 'node:crypto';

import { identityOf, type CertificateIdentity } from '../certificate-identity.ts';
import { createAuthority, issueCertificate, type CertificateAndKey, type Validity } from '../certificates.ts';
import type { TlsMaterial } from '../tls-files.ts';
import type { TlsSource } from '../tls-watch.ts';

const DAY_MS = 86_400_000;

/** Valid for OpenSSL, which knows the true time only, and for tests whose time begins in 2023. */
export const LONG: Validity = { validFromMs: Date.UTC(2023, 0, 1), validToMs: Date.now() + DAY_MS };

export function newAuthority(): Promise<CertificateAndKey> {
  return createAuthority({ ...LONG, validToMs: LONG.validToMs + DAY_MS });
}

/** @param trusted the authorities that its holder trusts; default: the one that issues it */
export async function materialOf(
  authority: CertificateAndKey,
  identity: CertificateIdentity,
  {
    validity = LONG,
    trusted = [authority],
    hosts = [],
  }: {
    validity?: Validity;
    trusted?: readonly CertificateAndKey[];
    hosts?: readonly string[];
  } = {},
): Promise<TlsMaterial> {
  const issued = await issueCertificate(authority, { ...identity, hosts, ...validity });
  const { subjectAltName } = new X509Certificate(issued.certificatePem);
  const read = identityOf(subjectAltName);
  return {
    certificatePem: issued.certificatePem,
    keyPem: issued.keyPem,
    authoritiesPem: trusted.map(({ certificatePem }) => certificatePem).join(''),
    identity: read === null ? null : { ...read, ...validity },
    endsMs: validity.validToMs,
    digest: issued.certificatePem,
  };
}

export class ExchangeableTls implements TlsSource {
  current: TlsMaterial;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();

  constructor(first: TlsMaterial) {
    this.current = first;
  }

  onChange(listener: (material: TlsMaterial) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  exchange(material: TlsMaterial): void {
    this.current = material;
    for (const listener of this.#listeners) listener(material);
  }
}
