/** What is wrong with a certificate, in the words of whoever has to put it right. The codes are OpenSSL's. */

const WORDS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet',
  INVALID_PURPOSE: 'is not made for this use',
  CERT_REVOKED: 'is revoked',
  CERT_SIGNATURE_FAILURE: 'has a signature that is not its authority’s',
  ...Object.fromEntries(
    [
      'SELF_SIGNED_CERT_IN_CHAIN',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'CERT_UNTRUSTED',
      'INVALID_CA',
    ].map((code) => [code, 'is from an authority that is not trusted here, as one of another cluster is']),
  ),
};

/** @returns how a sentence goes on after "the certificate"; null where the code is no verdict on a certificate */
export function certificateProblem(code: string): string | null {
  return WORDS[code] ?? null;
}
