/**
 * Who a certificate speaks for: its subject alternative name holds one URI, `jarvis://node/NAME` for a node or
 * `jarvis://client/NAME` for whoever calls it. Host names are not what is checked, as nodes move (docs/tls.md).
 */
import { isName } from './names.ts';

const CERTIFICATE_KINDS = ['node', 'client'] as const;
type CertificateKind = (typeof CERTIFICATE_KINDS)[number];

export interface CertificateIdentity {
  readonly kind: CertificateKind;
  readonly name: string;
}

/** A certificate's identity and the time in which it holds, in milliseconds since the epoch. */
export interface DatedIdentity extends CertificateIdentity {
  readonly validFromMs: number;
  readonly validToMs: number;
}

/** What grpc-js's calls say of the other side; without TLS, or with a certificate that is not trusted, nothing. */
export interface CallWithPeer {
  getAuthContext(): { readonly sslPeerCertificate?: { readonly subjectaltname?: string } };
}

/** Who calls, by the certificate of the connection. @returns null without TLS */
export function callerOf(call: CallWithPeer): CertificateIdentity | null {
  return identityOf(call.getAuthContext().sslPeerCertificate?.subjectaltname);
}

const URI = /^jarvis:\/\/([a-z]+)\/(.+)$/;
/** One entry of Node.js's text of a subject alternative name; what holds a comma or a quote stands in quotes. */
const ENTRY = /(?:^|, )([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/gy;

export function identityUri(identity: CertificateIdentity): string {
  return `jarvis://${identity.kind}/${identity.name}`;
}

/**
 * @param subjectAltName as `X509Certificate.subjectAltName` and `PeerCertificate.subjectaltname` say it
 * @returns null where the certificate names nobody, or more than one
 */
export function identityOf(subjectAltName: string | undefined): CertificateIdentity | null {
  const uris = entriesOf(subjectAltName ?? '').filter(
    ({ type, value }) => type === 'URI' && value.startsWith('jarvis:'),
  );
  const [only] = uris;
  if (only === undefined || uris.length > 1) return null;
  const [, kindText, name] = URI.exec(only.value) ?? [];
  const kind = CERTIFICATE_KINDS.find((known) => known === kindText);
  return kind === undefined || name === undefined || !isName(name) ? null : { kind, name };
}

/** Nothing at all of a text that cannot be read to its end: part of it could say something else than the whole. */
function entriesOf(text: string): readonly { type: string; value: string }[] {
  const entries: { type: string; value: string }[] = [];
  let end = 0;
  for (const match of text.matchAll(ENTRY)) {
    const [whole, type = '', value = ''] = match;
    entries.push({ type, value });
    end = match.index + whole.length;
  }
  return end === text.length ? entries : [];
}
