/** What EC2 answers against a request, as providers say it. Its codes: "Error codes for the Amazon EC2 API". */
import { messageOf } from '../../../lib/errors.ts';
import { ProviderError, type ProviderErrorKind } from '../provider.ts';

/** Messages of refused rights have an encoded text of kilobytes in them. */
const MOST_MESSAGE = 512;

const KINDS: Readonly<Record<'throttled' | 'quota' | 'capacity' | 'denied', readonly string[]>> = {
  throttled: [
    'EC2ThrottledException',
    'RequestLimitExceeded',
    'RequestThrottled',
    'RequestThrottledException',
    'SlowDown',
    'Throttling',
    'ThrottlingException',
    'TooManyRequestsException',
  ],
  quota: [
    'InstanceLimitExceeded',
    'NetworkInterfaceLimitExceeded',
    'PrivateIpAddressLimitExceeded',
    'ResourceLimitExceeded',
    'VcpuLimitExceeded',
    'VolumeLimitExceeded',
  ],
  capacity: [
    'InsufficientAddressCapacity',
    'InsufficientCapacity',
    'InsufficientFreeAddressesInSubnet',
    'InsufficientHostCapacity',
    'InsufficientInstanceCapacity',
    'InsufficientReservedInstanceCapacity',
    'InsufficientVolumeCapacity',
  ],
  denied: [
    'AccessDenied',
    'AccessDeniedException',
    'AuthFailure',
    'Blocked',
    'CredentialsProviderError',
    'ExpiredToken',
    'ExpiredTokenException',
    'InvalidAccessKeyId',
    'InvalidClientTokenId',
    'MissingAuthenticationToken',
    'OperationNotPermitted',
    'OptInRequired',
    'PendingVerification',
    'RequestExpired',
    'SignatureDoesNotMatch',
    'TokenProviderError',
    'UnauthorizedOperation',
    'UnrecognizedClientException',
  ],
};
const KIND_OF = new Map<string, ProviderErrorKind>(
  Object.entries(KINDS).flatMap(([kind, codes]) =>
    codes.map((code) => [code, kind as ProviderErrorKind] as const),
  ),
);
/** All the others that say the same cannot be asked again: InvalidAMIID.NotFound, MissingParameter, UnsupportedOperation… */
const INVALID = /^(Invalid|Missing|Unknown|Unsupported|Malformed|Validation)/;

/** Empty where it is not an answer of EC2. */
export function codeOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

/** @param verb what was asked of EC2, for the message */
export function ec2ErrorOf(error: unknown, verb: string): ProviderError {
  if (error instanceof ProviderError) return error;
  const code = codeOf(error);
  const kind = KIND_OF.get(code) ?? (INVALID.test(code) ? 'invalid' : 'unavailable');
  const message = `aws: ${verb}: ${code}: ${messageOf(error).slice(0, MOST_MESSAGE)}`;
  return new ProviderError(kind, message, { cause: error });
}
