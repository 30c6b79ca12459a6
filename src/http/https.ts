/** HTTPS with the node's own certificate. Callers show none: they have tokens. */
import type { SecureContextOptions } from 'node:tls';

import type { FastifyInstance } from 'fastify';

import type { TlsMaterial } from '../lib/tls-files.ts';
import type { TlsSource } from '../lib/tls-watch.ts';

export function httpsContext(material: TlsMaterial): SecureContextOptions {
  return { cert: material.certificatePem, key: material.keyPem, minVersion: 'TLSv1.2' };
}

/** New connections meet the new certificate. @returns ends it */
export function renewHttps(app: FastifyInstance, tls: TlsSource): () => void {
  return tls.onChange((material) => {
    // All of it: what is not said again falls back to its default.
    if ('setSecureContext' in app.server && typeof app.server.setSecureContext === 'function')
      app.server.setSecureContext(httpsContext(material));
  });
}
