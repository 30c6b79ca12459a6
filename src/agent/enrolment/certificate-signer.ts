/** Signs certificates of nodes with the key of the cluster's authority, on the nodes that have it. */
import { createPrivateKey, X509Certificate } from 'node:crypto';

import type { Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { certificatesIn, readPem } from '../../lib/tls-files.ts';

export interface SigningRequest {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly publicKeyPem: string;
}

interface SignerOptions {
  readonly keyFile: string;
  /** Of the cluster at present, as PEM. */
  readonly authoritiesPem: () => string;
  readonly clock: Pick<Clock, 'wallMs'>;
}

export class CertificateSigner {
  readonly #options: SignerOptions;

  private constructor(options: SignerOptions) {
    this.#options = options;
  }

  /** @throws JarvisError invalid where the file has no key of one of the authorities */
  static async start(options: SignerOptions): Promise<CertificateSigner> {
    const signer = new CertificateSigner(options);
    await signer.#authority();
    return signer;
  }

  /**
   * Read each time: the key is not kept in memory, and may be replaced while the node runs.
   * @returns PEM
   * @throws JarvisError invalid where the key or a host cannot be used
   */
  async sign({ name, hosts, publicKeyPem }: SigningRequest): Promise<string> {
    // Loaded by those who sign only.
    const { issueFor, validFor } = await import('../../lib/certificates.ts');
    const validity = validFor(this.#options.clock.wallMs(), limits.enrolledCertificateMs);
    return await issueFor(await this.#authority(), publicKeyPem, { kind: 'node', name, hosts, ...validity });
  }

  async #authority(): Promise<{ readonly certificatePem: string; readonly keyPem: string }> {
    const { keyFile, authoritiesPem } = this.#options;
    const keyPem = await readPem(keyFile, { isSecret: true });
    let key;
    try {
      key = createPrivateKey(keyPem);
    } catch (cause) {
      const what = 'is not a private key without a passphrase';
      throw new JarvisError('invalid', `tls_ca_key: ${keyFile} ${what}`, { cause });
    }
    for (const certificatePem of certificatesIn(authoritiesPem()))
      if (new X509Certificate(certificatePem).checkPrivateKey(key)) return { certificatePem, keyPem };
    throw new JarvisError('invalid', `tls_ca_key: ${keyFile} is the key of no authority in tls_ca`);
  }
}
